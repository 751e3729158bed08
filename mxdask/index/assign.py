"""Which lattice and which indices each spot gets (front.md 9.6, the method "simple")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_SAME_REFLECTION = np.deg2rad(45.0)


@dataclass(frozen=True)
class Assignment:
    """Indices of n spots.

    Attributes
    ----------
    lattice : (n,) index of the lattice, -1 for none.
    hkl : (n, 3) i4, zero where unindexed.
    distance : (n,) distance from whole-number indices to the nearest lattice, also of unindexed spots.
    """

    lattice: np.ndarray
    hkl: np.ndarray
    distance: np.ndarray


def assign(
    rlp: np.ndarray,
    setting_matrices: Sequence[np.ndarray],
    *,
    tolerance: float,
    sweep: np.ndarray | None = None,
    phi: np.ndarray | None = None,
    entering: np.ndarray | None = None,
) -> Assignment:
    """Give each reciprocal lattice point to the lattice whose node is nearest.

    Parameters
    ----------
    rlp : (n, 3) Å⁻¹, datum frame.
    setting_matrices : A (3, 3) of each lattice.
    tolerance : largest Euclidean distance of fractional from whole-number indices.
    sweep, phi (radians), entering : (n,); where given, of several spots of a sweep with one index, on one side of the
        sphere and within 45° of rotation, only the nearest to the node keeps it.
    """
    node = nearest_nodes(rlp, setting_matrices)
    best, lattice, hkl = node.distance, node.lattice, node.hkl
    unindexed = (best > tolerance) | ~np.any(hkl, axis=1)
    lattice[unindexed] = -1
    hkl[unindexed] = 0
    found = Assignment(lattice, hkl, best)
    if phi is not None and sweep is not None and entering is not None:
        return without_duplicates(found, sweep, phi, entering)
    return found


def nearest_nodes(rlp: np.ndarray, setting_matrices: Sequence[np.ndarray]) -> Assignment:
    """The lattice and node nearest to each reciprocal lattice point, however far."""
    n = len(rlp)
    best = np.full(n, np.inf)
    lattice = np.full(n, -1, dtype=np.int32)
    hkl = np.zeros((n, 3), dtype=np.int32)
    for k, A in enumerate(setting_matrices):
        fractional = rlp @ np.linalg.inv(A).T
        nearest = np.rint(fractional)
        distance = np.sqrt(np.einsum("ij,ij->i", fractional - nearest, fractional - nearest))
        closer = distance < best
        best[closer], lattice[closer], hkl[closer] = distance[closer], k, nearest[closer]
    return Assignment(lattice, hkl, best)


def without_duplicates(found: Assignment, sweep: np.ndarray, phi: np.ndarray, entering: np.ndarray) -> Assignment:
    """Of several spots of a sweep with one index, on one side and within 45°, only the nearest to the node keeps it."""
    lattice, hkl = found.lattice.copy(), found.hkl.copy()
    rows = np.nonzero(lattice >= 0)[0]
    key = np.column_stack([lattice[rows], sweep[rows], hkl[rows], entering[rows]]).astype(np.int64)
    again = rows[_duplicates(key, phi[rows], found.distance[rows])]
    lattice[again] = -1
    hkl[again] = 0
    return Assignment(lattice, hkl, found.distance)


def _duplicates(key: np.ndarray, phi: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Rows that share their key with a nearer row less than 45° away in a chain of φ."""
    if len(key) == 0:
        return np.zeros(0, dtype=np.int64)
    order = np.lexsort((phi, *key.T[::-1]))
    new_key = np.any(np.diff(key[order], axis=0) != 0, axis=1)
    new_group = np.concatenate([[True], new_key | (np.diff(phi[order]) > _SAME_REFLECTION)])
    group = np.cumsum(new_group)
    ranked = np.lexsort((order, distance[order], group))
    first = np.concatenate([[True], np.diff(group[ranked]) != 0])
    return order[ranked[~first]]
