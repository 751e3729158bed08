"""Scaling to intensities that stay fixed."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from scaled_sweeps import EDGE, GROUP, job, truth

from mxdask.errors import FileError
from mxdask.flow import Flow
from mxdask.io.refl import write_refl
from mxdask.scale.params import Params
from mxdask.scale.step import run


def scaled_to(path, settings, n=2500):
    experiments, reflections = job(settings, n=n)
    with Flow("sync") as flow:
        return run(experiments, reflections, Params(scaling_options={"reference": str(path)}), flow=flow)


def write_truth(path, factor, label="IMEAN", power=1.0):
    cell = gemmi.UnitCell(EDGE, EDGE, EDGE, 90, 90, 90)
    hkl = gemmi.make_miller_array(cell, GROUP, 4.0, 40.0)
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup, mtz.cell = GROUP, cell
    mtz.add_dataset("x")
    mtz.add_column(label, "J" if power == 1.0 else "F")
    mtz.set_data(np.column_stack([hkl, (factor * truth(hkl)) ** power]).astype(np.float32))
    mtz.write_to_file(str(path))


@pytest.mark.parametrize(("label", "power"), [("IMEAN", 1.0), ("F", 0.5)])
def test_scales_are_those_that_lead_to_the_reference(tmp_path, label, power):
    write_truth(tmp_path / "ref.mtz", 10.0, label, power)
    experiments, _, summary = scaled_to(tmp_path / "ref.mtz", [{}, {"scale": 0.5, "b": -3.0}])
    assert [r["scale"] for r in summary["rows"]] == pytest.approx([0.1, 0.05], rel=0.03)
    assert summary["rows"][1]["B"] == pytest.approx(-3.0, abs=0.5)
    assert summary["rows"][0]["B"] == pytest.approx(0.0, abs=0.5)
    assert len(experiments) == 2


def test_scaled_reflections_are_a_reference(tmp_path):
    experiments, reflections = job([{}, {"scale": 2.0}], n=2500)
    with Flow("sync") as flow:
        _, table, _ = run(experiments, reflections, Params(), flow=flow)
    write_refl(tmp_path / "scaled.refl", table)
    _, _, summary = scaled_to(tmp_path / "scaled.refl", [{}])
    level = 2.0 / 3.0  # the mean scale of the two is 1
    assert summary["rows"][0]["scale"] == pytest.approx(level, rel=0.03)


def test_what_cannot_be_a_reference_says_why(tmp_path):
    (tmp_path / "model.pdb").write_text("")
    with pytest.raises(FileError, match="a reference is"):
        scaled_to(tmp_path / "model.pdb", [{}], n=500)
    _, reflections = job([{}], n=500)
    write_refl(tmp_path / "integrated.refl", reflections)
    with pytest.raises(FileError, match="not scaled"):
        scaled_to(tmp_path / "integrated.refl", [{}], n=500)
