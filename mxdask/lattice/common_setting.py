"""One setting for the lattices of many crystals: which cells belong together, and how each maps to the common cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from mxdask.lattice.cells import change_cell, metric_tensor, minimum_cell, similar


@dataclass(frozen=True, eq=False)
class CellCluster:
    """Crystals whose lattices are alike.

    Attributes
    ----------
    members : rows of the crystals, ascending.
    P : (n, 3, 3) for each member, h_common = P·h.
    median : (6,) median of the members' primitive minimum cells in the common setting (Å, degrees).
    """

    members: tuple[int, ...]
    P: np.ndarray
    median: np.ndarray


@lru_cache(maxsize=1)
def unimodular_choices() -> np.ndarray:
    """All integer matrices with elements -1, 0, 1 and determinant 1: the ways to choose axes of a reduced cell."""
    grid = np.array(list(product((0, 1, -1), repeat=9)), dtype=np.int64).reshape(-1, 3, 3)
    found = grid[np.rint(np.linalg.det(grid)) == 1]
    simplicity = np.abs(found - np.eye(3, dtype=np.int64)).sum(axis=(1, 2))
    return found[np.argsort(simplicity, kind="stable")]


def lattice_signature(minimum: Any, n: int = 9) -> np.ndarray:
    """(n,) lengths (Å) of the shortest pairs ±v of lattice vectors, ascending.

    It varies continuously with the lattice, which no reduced cell does, so noise cannot make like lattices look
    different.
    """
    vectors = np.array([v for v in product(range(-2, 3), repeat=3) if v > (0, 0, 0)])
    return np.sqrt(np.sort(np.einsum("ni,ij,nj->n", vectors, metric_tensor(minimum), vectors))[:n])


def cluster_cells(
    cells: Sequence[Any],
    centrings: Sequence[str],
    *,
    relative_length_tolerance: float = 0.05,
    absolute_angle_tolerance: float = 2.0,
) -> list[CellCluster]:
    """Crystals grouped by lattice, the largest group first.

    The lattice with most others within the tolerance leads a group; then the same among the rest. Members are
    mapped to the leader's minimum cell: with the leader's own change of basis where that makes the cells similar (so
    that crystals indexed alike stay so), else with the choice of axes that makes the metrics most alike.

    Parameters
    ----------
    cells : (6,) each, Å and degrees.
    centrings : centring letter of each.
    """
    minima = [minimum_cell(cell, centring) for cell, centring in zip(cells, centrings, strict=True)]
    signatures = np.log([lattice_signature(m) for _, m in minima])
    left = np.arange(len(minima))
    clusters = []
    while len(left):
        spread = np.array([np.abs(signatures[left] - s).max(axis=1) for s in signatures[left]])
        near = spread <= relative_length_tolerance
        counts = near.sum(axis=1)
        leaders = np.flatnonzero(counts == counts.max())
        leader = leaders[np.argmin([spread[i][near[i]].sum() for i in leaders])]
        members = _similar_members(
            left[near[leader]], int(left[leader]), cells, centrings, minima,
            relative_length_tolerance, absolute_angle_tolerance,
        )  # fmt: skip
        clusters.append(members)
        left = np.setdiff1d(left, members.members)
    return sorted(clusters, key=lambda c: (-len(c.members), c.members))


def _similar_members(
    rows: np.ndarray,
    leader: int,
    cells: Sequence[Any],
    centrings: Sequence[str],
    minima: list[tuple[np.ndarray, np.ndarray]],
    length_tolerance: float,
    angle_tolerance: float,
) -> CellCluster:
    P_leader, reference = minima[leader]
    kept: list[tuple[int, np.ndarray, np.ndarray]] = []
    for row in rows:
        P = P_leader if centrings[row] == centrings[leader] else minima[row][0]
        if not similar(
            change_cell(cells[row], P), reference, length_tolerance=length_tolerance, angle_tolerance=angle_tolerance
        ):
            P = best_match(minima[row][1], reference) @ minima[row][0]
        common = change_cell(cells[row], P)
        if row == leader or similar(
            common, reference, length_tolerance=length_tolerance, angle_tolerance=angle_tolerance
        ):
            kept.append((int(row), P, common))
    return CellCluster(
        tuple(row for row, _, _ in kept), np.array([P for _, P, _ in kept]), np.median([c for _, _, c in kept], axis=0)
    )


def best_match(cell: Any, reference: Any) -> np.ndarray:
    """(3, 3) integers P: the axes of a reduced cell chosen so that its metric is most like the reference's."""
    choices = unimodular_choices()
    moved = choices @ metric_tensor(cell) @ choices.transpose(0, 2, 1)
    misfit = np.linalg.norm(moved - metric_tensor(reference), axis=(1, 2))
    best = misfit <= misfit.min() * (1 + 1e-6) + 1e-9
    return choices[np.flatnonzero(best)[0]].astype(float)
