"""Changes of basis: notation, cosets, and what they do to crystals and indices."""

from __future__ import annotations

from fractions import Fraction

import gemmi
import numpy as np

from mxdask.errors import MxdaskError
from mxdask.lattice.point_groups import as_group
from mxdask.models.crystal import Crystal, hall_of


def _row_text(row: np.ndarray, letters: str) -> str:
    text = ""
    for value, letter in zip(row, letters, strict=True):
        number = Fraction(float(value)).limit_denominator(24)
        if number == 0:
            continue
        size = "" if abs(number) == 1 else f"{abs(number)}*"
        text += ("-" if number < 0 else "+" if text else "") + size + letter
    return text or "0"


def abc_of(P: np.ndarray) -> str:
    """A change of basis in a,b,c notation: the new axes in terms of the old (``a+c,-a-b,-b-c``)."""
    return ",".join(_row_text(row, "abc") for row in P)


def xyz_of(P: np.ndarray) -> str:
    """A change of basis in x,y,z notation: the new coordinates in terms of the old, x' = (P⁻¹)ᵀ·x."""
    return ",".join(_row_text(row, "xyz") for row in np.linalg.inv(P).T)


def hkl_of(P: np.ndarray) -> str:
    """A change of basis in h,k,l notation: the new indices in terms of the old."""
    return ",".join(_row_text(row, "hkl") for row in P)


def parse_change_of_basis(text: str) -> np.ndarray:
    """(3, 3) P with h' = P·h from x,y,z, a,b,c or h,k,l notation.

    Raises
    ------
    MxdaskError : not such a triplet, or one without an inverse.
    """
    kind = next((k for k in ("xyz", "abc", "hkl") if any(c in text.lower() for c in k)), None)
    try:
        if kind is None:
            raise ValueError
        triplet = text.lower().replace(" ", "")
        for old, new in zip(kind, "xyz", strict=True):
            triplet = triplet.replace(old, new)
        seitz = np.array(gemmi.Op(triplet).float_seitz())
        matrix = seitz[:3, :3]
        if abs(np.linalg.det(matrix)) < 1e-6:
            raise ValueError
    except (ValueError, RuntimeError):
        raise MxdaskError(f"change of basis {text!r}: give three terms such as b,c,a or x-y,x,z or h,-l,k") from None
    return np.linalg.inv(matrix).T if kind == "xyz" else matrix


def point_group(space_group: gemmi.SpaceGroup) -> np.ndarray:
    """(n, 3, 3) proper rotations of a space group as operators on indices, h' = W·h (improper ones × -1)."""
    ops = []
    for op in space_group.operations().sym_ops:
        W = np.array(op.rot, dtype=np.int64).T // op.DEN
        ops.append(W if op.det_rot() > 0 else -W)
    return as_group(ops)


def setting_in(group: np.ndarray, P: np.ndarray) -> np.ndarray:
    """The operators (n, 3, 3) of a group in the basis h' = P·h, which must keep them integer."""
    return as_group(np.rint(P @ group @ np.linalg.inv(P)).astype(np.int64))


def left_cosets(group: np.ndarray, subgroup: np.ndarray) -> list[np.ndarray]:
    """Representatives g of the left cosets g·H of a group, identity first, then simplest rotations first.

    A data set whose indices may be off by an operator of ``group`` while its intensities have the symmetry
    ``subgroup`` has as many possible settings as there are cosets.
    """
    left = list(as_group(group))
    representatives = []
    while left:
        g = left[0]
        coset = [g @ h for h in subgroup]
        representatives.append(g)
        left = [op for op in left if not any(np.array_equal(op, member) for member in coset)]
    if len(representatives) * len(subgroup) != len(group):
        raise MxdaskError("cosets: the second group is not a subgroup of the first")
    return representatives


def reindex(hkl: np.ndarray, P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) int32 indices P·h, and (n,) whether they are integers (the others mean nothing in the new cell)."""
    moved = np.asarray(hkl) @ np.asarray(P, dtype=float).T
    rounded = np.rint(moved)
    return rounded.astype(np.int32), np.all(np.abs(moved - rounded) < 1e-3, axis=1)


def constrain_crystal(crystal: Crystal, space_group: gemmi.SpaceGroup) -> Crystal:
    """A crystal with a space group and a cell that obeys it.

    The metric is averaged under the point group; orientation is kept in the sense of the polar decomposition
    A = R·(AᵀA)^½, which favours no axis. Matrices at scan points are treated alike.
    """
    group = point_group(space_group)
    points = crystal.A_at_scan_points
    return crystal.with_A(
        _constrain_A(crystal.A, group),
        A_at_scan_points=None if points is None else np.array([_constrain_A(A, group) for A in points]),
        space_group_hall=hall_of(space_group),
        recalculated_cell=None,
        recalculated_cell_esd=None,
        recalculated_volume_esd=None,
    )


def _constrain_A(A: np.ndarray, group: np.ndarray) -> np.ndarray:
    direct = np.linalg.inv(A.T @ A)
    averaged = np.einsum("nij,jk,nlk->il", group, direct, group) / len(group)
    return A @ _root(direct) @ _root(np.linalg.inv(averaged))


def _root(metric: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(metric)
    return (vectors * np.sqrt(values)) @ vectors.T


def to_setting(crystal: Crystal, P: np.ndarray, space_group: gemmi.SpaceGroup) -> Crystal:
    """Change of basis h' = P·h followed by the constraint of a space group."""
    return constrain_crystal(crystal.change_basis(P, " P 1"), space_group)
