"""Narrow wedges of crystals that turn slowly by themselves: geometry and crystals must not turn along."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation
from synthetic_sweeps import a_crystal, a_detector, a_sweep, disturbed, spots

from mxdask.flow import Flow
from mxdask.modelfit.detector import DetectorParameters
from mxdask.models import ExperimentList, Scan
from mxdask.params import parse
from mxdask.refine.params import Params
from mxdask.refine.step import run
from mxdask.table import ReflectionTable

DRIFT = np.deg2rad(0.05)
IMAGES, PARTS = 100, 10
ERROR = np.array([0.2, 0.1, -0.1, 0.5, 1.0, -1.0])  # mm and mrad, of the geometry that refinement starts from


def drifting(n_crystals: int, width: float):
    """Sweeps as indexing leaves them, their spots, and the true crystals in the middle of their scans.

    The crystals turn as a sweep goes on, each by DRIFT in a direction of its own, though not evenly.
    """
    detector = a_detector()
    first = a_sweep("drift0", a_crystal(0), detector=detector, n_images=IMAGES, width=width / IMAGES)
    wrong = DetectorParameters.of(detector, first.beam).model(ERROR)
    sweeps, tables, truth = [], [], []
    for i in range(n_crystals):
        crystal = a_crystal(i)
        sweep = replace(first, identifier=f"id-drift{i}", crystal=crystal)
        # Directions within half a turn of each other: the drifts do not cancel.
        towards = Rotation.from_euler("x", i * 180.0 / n_crystals, degrees=True).apply([0.0, 1.0, 0.0])
        for part in range(PARTS):
            share = (part + 0.5) / PARTS - 0.5
            turn = Rotation.from_rotvec(DRIFT * np.sin(np.pi * share) * 0.5 * towards).as_matrix()
            begin, end = part * IMAGES // PARTS, (part + 1) * IMAGES // PARTS
            scan = Scan((begin + 1, end), (float(np.rad2deg(sweep.scan.angle(begin))), width / IMAGES))
            moved = replace(sweep, scan=scan, crystal=crystal.with_A(turn @ crystal.A))
            tables.append(spots(moved, 60, row=i, seed=PARTS * i + part, noise=0.1))
        sweeps.append(replace(sweep, detector=wrong, crystal=disturbed(crystal, i, cell=0.001, mrad=0.5)))
        truth.append(crystal)
    return ExperimentList(sweeps), ReflectionTable.concat(tables), truth


def refine(experiments, table, *words):
    with Flow("sync") as flow:
        return run(experiments, table, parse(Params, words), flow=flow)


def misorientation(refined, truth) -> float:
    """The largest, in degrees."""
    turns = [Rotation.from_matrix(e.crystal.U @ t.U.T).magnitude() for e, t in zip(refined, truth, strict=True)]
    return float(np.rad2deg(max(turns)))


def test_drifts_over_narrow_wedges_do_not_turn_everything_about_the_beam():
    experiments, table, truth = drifting(4, 5.0)
    believed, _, before = refine(experiments, table, "restraints.wander=None")
    refined, _, after = refine(experiments, table)
    assert misorientation(believed, truth) > 0.09
    assert misorientation(refined, truth) < 0.05
    for row, other, crystal in zip(after["rows"], before["rows"], truth, strict=True):
        assert np.allclose(row["cell"], crystal.cell, rtol=1e-3)
        for name in ("rmsd_x", "rmsd_y", "rmsd_z"):
            assert row[name] < 1.02 * other[name]


def test_wide_sweeps_decide_for_themselves():
    experiments, table, truth = drifting(3, 60.0)
    refined, _, _ = refine(experiments, table)
    assert misorientation(refined, truth) < 0.02
