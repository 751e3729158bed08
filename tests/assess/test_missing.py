"""missing_reflections: regions taken out are found, and are DIALS' on real data."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest
from scaled_sets import crystals

from mxdask.assess.missing import Params, log_text, missing_reflections
from mxdask.cli import main


def _complete():
    data, _ = crystals(12, bad=False, fraction=0.9)
    return data


def test_nothing_missing_but_what_was_taken_out():
    data = _complete()
    whole = missing_reflections(data, Params())
    assert whole.regions == ()
    assert "No connected regions" in log_text(whole)
    h = np.abs(data.hkl)
    row = (h[:, 0] == 5) & (h[:, 1] == 6)  # a row along c*
    corner = (h >= [2, 2, 2]).all(axis=1) & (h <= [4, 3, 3]).all(axis=1)
    lone = (h == [9, 9, 9]).all(axis=1)
    found = missing_reflections(data.select(~(row | corner | lone)), Params())
    n_row = len(np.unique(h[row], axis=0))
    assert [r.n for r in found.regions] == sorted([12, n_row], reverse=True)
    assert found.n_observed == whole.n_observed - 12 - n_row - 1
    large = missing_reflections(data.select(~(row | corner)), Params(min_component_size=20))
    assert [r.n for r in large.regions] == [n_row]


def test_a_region_across_the_asymmetric_unit_is_one():
    """Around the b* axis: all four quadrants belong together."""
    data = _complete()
    near = (np.abs(data.hkl[:, 0]) <= 1) & (np.abs(data.hkl[:, 2]) <= 1) & (np.abs(data.hkl[:, 1]) >= 4)
    found = missing_reflections(data.select(~near), Params())
    assert len(found.regions) == 1


def test_centred_lattices_are_looked_at_in_their_primitive_cell():
    """In I 2 3 neighbours are h+1,k+1,l and so on: the row 2h,0,0 of missing ones is no region, a plane's is."""
    group, cell = gemmi.SpaceGroup("I 2 3"), gemmi.UnitCell(78, 78, 78, 90, 90, 90)
    hkl = gemmi.make_miller_array(cell, group, 4.0, 0, True).astype(np.int32)
    hkl = hkl[(hkl != 0).any(axis=1)]
    n = len(hkl)
    data = replace(
        _complete(), hkl=hkl, intensity=np.ones(n), variance=np.ones(n), sweep=np.zeros(n, np.int32), z=np.zeros(n),
        cell=cell, space_group=group,
    )  # fmt: skip
    assert missing_reflections(data, Params()).regions == ()
    d = cell.calculate_d_array(hkl)
    found = missing_reflections(data.select((d < 8) | (d > 12)), Params())
    assert [r.n for r in found.regions] == [int(((d >= 8) & (d <= 12)).sum())]


@pytest.mark.data
@pytest.mark.dials
def test_regions_are_those_of_dials(data_dir: Path, dials, tmp_path: Path):
    folder = data_dir / "reflections" / "l_cysteine_4_sweeps_scaled"
    files = [str(folder / "scaled_30.expt"), str(folder / "scaled_30.refl")]
    told = dials("missing_reflections", *files, cwd=tmp_path)
    theirs = [
        (int(n), float(high), float(low))
        for n, high, low in re.findall(r"\|\s+(\d+) \|\s+[\d.]+\s+\|\s+([\d.]+)-([\d.]+)", told)
    ]
    assert main(["missing_reflections", *files, "--output-dir", str(tmp_path)]) == 0
    regions = json.loads((tmp_path / "missing_reflections.json").read_text())["regions"]
    ours = [(r["n"], round(r["d_max"], 2), round(r["d_min"], 2)) for r in regions]
    assert len(theirs) > 3
    assert sorted(ours) == sorted(theirs)
