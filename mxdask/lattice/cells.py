"""Cells as metric tensors: minimum cell, symmetrised cell, likeness of two cells."""

from __future__ import annotations

from typing import Any

import gemmi
import numpy as np

from mxdask.errors import MxdaskError
from mxdask.models.crystal import cell_parameters, orthogonalisation_matrix

# A change of basis is a (3, 3) matrix P whose rows are the new axes in terms of the old ones, so the same P takes
# indices: h' = P·h, (a', b', c')ᵀ = P·(a, b, c)ᵀ, A' = A·P⁻¹.


def real_space(cell: Any) -> np.ndarray:
    """(3, 3) rows a, b, c (Å) of a cell (Å, degrees) in the PDB frame."""
    return orthogonalisation_matrix(cell).T


def metric_tensor(cell: Any) -> np.ndarray:
    """(3, 3) direct metric a_i·a_j (Å²) of a cell."""
    axes = real_space(cell)
    return axes @ axes.T


def cell_of_metric(metric: np.ndarray) -> np.ndarray:
    """(6,) cell parameters (Å, degrees) of a direct metric tensor."""
    lengths = np.sqrt(np.diag(metric))
    cosines = np.array([metric[1, 2], metric[0, 2], metric[0, 1]]) / (lengths[[1, 0, 0]] * lengths[[2, 2, 1]])
    return np.concatenate([lengths, np.rad2deg(np.arccos(np.clip(cosines, -1, 1)))])


def change_cell(cell: Any, P: np.ndarray) -> np.ndarray:
    """(6,) parameters of the cell whose axes are the rows of ``P`` in terms of the old axes."""
    return cell_parameters(np.asarray(P) @ real_space(cell))


def symmetrised_metric(metric: np.ndarray, ops: np.ndarray) -> np.ndarray:
    """Mean of W·G·Wᵀ over the operators W of a group (n, 3, 3): the nearest metric that has the group's symmetry."""
    return np.einsum("nij,jk,nlk->il", ops, metric, ops) / len(ops)


def symmetrised_cell(cell: Any, ops: np.ndarray) -> np.ndarray:
    """(6,) cell averaged over a point group given as index operators (n, 3, 3) in the setting of the cell."""
    return cell_of_metric(symmetrised_metric(metric_tensor(cell), ops))


def similar(cell: Any, other: Any, *, length_tolerance: float = 0.05, angle_tolerance: float = 2.0) -> bool:
    """Whether lengths agree within a fraction and angles within degrees."""
    cell, other = np.asarray(cell, dtype=float), np.asarray(other, dtype=float)
    lengths = np.abs(cell[:3] / other[:3] - 1.0) <= length_tolerance
    angles = np.abs(cell[3:] - other[3:]) <= angle_tolerance
    return bool(lengths.all() and angles.all())


def minimum_cell(cell: Any, centring: str = "P") -> tuple[np.ndarray, np.ndarray]:
    """Change of basis to the reduced (Niggli) primitive cell, and that cell.

    A primitive cell that differs from its Niggli cell only in signs or ties within the noise (angles within 2°,
    lengths within 1 %) is kept as it is, so that crystals alike stay alike.

    Parameters
    ----------
    cell : a, b, c, α, β, γ in Å and degrees.
    centring : P, A, B, C, I, F or R (hexagonal axes).

    Returns
    -------
    P : (3, 3) with h_min = P·h, determinant positive.
    minimum : (6,) the minimum cell.
    """
    vector = gemmi.GruberVector(gemmi.UnitCell(*(float(x) for x in cell)), centring, True)
    steps = vector.niggli_reduce(epsilon=1e-9, iteration_limit=1000)
    if steps >= 1000 or not np.all(np.isfinite(vector.parameters)):
        raise MxdaskError(f"cell {np.round(cell, 3).tolist()} cannot be reduced: is it a real cell?")
    op = vector.change_of_basis
    P = np.array(op.rot, dtype=float).T / op.DEN
    P = P * np.sign(np.linalg.det(P))
    minimum = change_cell(cell, P)
    if centring == "P" and _reduced_enough(np.asarray(cell, dtype=float), minimum):
        return np.eye(3), np.asarray(cell, dtype=float)
    return P, minimum


def _reduced_enough(cell: np.ndarray, minimum: np.ndarray) -> bool:
    """Axes as short and in the same order as in the Niggli cell, angles equal or on the other side of 90°."""
    lengths = np.abs(cell[:3] / minimum[:3] - 1.0) <= 0.01
    obtuse = np.maximum(cell[3:], 180 - cell[3:])
    return bool(lengths.all() and np.all(np.abs(obtuse - np.maximum(minimum[3:], 180 - minimum[3:])) <= 2.0))
