"""Whether several sweeps are of one crystal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mxdask.index.known_symmetry import match_cell
from mxdask.index.lattices import smallest_rotation
from mxdask.index.sweep import primitive_rows
from mxdask.index.symmetric_cell import in_basis
from mxdask.index.tasks import Result
from mxdask.lattice.cells import minimum_cell
from mxdask.lattice.metric import lattice_group
from mxdask.models import Crystal
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
    change = _nearest_choice(other.solution.crystals[0], one.solution.crystals[0])
    return None if change is None else change[1]


def _nearest_choice(crystal: Crystal, reference: Crystal) -> tuple[np.ndarray, float] | None:
    """The change of basis h' = P·h (3, 3) of a crystal's primitive cell that turns it nearest to another; the angle."""
    goal, rows = primitive_rows(reference), primitive_rows(crystal)
    P = match_cell(rows, goal, 0.05, 3.0)
    if P is None:
        return None
    group = lattice_group(cell_parameters(goal), 2.0)
    angles = [smallest_rotation(P @ rows, goal, W[None]) for W in group]
    best = int(np.argmin(angles))
    return group[best] @ P, angles[best]


def with_indices_like(result: Result, reference: Result) -> Result:
    """One of several sweeps of a crystal with that of the possible choices of indices that the reference has."""
    assert result.solution is not None and reference.solution is not None
    solution = result.solution
    change = _nearest_choice(solution.crystals[0], reference.solution.crystals[0])
    if change is None or len(solution.crystals) != 1:
        return result
    here, there = _to_primitive(solution.crystals[0]), _to_primitive(reference.solution.crystals[0])
    P = np.linalg.inv(there) @ change[0] @ here
    if np.abs(P - np.rint(P)).max() > 1e-6 or np.allclose(P, np.eye(3)):
        return result
    fit = in_basis(solution.fit, P, solution.crystals[0].space_group_hall)
    found = replace(solution.assignment, hkl=np.rint(solution.assignment.hkl @ P.T).astype(np.int32))
    turned = replace(solution, crystals=fit.crystals, fit=fit, assignment=found)
    return replace(result, outcome=replace(result.outcome, solution=turned))


def _to_primitive(crystal: Crystal) -> np.ndarray:
    return minimum_cell(crystal.cell, crystal.space_group.centring_type())[0]


def joint_is_better(joint: Result, separate: Sequence[Result]) -> bool:
    """Whether one crystal explains all sweeps about as well, and fits them about as closely, as one crystal each."""
    if joint.solution is None:
        return False
    alone = [r.solution for r in separate if r.solution is not None]
    spots = joint.solution.spots
    hit = joint.solution.assignment.lattice >= 0
    sweep = spots.table["imageset_id"]
    fractions = [float(hit[sweep == k].mean()) for k in range(len(spots.sweeps)) if np.any(sweep == k)]
    if joint.solution.n_indexed < 0.95 * sum(s.n_indexed for s in alone) or min(fractions) < 0.4:
        return False
    if not alone:
        return True
    # Sweeps whose goniometer angles are not quite right index together but fit badly: then they stay apart.
    apart = np.sqrt(np.mean([s.fit.rmsd_mm**2 for s in alone], axis=0))
    return bool(np.all(joint.solution.fit.rmsd_mm < 2.0 * apart))
