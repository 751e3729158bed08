"""plot_scan_varying_model: cells and rotations come back as they were put in, and as DIALS prints them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from synthetic_sweeps import a_crystal, a_sweep

from mxdask.cli import main
from mxdask.errors import MxdaskError, ParameterError
from mxdask.io.expt import write_expt
from mxdask.lists.scan_varying import Decomposition, courses
from mxdask.models import ExperimentList
from mxdask.models.crystal import b_matrix


def _drifting(n: int = 10):
    """Turns by 0.1, 0.2, 0.3 degrees about x, y, z and grows by 1 % in a."""
    sweep = a_sweep("s", a_crystal(0), n_images=n)
    part = np.linspace(0, 1, n + 1)
    turn = Rotation.from_euler("xyz", np.outer(part, [0.1, 0.2, 0.3]), degrees=True).as_matrix()
    cells = np.array([78 * (1 + 0.01 * p) for p in part])
    A = np.array([R @ sweep.crystal.U @ b_matrix((a, 78, 78, 90, 90, 90)) for R, a in zip(turn, cells, strict=True)])
    return replace(sweep, crystal=replace(sweep.crystal, A_at_scan_points=A)), part, cells


def test_cell_and_rotations():
    sweep, part, cells = _drifting()
    (found,) = courses(ExperimentList([sweep, a_sweep("still", a_crystal(1))]), Decomposition())
    np.testing.assert_allclose(found.cell[:, 0], cells, rtol=1e-9)
    np.testing.assert_allclose(found.volume, cells * 78 * 78, rtol=1e-9)
    np.testing.assert_allclose(found.angles, np.outer(part, [0.1, 0.2, 0.3]), atol=1e-9)
    np.testing.assert_allclose(found.phi, 20.0 + 0.1 * np.arange(11))
    assert found.beam_centre is None


def test_what_cannot_be_shown_is_told():
    with pytest.raises(MxdaskError, match="scan_varying=true"):
        courses(ExperimentList([a_sweep("s", a_crystal(0))]), Decomposition())
    with pytest.raises(ParameterError, match="orthogonal"):
        courses(ExperimentList([_drifting()[0]]), Decomposition(e2=(1.0, 1.0, 0.0)))


@pytest.mark.dials
def test_as_dials_prints_it(dials, tmp_path):
    sweep, _, _ = _drifting()
    write_expt(tmp_path / "varying.expt", ExperimentList([sweep]), program="test")
    assert main(["plot_scan_varying_model", str(tmp_path / "varying.expt"), "--output-dir", str(tmp_path)]) == 0
    (ours,) = json.loads((tmp_path / "scan_varying_model.json").read_text())
    assert "data-figure" in (tmp_path / "scan_varying_model.html").read_text()
    told = dials("plot_scan_varying_model", tmp_path / "varying.expt", "output.debug=True", cwd=tmp_path)
    rows = [line.split() for line in told.splitlines() if line and line[0] in "-0123456789"]
    cells = np.array([r for r in rows if len(r) == 8], dtype=float)
    turns = np.array([r for r in rows if len(r) == 4], dtype=float)
    names = ("phi", "a", "b", "c", "alpha", "beta", "gamma", "volume")
    np.testing.assert_allclose(cells, np.array([ours[k] for k in names]).T, rtol=1e-6)
    np.testing.assert_allclose(turns, np.array([ours[k] for k in ("phi", "phi3", "phi2", "phi1")]).T, atol=1e-6)
