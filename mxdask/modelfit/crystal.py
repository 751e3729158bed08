"""Parameters of a crystal: three rotations, and the reciprocal metric under its point group (front.md 12.4)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np

from mxdask.modelfit.rotations import composed
from mxdask.models import Crystal

AXES = np.eye(3)
# The six independent elements of a symmetric matrix, in the order of the parameters.
PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
METRIC_UNIT = 1e-5  # Å⁻²: with it the parameters' sizes are like those of angles in mrad
U_NAMES = ("Phi1", "Phi2", "Phi3")


def symmetric(elements: np.ndarray) -> np.ndarray:
    """(..., 3, 3) from (..., 6) in the order of PAIRS."""
    i = np.array([[0, 3, 4], [3, 1, 5], [4, 5, 2]])
    return elements[..., i]


@lru_cache(maxsize=256)
def metric_basis(space_group_hall: str) -> np.ndarray:
    """(k, 3, 3) basis of the reciprocal metrics that the point group leaves as they are, in reduced echelon form.

    Averaging R·G*·Rᵀ over the group projects any metric onto the invariant ones.
    """
    operations = gemmi.symops_from_hall(space_group_hall)
    rotations = np.array([op.rot for op in operations.sym_ops], dtype=np.float64) / gemmi.Op.DEN
    images = []
    for element in np.eye(6):
        mean = np.mean(rotations @ symmetric(element) @ rotations.transpose(0, 2, 1), axis=0)
        images.append([mean[i, j] for i, j in PAIRS])
    return symmetric(_echelon(np.array(images)))


def _echelon(rows: np.ndarray) -> np.ndarray:
    """Reduced row echelon form without zero rows."""
    rows = rows.copy()
    rank = 0
    for column in range(rows.shape[1]):
        pivot = rank + int(np.argmax(np.abs(rows[rank:, column]))) if rank < len(rows) else rank
        if rank == len(rows) or abs(rows[pivot, column]) < 1e-9:
            continue
        rows[[rank, pivot]] = rows[[pivot, rank]]
        rows[rank] /= rows[rank, column]
        others = np.arange(len(rows)) != rank
        rows[others] -= np.outer(rows[others, column], rows[rank])
        rank += 1
    return rows[:rank]


def b_of_metric(metric: np.ndarray) -> np.ndarray:
    """B (..., 3, 3) of reciprocal metrics G* = BᵀB in the convention x ∥ a, z ∥ c* (B is lower triangular)."""
    lower = np.linalg.cholesky(metric[..., ::-1, ::-1])
    return np.swapaxes(lower[..., ::-1, ::-1], -1, -2)


def b_derivatives(B: np.ndarray, d_metric: np.ndarray) -> np.ndarray:
    """dB (..., k, 3, 3) for changes (k, 3, 3) of the metric: dG = dBᵀB + BᵀdB with dB·B⁻¹ lower triangular."""
    inverse = np.linalg.inv(B)[..., None, :, :]
    X = np.swapaxes(inverse, -1, -2) @ d_metric @ inverse
    lower = np.tril(X)
    lower[..., [0, 1, 2], [0, 1, 2]] *= 0.5
    return lower @ B[..., None, :, :]


@dataclass(frozen=True)
class CrystalParameters:
    """Shifts about a starting crystal: Phi1..3 (mrad, about x, y, z of the datum frame), then the metric (10⁻⁵ Å⁻²)."""

    crystal: Crystal
    U0: np.ndarray
    metric0: np.ndarray
    basis: np.ndarray

    @classmethod
    def of(cls, crystal: Crystal) -> CrystalParameters:
        """The start is the crystal with its metric averaged over its point group."""
        basis = metric_basis(crystal.space_group_hall)
        metric = crystal.A.T @ crystal.A
        flat = np.array([[m[i, j] * (1.0 if i == j else np.sqrt(2.0)) for i, j in PAIRS] for m in (*basis, metric)])
        coefficients = np.linalg.lstsq(flat[:-1].T, flat[-1], rcond=None)[0]
        U0 = crystal.A @ np.linalg.inv(b_of_metric(metric))
        return cls(crystal, U0, np.tensordot(coefficients, basis, 1), basis)

    @property
    def size(self) -> int:
        """Three angles and the free elements of the metric."""
        return 3 + len(self.basis)

    @property
    def names(self) -> list[str]:
        """Names of the parameters."""
        return [*U_NAMES, *(f"g_param_{i}" for i in range(len(self.basis)))]

    def B(self, values: np.ndarray) -> np.ndarray:
        """(..., 3, 3) of parameter values (..., size)."""
        shift = np.tensordot(values[..., 3:], self.basis, 1) * METRIC_UNIT
        return b_of_metric(self.metric0 + shift)

    def A(self, values: np.ndarray) -> np.ndarray:
        """(..., 3, 3) of parameter values (..., size)."""
        return composed(AXES, values[..., :3])[0] @ self.U0 @ self.B(values)

    def A_and_derivatives(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A (..., 3, 3) and dA/dparameter (..., size, 3, 3)."""
        R, dR = composed(AXES, values[..., :3])
        B = self.B(values)
        U = R @ self.U0
        dB = b_derivatives(B, self.basis * METRIC_UNIT)
        dA = np.concatenate([dR @ (self.U0 @ B)[..., None, :, :], U[..., None, :, :] @ dB], axis=-3)
        return U @ B, dA

    def B_covariance(self, values: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        """(9, 9) covariance of the row-major elements of B from that (size, size) of the parameters."""
        J = b_derivatives(self.B(values), self.basis * METRIC_UNIT).reshape(len(self.basis), 9)
        return J.T @ covariance[3:, 3:] @ J
