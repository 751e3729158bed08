"""The cell that most sweeps of one kind of crystal agree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.spatial import cKDTree

from mxdask.index.known_symmetry import match_cell
from mxdask.lattice.cells import cell_of_metric

MIN_MEMBERS = 3
_MAX_REFERENCES = 10
_COMBINATIONS = np.array([v for v in product(range(-2, 3), repeat=3) if v > (0, 0, 0)])


@dataclass(frozen=True, eq=False)
class Consensus:
    """The largest cluster of like cells.

    Attributes
    ----------
    cell : (6,) median cell (Å, degrees).
    members : which of the given cells belong to it.
    """

    cell: np.ndarray
    members: tuple[int, ...]


def consensus_cell(
    lattices: Sequence[np.ndarray], *, length_tolerance: float = 0.05, angle_tolerance: float = 1.5
) -> Consensus | None:
    """Median cell of the largest cluster; None if no three cells are alike.

    Parameters
    ----------
    lattices : real-space vectors (3, 3) of each crystal's cell, all primitive or all in one setting.

    Notes
    -----
    Cells are alike if some choice of lattice vectors of the one is like the axes of the other: reduced cells need not
    be, for errors change the reduction. That is dear to find out, and is done only with the few references that
    promise the largest clusters by the lengths of the shortest vectors, which do not jump: the work grows as the
    number of cells. Which references are tried follows from the cells alone, not from their order.
    """
    if len(lattices) < MIN_MEMBERS:
        return None
    shortest = np.log([successive_minima(rows) for rows in lattices])
    tree = cKDTree(shortest)
    # Strains inside the tolerances change no vector by more than this.
    reach = 1.1 * (length_tolerance + np.deg2rad(angle_tolerance))
    neighbours = tree.query_ball_point(shortest, reach, p=np.inf, return_sorted=True)
    best: dict[int, np.ndarray] = {}
    for number in _central(shortest, neighbours)[:_MAX_REFERENCES]:
        if len(neighbours[number]) <= len(best):
            continue
        alike: dict[int, np.ndarray] = {}
        for i in neighbours[number]:
            P = match_cell(lattices[i], lattices[number], length_tolerance, angle_tolerance)
            if P is not None:
                alike[i] = P @ lattices[i]
        if len(alike) > len(best):
            best = alike
    if len(best) < MIN_MEMBERS:
        return None
    metrics = np.array([rows @ rows.T for rows in best.values()])
    return Consensus(cell_of_metric(np.median(metrics, axis=0)), tuple(sorted(best)))


def successive_minima(rows: np.ndarray) -> np.ndarray:
    """(3,) lengths (Å) of the shortest three vectors of a lattice that do not lie in one plane.

    Parameters
    ----------
    rows : (3, 3) reduced vectors, or nearly so: combinations with coefficients up to 2 are looked at.
    """
    vectors = _COMBINATIONS @ rows
    vectors = vectors[np.argsort(np.einsum("ij,ij->i", vectors, vectors), kind="stable")]
    first = vectors[0]
    across = np.linalg.norm(np.cross(first, vectors), axis=1) > 1e-3 * np.linalg.norm(first) ** 2
    second = vectors[np.argmax(across)]
    normal = np.cross(first, second)
    third = vectors[np.argmax(np.abs(vectors @ normal) > 1e-3 * np.linalg.norm(normal) * np.linalg.norm(first))]
    return np.linalg.norm([first, second, third], axis=1)


def _central(shortest: np.ndarray, neighbours: Sequence[list[int]]) -> list[int]:
    """Cells by how many they have near them, among equals those in the middle of their neighbours first."""
    counts = np.array([len(n) for n in neighbours])
    distance = np.array(
        [np.abs(shortest[i] - np.median(shortest[near], axis=0)).max() for i, near in enumerate(neighbours)]
    )
    return [int(i) for i in np.lexsort((*shortest.T[::-1].round(9), distance.round(9), -counts))]
