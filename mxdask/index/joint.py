"""Whether several sweeps are of one crystal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mxdask.index.known_symmetry import match_cell
from mxdask.index.lattices import smallest_rotation
from mxdask.index.sweep import primitive_rows
from mxdask.index.tasks import Result
from mxdask.lattice.metric import lattice_group
from mxdask.models.crystal import cell_parameters

MAX_ANGLE = 2.5  # degrees between orientations of one crystal in several sweeps (front.md 9.9: 2 to 3)
# Few sweeps may be tried together even if some of them cannot be indexed by themselves.
MAX_TRIED_TOGETHER = 8


@dataclass(frozen=True)
class Verdict:
    """One crystal or several, and why."""

    is_one_crystal: bool
    reason: str


def judge(results: Sequence[Result]) -> Verdict:
    """Compare the orientations of separately indexed sweeps, modulo the symmetry of the lattice.

    Orientations are in the frame of the crystal mount, with all goniometer angles removed: sweeps of one crystal agree
    if the goniometer record is right.
    """
    solved = [r for r in results if r.solution is not None]
    if len(solved) < 2:
        return Verdict(False, f"{len(solved)} of {len(results)} sweeps could be indexed by itself")
    angles = [angle_between(solved[0], other) for other in solved[1:]]
    if any(a is None for a in angles):
        return Verdict(False, "the sweeps' cells differ")
    largest = max(a for a in angles if a is not None)
    if largest > MAX_ANGLE:
        return Verdict(False, f"orientations differ by up to {largest:.1f}°")
    return Verdict(True, f"orientations of {len(solved)} sweeps agree within {largest:.2f}°")


def angle_between(one: Result, other: Result) -> float | None:
    """Degrees between the first lattices of two results, modulo lattice symmetry; None if the cells differ."""
    assert one.solution is not None and other.solution is not None
    reference = primitive_rows(one.solution.crystals[0])
    rows = primitive_rows(other.solution.crystals[0])
    P = match_cell(rows, reference, 0.05, 3.0)
    if P is None:
        return None
    return smallest_rotation(P @ rows, reference, lattice_group(cell_parameters(reference), 2.0))


def joint_is_better(joint: Result, separate: Sequence[Result]) -> bool:
    """Whether one crystal explains all sweeps at least about as well as one crystal each."""
    if joint.solution is None:
        return False
    alone = sum(r.solution.n_indexed for r in separate if r.solution is not None)
    spots = joint.solution.spots
    hit = joint.solution.assignment.lattice >= 0
    fractions = [float(hit[spots.table["imageset_id"] == k].mean()) for k in range(len(spots.sweeps))
                 if np.any(spots.table["imageset_id"] == k)]  # fmt: skip
    return joint.solution.n_indexed >= 0.95 * alone and min(fractions) >= 0.4
