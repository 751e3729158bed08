"""Spots of the real DIALS and ours on the same images, with the switches that make the definitions equal."""

from __future__ import annotations

import numpy as np
import pytest

from mxdask.flow import Flow
from mxdask.io.expt import read_expt
from mxdask.io.refl import read_refl
from mxdask.params import parse
from mxdask.spots.params import Params
from mxdask.spots.step import run

# DIALS 3.12 erodes spots at masked pixels.
AS_3_12 = "masked_pixels_dispersed=false"


@pytest.fixture(scope="module")
def l_cysteine(dials, data_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("l_cysteine")
    dials("import", *sorted((data_dir / "l_cysteine").glob("l-cyst_0[14]_0000[1-6].cbf.gz")), cwd=folder)
    return folder


@pytest.mark.dials
@pytest.mark.data
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ([], ["block_size=7"]),
        (["threshold.algorithm=dispersion", "kernel_size=4,2", "gain=0.9", "min_local=5", "scan_range=1,3"],
         ["threshold.algorithm=dispersion", "kernel_size=4,2", "gain=0.9", "min_local=5", "scan_range=1,3"]),
        (["global_threshold=3", "filter.d_min=0.9", "border=20", "sigma_strong=4", "scan_range=1,3"],
         ["global_threshold=3", "filter.d_min=0.9", "border=20", "sigma_strong=4", "scan_range=1,3"]),
    ],
)  # fmt: skip
def test_same_spots_as_dials(dials, l_cysteine, theirs, ours):
    dials("find_spots", "imported.expt", "nproc=1", *theirs, cwd=l_cysteine)
    expected = read_refl(l_cysteine / "strong.refl")
    with Flow("sync") as flow:
        experiments = read_expt(l_cysteine / "imported.expt")
        _, table, _ = run(experiments, None, parse(Params, [AS_3_12, *ours]), flow=flow)
    assert len(expected) > 5
    assert table.identifiers == expected.identifiers
    for name in ("bbox", "id", "panel", "flags", "n_signal", "intensity.sum.value", "intensity.sum.variance"):
        np.testing.assert_array_equal(table[name], expected[name], err_msg=name)
        assert table[name].dtype == expected[name].dtype
    for name in ("xyzobs.px.value", "xyzobs.px.variance"):
        np.testing.assert_allclose(table[name], expected[name], atol=1e-9, rtol=0)
    np.testing.assert_array_equal(table.shoeboxes.data, expected.shoeboxes.data)
    np.testing.assert_array_equal(table.shoeboxes.mask, expected.shoeboxes.mask)
