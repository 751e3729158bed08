"""Whether several sweeps are of one crystal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mxdask.index.known_symmetry import match_cell, primitive_rows
from mxdask.index.lattices import smallest_rotation
from mxdask.index.symmetric_cell import in_basis
from mxdask.index.tasks import Result
from mxdask.lattice.cells import minimum_cell
from mxdask.lattice.metric import lattice_group
from mxdask.models import Crystal
from mxdask.models.crystal import cell_parameters

MAX_ANGLE = 2.5  # degrees between orientations of one crystal in several sweeps (front.md 9.9: 2 to 3)
# Few sweeps may be tried together even if some of them cannot be indexed by themselves.
MAX_TRIED_TOGETHER = 8
# One crystal for all must index nearly as many spots as one each, a fair part of every sweep's, and fit nearly as well.
_NEARLY_ALL, _FAIR_PART, _WORSE_FIT = 0.95, 0.4, 2.0


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
    reference = Reference.of(solved[0])
    largest = 0.0
    for other in solved[1:]:
        angle = angle_between(reference, other)
        if angle is None:
            return Verdict(False, "the sweeps' cells differ")
        largest = max(largest, angle)
    if largest > MAX_ANGLE:
        return Verdict(False, f"orientations differ by up to {largest:.1f}°")
    return Verdict(True, f"orientations of {len(solved)} sweeps agree within {largest:.2f}°")


@dataclass(frozen=True, eq=False)
class Reference:
    """The lattice that others are compared with.

    Attributes
    ----------
    rows : (3, 3) reduced real-space vectors. group : (n, 3, 3) its lattice's operators on indices.
    """

    rows: np.ndarray
    group: np.ndarray

    @classmethod
    def of(cls, result: Result) -> Reference:
        """The first lattice of a result."""
        assert result.solution is not None
        return cls.of_rows(primitive_rows(result.solution.crystals[0]))

    @classmethod
    def of_rows(cls, rows: np.ndarray) -> Reference:
        """A lattice by its reduced vectors."""
        return cls(rows, lattice_group(cell_parameters(rows), 2.0))


def angle_between(reference: Reference, other: Result) -> float | None:
    """Degrees between a lattice and the first one of a result, modulo lattice symmetry; None if the cells differ."""
    assert other.solution is not None
    change = nearest_choice(primitive_rows(other.solution.crystals[0]), reference)
    return None if change is None else change[1]


def nearest_choice(rows: np.ndarray, reference: Reference) -> tuple[np.ndarray, float] | None:
    """The change of basis h' = P·h (3, 3) of a primitive cell that turns it nearest to another; the angle."""
    P = match_cell(rows, reference.rows)
    if P is None:
        return None
    angles = [smallest_rotation(P @ rows, reference.rows, W[None]) for W in reference.group]
    best = int(np.argmin(angles))
    return reference.group[best] @ P, angles[best]


def with_indices_like(result: Result, reference: Result) -> Result:
    """One of several sweeps of a crystal with that of the possible choices of indices that the reference has."""
    assert result.solution is not None and reference.solution is not None
    solution = result.solution
    change = nearest_choice(primitive_rows(solution.crystals[0]), Reference.of(reference))
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
    if joint.solution.n_indexed < _NEARLY_ALL * sum(s.n_indexed for s in alone) or min(fractions) < _FAIR_PART:
        return False
    if not alone:
        return True
    # Sweeps whose goniometer angles are not quite right index together but fit badly: then they stay apart.
    apart = np.sqrt(np.mean([s.fit.rmsd_mm**2 for s in alone], axis=0))
    return bool(np.all(joint.solution.fit.rmsd_mm < _WORSE_FIT * apart))
