"""A crystal: cell, orientation, space group."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import gemmi
import numpy as np

from mxdask.errors import MxdaskError
from mxdask.models.arrays import frozen


def orthogonalisation_matrix(cell: Any) -> np.ndarray:
    """O of the PDB convention (x ∥ a, z ∥ c*): columns are a, b, c in Å. ``cell`` is a, b, c, α, β, γ (Å, degrees)."""
    a, b, c = (float(x) for x in cell[:3])
    ca, cb, cg = np.cos(np.deg2rad(np.asarray(cell[3:6], dtype=np.float64)))
    sg = np.sqrt(1.0 - cg * cg)
    volume = a * b * c * np.sqrt(max(0.0, 1 - ca * ca - cb * cb - cg * cg + 2 * ca * cb * cg))
    return np.array([[a, b * cg, c * cb], [0, b * sg, c * (ca - cb * cg) / sg], [0, 0, volume / (a * b * sg)]])


def b_matrix(cell: Any) -> np.ndarray:
    """B (Å⁻¹): reciprocal cell in the crystal's Cartesian frame, q = B·h; B = (O⁻¹)ᵀ."""
    return np.linalg.inv(orthogonalisation_matrix(cell)).T


def busing_levy(cell: Any) -> np.ndarray:
    """B (Å⁻¹) with a* along x and b* in the xy plane, the convention of U in MTZ files.

    Busing & Levy (1967) Acta Cryst. 22, 457, equation 3. It differs from :func:`b_matrix` (a along x) for cells with
    oblique angles.
    """
    reciprocal = np.linalg.inv(orthogonalisation_matrix(cell))  # rows a*, b*, c*
    return np.linalg.cholesky(reciprocal @ reciprocal.T).T


def cell_parameters(real_space: np.ndarray) -> np.ndarray:
    """(6,) a, b, c, α, β, γ (Å, degrees) of real-space vectors given as the rows of a (3, 3) matrix."""
    metric = real_space @ real_space.T
    lengths = np.sqrt(np.diag(metric))
    pairs = ((1, 2), (0, 2), (0, 1))
    cosines = [metric[i, j] / (lengths[i] * lengths[j]) for i, j in pairs]
    return np.concatenate([lengths, np.rad2deg(np.arccos(np.clip(cosines, -1, 1)))])


@cache
def _operations_of_hall(symbol: str) -> gemmi.GroupOps:
    try:
        return gemmi.symops_from_hall(symbol)
    except (RuntimeError, ValueError) as error:
        raise MxdaskError(f"crystal: {symbol!r} is no Hall symbol of a space group ({error})") from error


@dataclass(frozen=True, eq=False)
class Crystal:
    """A crystal lattice in the goniometer datum frame (all angles zero).

    Attributes
    ----------
    real_space : (3, 3) rows a, b, c (Å).
    space_group_hall : Hall symbol as DIALS writes it (leading blank).
    A_at_scan_points : (n_images + 1, 3, 3) Å⁻¹ at the image boundaries, or None.
    B_covariance : (9, 9) of the row-major elements of B, or None.
    recalculated_cell, recalculated_cell_esd, recalculated_volume_esd : from two-theta refinement, or None.
    extra : other keys of the file (mosaicity models …), kept verbatim.
    """

    real_space: np.ndarray
    space_group_hall: str = " P 1"
    A_at_scan_points: np.ndarray | None = None
    B_covariance: np.ndarray | None = None
    B_covariance_at_scan_points: np.ndarray | None = None
    recalculated_cell: tuple[float, ...] | None = None
    recalculated_cell_esd: tuple[float, ...] | None = None
    recalculated_volume_esd: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        real_space = frozen(self.real_space, (3, 3))
        if not np.all(np.isfinite(real_space)) or abs(np.linalg.det(real_space)) < 1e-6:
            raise MxdaskError(f"crystal: real-space vectors {real_space.tolist()} do not span a cell")
        object.__setattr__(self, "real_space", real_space)
        _operations_of_hall(self.space_group_hall)

    @classmethod
    def from_A(cls, A: np.ndarray, space_group_hall: str = " P 1", **others: Any) -> Crystal:
        """A crystal from its setting matrix A = U·B (3, 3), Å⁻¹."""
        return cls(np.linalg.inv(np.asarray(A)), space_group_hall, **others)

    @cached_property
    def A(self) -> np.ndarray:
        """(3, 3) Å⁻¹, r = A·h in the datum frame."""
        return np.linalg.inv(self.real_space)

    @property
    def cell(self) -> np.ndarray:
        """(6,) a, b, c, α, β, γ in Å and degrees."""
        return cell_parameters(self.real_space)

    @property
    def volume(self) -> float:
        """Å³."""
        return abs(float(np.linalg.det(self.real_space)))

    @property
    def B(self) -> np.ndarray:
        """(3, 3) orthogonalisation matrix Å⁻¹ of the cell (see :func:`b_matrix`)."""
        return b_matrix(self.cell)

    @property
    def U(self) -> np.ndarray:
        """(3, 3) orientation, A·B⁻¹, made exactly orthogonal up to rounding by construction of B."""
        return self.A @ np.linalg.inv(self.B)

    @property
    def space_group(self) -> gemmi.SpaceGroup:
        """gemmi's space group of the Hall symbol."""
        group = gemmi.find_spacegroup_by_ops(_operations_of_hall(self.space_group_hall))
        if group is None:
            raise MxdaskError(f"crystal: Hall symbol {self.space_group_hall!r} is not in gemmi's table")
        return group

    def with_A(self, A: np.ndarray, **others: Any) -> Crystal:
        """The same crystal with another static setting matrix; anything derived from the old one is dropped."""
        fresh: dict[str, Any] = {"A_at_scan_points": None, "B_covariance": None, "B_covariance_at_scan_points": None}
        return replace(self, real_space=np.linalg.inv(np.asarray(A)), **(fresh | others))

    def change_basis(self, P: np.ndarray, space_group_hall: str | None = None) -> Crystal:
        """Indices h' = P·h (P (3, 3), integer or rational); covariances no longer apply and are dropped."""
        inverse = np.linalg.inv(np.asarray(P, dtype=np.float64))
        points = None if self.A_at_scan_points is None else self.A_at_scan_points @ inverse
        return Crystal.from_A(
            self.A @ inverse, space_group_hall or self.space_group_hall, A_at_scan_points=points, extra=self.extra
        )

    def cell_esds(self) -> np.ndarray | None:
        """(7,) esds of a, b, c (Å), α, β, γ (degrees) and V (Å³) from ``B_covariance``; None without one.

        First-order propagation B → O = (B⁻¹)ᵀ → parameters (front.md 1.5).
        """
        if self.B_covariance is None:
            return None
        B = self.B

        def parameters(b: np.ndarray) -> np.ndarray:
            real = np.linalg.inv(b)  # rows a, b, c: O = (B⁻¹)ᵀ has them as columns
            return np.append(cell_parameters(real), abs(np.linalg.det(real)))

        jacobian = np.empty((7, 9))
        step = 1e-6 * np.abs(B).max()
        for k in range(9):
            shift = np.zeros(9)
            shift[k] = step
            delta = shift.reshape(3, 3)
            jacobian[:, k] = (parameters(B + delta) - parameters(B - delta)) / (2 * step)
        return np.sqrt(np.maximum(0.0, np.diag(jacobian @ self.B_covariance @ jacobian.T)))


def hall_of(space_group: gemmi.SpaceGroup) -> str:
    """Hall symbol with DIALS' leading blank."""
    return " " + space_group.hall if not space_group.hall.startswith((" ", "-")) else space_group.hall
