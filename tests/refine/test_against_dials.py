"""The real DIALS on the same reflections: predictions, rmsds, cells; and DIALS going on from our files."""

from __future__ import annotations

import re

import numpy as np
import pytest

from mxdask.flow import Flow
from mxdask.geometry.predict import predict_given
from mxdask.io.expt import read_expt, write_expt
from mxdask.io.refl import read_refl, write_refl
from mxdask.params import parse
from mxdask.refine.params import Params
from mxdask.refine.step import run

pytestmark = [pytest.mark.dials, pytest.mark.data, pytest.mark.slow]


@pytest.fixture(scope="module")
def indexed(dials, data_dir, tmp_path_factory):
    """l-cysteine, four sweeps indexed as one crystal by DIALS."""
    folder = tmp_path_factory.mktemp("l_cysteine")
    dials("import", *sorted((data_dir / "l_cysteine").rglob("*.cbf*")), cwd=folder)
    dials("find_spots", "imported.expt", "nproc=2", cwd=folder)
    dials("index", "imported.expt", "strong.refl", "joint=True", cwd=folder)
    return folder


def rmsds(log: str) -> np.ndarray:
    """The first table of rmsds by experiment (static refinement) in DIALS' output."""
    lines = log.split("RMSDs by experiment")[1].splitlines()
    rows = [re.findall(r"[\d.]+", line) for line in lines if re.match(r"\|\s+\d", line)]
    first = next(i for i, row in enumerate(rows) if i and row[0] == "0") if sum(r[0] == "0" for r in rows) > 1 else None
    return np.array(rows[:first], dtype=float)


def test_predictions_are_those_of_dials(indexed):
    experiments, table = read_expt(indexed / "indexed.expt"), read_refl(indexed / "indexed.refl")
    for row, experiment in enumerate(experiments):
        t = table.select(table["id"] == row)
        place = predict_given(experiment, t["miller_index"], t["entering"], t["panel"], t["xyzobs.mm.value"][:, 2])
        assert np.abs(place.xyz_mm - t["xyzcal.mm"]).max() < 1e-12
        assert np.abs(place.xyz_px - t["xyzcal.px"]).max() < 1e-11


def test_static_refinement_ends_where_dials_ends(indexed, dials, tmp_path):
    experiments, table = read_expt(indexed / "indexed.expt"), read_refl(indexed / "indexed.refl")
    words = ["restraints.geometry=false", "n_static_macrocycles=1", "exclude_truncated=false"]
    with Flow("sync") as flow:
        refined, out, summary = run(experiments, table, parse(Params, words), flow=flow)
    log = dials("refine", indexed / "indexed.expt", indexed / "indexed.refl", cwd=tmp_path)
    theirs = rmsds(log)
    ours = np.array([[r["n_reflections"], r["rmsd_x"], r["rmsd_y"], r["rmsd_z"]] for r in summary["rows"]])
    assert f"{summary['sets'][0]['n_parameters']} parameters to refine against" in log
    assert np.array_equal(ours[:, 0], theirs[:, 1])
    assert np.allclose(ours[:, 1:], theirs[:, 2:], rtol=0.01)
    # DIALS goes on from what we write.
    write_expt(tmp_path / "ours.expt", refined)
    write_refl(tmp_path / "ours.refl", out)
    again = dials("refine", "ours.expt", "ours.refl", "scan_varying=False", cwd=tmp_path)
    assert np.all(rmsds(again)[:, 2:] < theirs[:, 2:] + 0.1)
