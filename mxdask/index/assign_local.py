"""Indices from differences between neighbouring spots (Kabsch 1993, 2010: local indexing; front.md 9.6).

Where an orientation is off by so much that high indices round to the wrong whole number, differences between near spots
are still right. They are passed on along the best edges of a tree; one offset for the whole tree remains.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from scipy.spatial import cKDTree

from mxdask.index.assign import Assignment, nearest_nodes
from mxdask.index.params import LocalAssignment

_LEAST_WEIGHT = 1e-9  # an edge of no weight would not be one in a sparse matrix
_SPOTS_FOR_OFFSET = 10


def assign_local(
    rlp: np.ndarray, phi: np.ndarray, setting_matrices: Sequence[np.ndarray], params: LocalAssignment
) -> Assignment:
    """Give reciprocal lattice points indices by their neighbours.

    Parameters
    ----------
    rlp : (n, 3) Å⁻¹, datum frame. phi : (n,) radians, together with ``rlp`` decides who is near whom.
    setting_matrices : A (3, 3) of each lattice.

    Returns
    -------
    Assignment; points that two lattices claim belong to none. ``distance`` is that from the index assigned, which may
    be large, and for the others that from the nearest node.
    """
    n = len(rlp)
    simple = nearest_nodes(rlp, setting_matrices)
    lattice, hkl, distance = np.full(n, -1, np.int32), np.zeros((n, 3), np.int32), simple.distance.copy()
    claims = np.zeros(n, dtype=np.int64)
    if n < 2:
        return Assignment(lattice, hkl, distance)
    first, second = _neighbours(rlp, phi, params.nearest_neighbours)
    for k, A in enumerate(setting_matrices):
        fractional = rlp @ np.linalg.inv(A).T
        members, found = _of_largest_tree(fractional, first, second, params)
        inside = np.any(found != 0, axis=1)
        members, found = members[inside], found[inside]
        claims[members] += 1
        lattice[members], hkl[members] = k, found
        distance[members] = np.linalg.norm(fractional[members] - found, axis=1)
    disputed = claims > 1
    lattice[disputed], hkl[disputed] = -1, 0
    distance[disputed] = simple.distance[disputed]
    return Assignment(lattice, hkl, distance)


def _neighbours(rlp: np.ndarray, phi: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(m,) and (m,) the two ends of every edge, each edge once."""
    points = np.column_stack([rlp, phi])
    _, near = cKDTree(points).query(points, k=min(count + 1, len(points)))
    ends = np.column_stack([np.repeat(np.arange(len(points)), near.shape[1]), near.ravel()])
    ends = np.unique(np.sort(ends, axis=1), axis=0)
    ends = ends[ends[:, 0] != ends[:, 1]]
    return ends[:, 0], ends[:, 1]


def _of_largest_tree(
    fractional: np.ndarray, first: np.ndarray, second: np.ndarray, params: LocalAssignment
) -> tuple[np.ndarray, np.ndarray]:
    """Points of the largest tree of reliable differences, and their indices (m, 3)."""
    n = len(fractional)
    difference = fractional[second] - fractional[first]
    whole = np.rint(difference)
    off = np.maximum(np.abs(difference - whole) - params.epsilon, 0.0) / params.epsilon
    far = np.maximum(np.abs(whole) - params.delta, 0.0)
    weight = 1.0 - np.exp(-2.0 * np.sum(off**2 + far**2, axis=1))
    tree = minimum_spanning_tree(coo_matrix((weight + _LEAST_WEIGHT, (first, second)), shape=(n, n)).tocsr()).tocoo()
    keep = tree.data < params.l_min
    edges = coo_matrix((np.ones(keep.sum()), (tree.row[keep], tree.col[keep])), shape=(n, n)).tocsr()
    _, label = connected_components(edges, directed=False)
    largest = int(np.argmax(np.bincount(label)))
    root = int(np.flatnonzero(label == largest)[0])
    order, before = breadth_first_order(edges, root, directed=False)
    relative = np.zeros((n, 3))
    for i in order[1:]:
        j = before[i]
        relative[i] = relative[j] + np.rint(fractional[i] - fractional[j])
    # The offset of the whole tree is read where an error of the orientation moves the spots least.
    low = order[np.argsort(np.einsum("ij,ij->i", fractional[order], fractional[order]), kind="stable")]
    offset = np.rint(np.median((fractional - relative)[low[:_SPOTS_FOR_OFFSET]], axis=0))
    return order, (relative[order] + offset).astype(np.int32)
