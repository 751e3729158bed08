"""Detectors of many panels in groups: each group finds its place, and the hierarchy is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic_sweeps import TRICLINIC, a_crystal, a_detector, a_sweep, disturbed, spots

from mxdask.flow import Flow
from mxdask.io.expt_models import detector_from_dict, detector_to_dict
from mxdask.modelfit.detector import DetectorParameters, panel_groups
from mxdask.models import Detector, ExperimentList, Panel, rotation_matrix
from mxdask.params import parse
from mxdask.refine.params import Params
from mxdask.refine.step import run
from mxdask.table import ReflectionTable

FRAME = {"fast_axis": [1.0, 0.0, 0.0], "slow_axis": [0.0, -1.0, 0.0], "origin": [-10.0, 5.0, -150.0]}


def in_groups(detector, size):
    """The detector with a hierarchy of groups of ``size`` neighbouring panels, their frames off the panels'."""
    groups = [
        {"name": f"g{i}", **FRAME, "children": [{"panel": k} for k in range(i, i + size)]}
        for i in range(0, len(detector), size)
    ]
    root = {"name": "root", "fast_axis": [1.0, 0.0, 0.0], "slow_axis": [0.0, 1.0, 0.0], "origin": [0.0, 0.0, 0.0]}
    return replace(detector, hierarchy={**root, "children": groups})


def a_barrel(n_rows: int = 12, per_row: int = 2):
    """Rows of panels on a cylinder about the spindle, as on beamline I23."""
    panels = []
    for row in range(n_rows):
        turn = rotation_matrix([1.0, 0.0, 0.0], np.deg2rad(12.0 * (row - 0.5 * (n_rows - 1))))
        for k in range(per_row):
            origin = turn @ [-100.0 + k * 200.0 / per_row, 15.0, -150.0]
            panels.append(
                Panel(turn @ [1.0, 0.0, 0.0], turn @ [0.0, -1.0, 0.0], origin, (2000 // per_row, 300), (0.1, 0.1))
            )
    return in_groups(Detector(tuple(panels)), per_row)


def refine(experiments, table, *words):
    with Flow("sync") as flow:
        return run(experiments, table, parse(Params, words), flow=flow)


def test_groups_that_were_misplaced_find_their_places_and_stay_groups():
    true = in_groups(a_detector(n_panels=4), 2)
    sweeps = [a_sweep(f"s{i}", a_crystal(i, TRICLINIC), detector=true, n_images=400, width=0.25) for i in range(2)]
    table = ReflectionTable.concat([spots(s, 800, row=i, seed=i, noise=0.05) for i, s in enumerate(sweeps)])
    parameters = DetectorParameters.of(true, sweeps[0].beam, 1)
    wrong = parameters.model(np.array([0, 0, 0, 0, 0, 0, 0.05, 0.1, -0.15, 1.0, 0.3, 0.5], dtype=float))
    start = ExperimentList(
        replace(s, detector=wrong, crystal=disturbed(s.crystal, i, cell=0.0005, mrad=0.3)) for i, s in enumerate(sweeps)
    )
    stiff = refine(start, table)[2]["rows"]
    refined, _, summary = refine(start, table, "hierarchy_level=1")
    assert all(r["rmsd_x"] < 0.06 for r in summary["rows"])
    assert all(s["rmsd_x"] > 2 * r["rmsd_x"] for s, r in zip(stiff, summary["rows"], strict=True))
    # Still two groups of two panels, and the gap between the groups is that of the truth.
    found = refined[0].detector
    assert panel_groups(found, 1) == [(0, 1), (2, 3)]

    def gap(d):
        return d[2].d_matrix[:, 2] - d[1].d_matrix[:, 2]

    assert np.allclose(gap(found), gap(true), atol=0.02)
    assert not np.allclose(gap(wrong), gap(true), atol=0.02)


def test_frames_of_groups_move_with_their_panels_and_files_keep_them():
    detector = in_groups(a_detector(n_panels=4), 2)
    parameters = DetectorParameters.of(detector, a_sweep("a", a_crystal(1)).beam, 1)
    moved = parameters.model(np.array([1.0, 2, 3, 4, 5, 6, -1, -2, -3, -4, -5, -6]))

    def locally(d, group, panel):
        """The panel's origin in the frame of its group."""
        g = d.hierarchy["children"][group]
        axes = np.array([g["fast_axis"], g["slow_axis"], np.cross(g["fast_axis"], g["slow_axis"])])
        return axes @ (d[panel].origin - g["origin"])

    for group, panel in ((0, 0), (0, 1), (1, 2), (1, 3)):
        assert np.allclose(locally(moved, group, panel), locally(detector, group, panel), atol=1e-10)
    again = detector_from_dict(detector_to_dict(moved))
    assert panel_groups(again, 1) == [(0, 1), (2, 3)]
    for a, b in zip(again.panels, moved.panels, strict=True):
        assert np.allclose(a.d_matrix, b.d_matrix, atol=1e-9)


@pytest.mark.parametrize("level", [0, 1])
def test_a_barrel_of_many_panels(level):
    true = a_barrel()
    sweep = a_sweep("a", a_crystal(3, TRICLINIC), detector=true, n_images=600, width=0.2)
    table = spots(sweep, 3000, noise=0.1, d_min=1.8)
    assert len(np.unique(table["panel"])) >= 12  # outer rows see nothing and have to be held
    wrong = DetectorParameters.of(true, sweep.beam, level).model(
        np.tile([0.05, 0.1, -0.1, 0.5, 0.3, -0.4], 12 if level else 1)
    )
    start = ExperimentList([replace(sweep, detector=wrong, crystal=disturbed(sweep.crystal, 1, 0.0005, 0.3))])
    refined, _, summary = refine(start, table, f"hierarchy_level={level}")
    row = summary["rows"][0]
    assert max(row["rmsd_x"], row["rmsd_y"], row["rmsd_z"]) < 0.12
    assert len(panel_groups(refined[0].detector, 1)) == 12
    assert np.allclose(row["cell"], TRICLINIC, rtol=5e-4)
