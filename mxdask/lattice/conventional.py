"""The conventional cell of a point group acting on a primitive lattice."""

from __future__ import annotations

from itertools import product

import gemmi
import numpy as np

from mxdask.errors import MxdaskError
from mxdask.lattice.point_groups import axes, rotation_order

# Lattice vectors tried as conventional axes: a reduced cell's conventional axes have components of at most 3.
_VECTORS = np.array([v for v in product(range(-4, 5), repeat=3) if any(v)], dtype=np.int64)
# Of equally long vectors prefer the simplest and most positive one, so that the choice does not hang on noise.
_SIMPLICITY = np.abs(_VECTORS).sum(axis=1) * 10 - np.sign(_VECTORS).sum(axis=1)

# Below this the sign of β - 90° says nothing, and turning the axes round would only change the indices.
_BETA_NOISE = 0.5


def conventional_basis(metric: np.ndarray, group: np.ndarray, *, best_monoclinic_beta: bool = True) -> np.ndarray:
    """Conventional axes of a primitive cell under a group, in the best cell.

    Orthorhombic a < b < c (a < b where one face is centred: that is C), monoclinic with b unique, the two shortest
    axes of the plane across it (smallest β; the centring then is C or I), rhombohedral on hexagonal obverse axes.

    Parameters
    ----------
    metric : (3, 3) Å², symmetrised by the group.
    group : (n, 3, 3) operators on the indices of the primitive cell.
    best_monoclinic_beta : allow I2 where its β is smaller than that of C2.

    Returns
    -------
    (3, 3) integers, rows = new axes in terms of the primitive ones; right-handed.
    """
    by_order: dict[int, list[np.ndarray]] = {}
    for op in group:
        by_order.setdefault(rotation_order(op), []).append(op)
    if 1 not in by_order or 0 in by_order:
        raise MxdaskError("point group: its operators are not the rotations of a lattice")
    if len(by_order.get(3, ())) == 8:
        return _cubic(by_order)
    if 3 in by_order:
        return _hexagonal(metric, by_order[3][0])
    if 4 in by_order:
        return _tetragonal(metric, by_order[4][0])
    if len(by_order.get(2, ())) == 3:
        return _orthorhombic(metric, by_order[2])
    if 2 in by_order:
        return _monoclinic(metric, by_order[2][0], best_monoclinic_beta)
    return np.eye(3, dtype=np.int64)


def setting_matrices(group: np.ndarray, P: np.ndarray) -> np.ndarray:
    """Operators in another basis, P·W·P⁻¹ (n, 3, 3); rounded to integers where they are.

    Raises
    ------
    MxdaskError : the new axes are not permuted among lattice vectors by the group.
    """
    moved = P @ group @ np.linalg.inv(P)
    rounded = np.rint(moved)
    if not np.allclose(moved, rounded, atol=1e-6):
        raise MxdaskError("change of basis: the symmetry operators are not integer matrices in the new setting")
    return rounded.astype(np.int64)


def centring_vectors(P: np.ndarray) -> np.ndarray:
    """(m, 3) fractional coordinates, in the new cell, of the lattice points it holds; the origin first."""
    index = round(abs(float(np.linalg.det(P))))
    grid = np.array(list(product(range(max(index, 1)), repeat=3)))
    points = np.mod(np.rint(grid @ np.linalg.inv(P) * 24).astype(int), 24)
    return np.unique(points, axis=0) / 24


def space_group_of(group: np.ndarray, P: np.ndarray) -> gemmi.SpaceGroup:
    """The symmorphic Sohncke group of a point group in the setting given by its basis ``P`` (primitive → new)."""
    operations = gemmi.GroupOps([_op(W.T) for W in setting_matrices(group, P)])
    operations.cen_ops = [[round(24 * x) for x in t] for t in centring_vectors(P)]
    found = gemmi.find_spacegroup_by_ops(operations)
    if found is None:
        raise MxdaskError("point group: no space group in gemmi's table has this setting")
    return found


def _op(rotation: np.ndarray) -> gemmi.Op:
    op = gemmi.Op("x,y,z")
    op.rot = [[int(x) * op.DEN for x in row] for row in rotation]
    return op


def _length2(metric: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return np.einsum("ni,ij,nj->n", vectors, metric, vectors)


def _across(metric: np.ndarray, reciprocal: np.ndarray) -> np.ndarray:
    """Lattice vectors in the plane across a reciprocal direction, shortest first, ties by simplicity."""
    plane = _VECTORS @ reciprocal == 0
    vectors, simplicity = _VECTORS[plane], _SIMPLICITY[plane]
    length = np.sqrt(_length2(metric, vectors))
    rounded = np.rint(length / length.min() * 1e5)
    order = np.lexsort((*(-vectors.T), simplicity, rounded))
    return vectors[order]


def _right_handed(basis: np.ndarray, flip: int) -> np.ndarray:
    """Reverse one axis if the set is left-handed."""
    if np.linalg.det(basis) < 0:
        basis[flip] *= -1
    return basis


def _cubic(by_order: dict[int, list[np.ndarray]]) -> np.ndarray:
    fourfold = by_order.get(4) or by_order[2]
    directions = sorted({tuple(int(x) for x in axes(op)[0]) for op in fourfold}, reverse=True)
    return _right_handed(np.array(directions, dtype=np.int64), flip=2)


def _hexagonal(metric: np.ndarray, threefold: np.ndarray) -> np.ndarray:
    c, reciprocal = axes(threefold)
    a = _across(metric, reciprocal)[0]
    basis = np.array([a, a @ threefold, c])
    if np.linalg.det(basis) < 0:
        basis[1] = a @ threefold @ threefold
    obverse = np.array([2 / 3, 1 / 3, 1 / 3]) @ basis
    if len(centring_vectors(basis)) == 3 and not np.allclose(obverse, np.rint(obverse), atol=1e-6):
        basis[:2] *= -1
    return basis


def _tetragonal(metric: np.ndarray, fourfold: np.ndarray) -> np.ndarray:
    c, reciprocal = axes(fourfold)
    a = _across(metric, reciprocal)[0]
    basis = np.array([a, a @ fourfold, c])
    if np.linalg.det(basis) < 0:
        basis[1] *= -1
    return basis


def _orthorhombic(metric: np.ndarray, twofolds: list[np.ndarray]) -> np.ndarray:
    directions = np.array([axes(op)[0] for op in twofolds])
    length = np.rint(np.sqrt(_length2(metric, directions)) * 1e4)
    basis = directions[np.lexsort((*(-directions.T), length))]
    centring = centring_vectors(basis)
    if len(centring) == 2:  # one face, or the body; the centred face becomes C
        across = np.flatnonzero(centring[1] == 0)
        if len(across) == 1:
            basis = np.vstack([np.delete(basis, across[0], axis=0), basis[across]])
    return _right_handed(basis, flip=1)


def _monoclinic(metric: np.ndarray, twofold: np.ndarray, best_beta: bool) -> np.ndarray:
    b, reciprocal = axes(twofold)
    plane = _across(metric, reciprocal)
    a = plane[0]
    c = next(v for v in plane if np.any(np.cross(a, v)))
    basis = _obtuse(metric, np.array([a, b, c]))
    centred = centring_vectors(basis)
    if len(centred) == 2 and centred[1][0] == 0:  # A: exchange a and c to make it C
        basis = _obtuse(metric, basis[[2, 1, 0]])
    elif len(centred) == 2 and centred[1][2] != 0 and not best_beta:  # I → C
        a, b, c = basis
        choices = [_obtuse(metric, np.array([-a - c, b, other])) for other in (c, a)]
        basis = min(choices, key=lambda m: _beta(metric, m))
    return basis


def _beta(metric: np.ndarray, basis: np.ndarray) -> float:
    a, _, c = basis
    return float(np.rad2deg(np.arccos((a @ metric @ c) / np.sqrt((a @ metric @ a) * (c @ metric @ c)))))


def _obtuse(metric: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Right-handed with β ≥ 90°."""
    basis = basis.copy()
    if _beta(metric, basis) < 90 - _BETA_NOISE:
        basis[2] *= -1
    return _right_handed(basis, flip=1)
