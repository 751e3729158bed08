"""Which change of basis makes a crystal agree with a reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.intensity.merged_set import MergedSet, merge_set
from mxdask.intensity.observations import Filters, best_choice, select_observations
from mxdask.lattice.cells import change_cell, minimum_cell, similar
from mxdask.lattice.common_setting import best_match
from mxdask.lattice.metric import lattice_operators
from mxdask.lattice.operators import left_cosets, point_group, reindex
from mxdask.models import Crystal
from mxdask.table import Flag, ReflectionTable

_LEAST_PAIRS = 10


@dataclass(frozen=True, eq=False)
class Choice:
    """One possible change of basis, h' = P·h.

    Attributes
    ----------
    score : correlation with the reference's intensities, or minus the angle (degrees) to its orientation.
    n : common reflections (0 for orientations).
    """

    P: np.ndarray
    score: float
    n: int


def to_reference_cell(crystal: Crystal, reference: Crystal) -> np.ndarray:
    """(3, 3) P that gives a crystal the reference's cell, one choice of several if the lattice is symmetric.

    Raises
    ------
    MxdaskError : the lattices differ by more than 5 % or 3°.
    """
    P, minimum = minimum_cell(crystal.cell, crystal.space_group.centring_type())
    P_reference, target = minimum_cell(reference.cell, reference.space_group.centring_type())
    if crystal.space_group.centring_type() == reference.space_group.centring_type() and similar(
        crystal.cell, reference.cell, length_tolerance=0.05, angle_tolerance=3.0
    ):
        return np.eye(3)
    match = best_match(minimum, target)
    if not similar(change_cell(minimum, match), target, length_tolerance=0.05, angle_tolerance=3.0):
        raise MxdaskError(
            f"cell {np.round(crystal.cell, 2).tolist()} is not that of the reference, "
            f"{np.round(reference.cell, 2).tolist()}"
        )
    return np.linalg.inv(P_reference) @ match @ P


def ambiguities(reference: Crystal, max_delta: float, *, modulo_symmetry: bool) -> list[np.ndarray]:
    """Changes of basis that keep the reference's cell but not (``modulo_symmetry``) its intensities, identity first."""
    whole = lattice_operators(reference.cell, reference.space_group.centring_type(), max_delta)
    return list(left_cosets(whole, point_group(reference.space_group)) if modulo_symmetry else whole)


def by_orientation(crystal: Crystal, reference: Crystal, max_delta: float) -> list[Choice]:
    """Choices of axes, that with the orientation nearest to the reference's first."""
    base = to_reference_cell(crystal, reference)
    choices = []
    for op in ambiguities(reference, max_delta, modulo_symmetry=False):
        P = op @ base
        turn = crystal.change_basis(P, " P 1").U @ reference.U.T
        angle = np.rad2deg(2 * np.arcsin(min(1.0, np.linalg.norm(turn - np.eye(3)) / np.sqrt(8))))
        choices.append(Choice(P, -float(angle), 0))
    return sorted(choices, key=lambda c: -round(c.score, 6))


def by_intensities(
    crystal: Crystal, table: ReflectionTable, reference: Crystal, reference_set: MergedSet, max_delta: float
) -> list[Choice]:
    """Choices of axes, that whose intensities correlate best with the reference's first.

    Parameters
    ----------
    table : the crystal's reflections. reference_set : from :func:`merged`.

    Raises
    ------
    MxdaskError : too few reflections in common.
    """
    base = to_reference_cell(crystal, reference)
    hkl, intensity, variance = usable(table)
    own = point_group(reference.space_group)
    choices = []
    for op in ambiguities(reference, max_delta, modulo_symmetry=True):
        P = op @ base
        moved, integer = reindex(hkl, P)
        mine = merge_set(moved[integer], intensity[integer], variance[integer], own)
        _, i, j = np.intersect1d(mine.key, reference_set.key, assume_unique=True, return_indices=True)
        enough = len(i) >= _LEAST_PAIRS
        cc = float(np.corrcoef(mine.intensity[i], reference_set.intensity[j])[0, 1]) if enough else float("nan")
        choices.append(Choice(P, cc, len(i)))
    if not any(np.isfinite(c.score) for c in choices):
        raise MxdaskError(f"fewer than {_LEAST_PAIRS} reflections in common with the reference")
    return sorted(choices, key=lambda c: -c.score if np.isfinite(c.score) else np.inf)


def merged(tables: Sequence[ReflectionTable], reference: Crystal) -> MergedSet:
    """The reference's intensities, equivalents merged."""
    parts = [usable(table) for table in tables]
    hkl, intensity, variance = (np.concatenate([p[i] for p in parts]) for i in range(3))
    return merge_set(hkl, intensity, variance, point_group(reference.space_group))


def usable(table: ReflectionTable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices, intensities and variances: what scaling would use, or strong spots' sums before integration."""
    integrated = Flag.INTEGRATED_SUM | Flag.INTEGRATED_PRF
    if "d" in table and np.any(table.has_flags(integrated, any=True)):
        found = select_observations(table, best_choice(table), Filters())
        return found.hkl, found.intensity, found.variance
    good = np.any(table["miller_index"] != 0, axis=1) & (table["intensity.sum.variance"] > 0)
    return table["miller_index"][good], table["intensity.sum.value"][good], table["intensity.sum.variance"][good]
