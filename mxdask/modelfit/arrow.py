"""Normal equations with an arrow's shape: per-crystal blocks and a common border (front.md 12.8)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve


@dataclass(frozen=True)
class Normal:
    """N and gradient of ½Σw r² over G border parameters and K independent blocks of crystals.

    Attributes
    ----------
    border : (G, G) and border_gradient : (G,).
    blocks : K arrays (n_k, n_k); gradients : K arrays (n_k,); couplings : K arrays (G, n_k).
    objective : ½Σw r², priors included.
    sums : (experiments, 6) Σr² of x, y, φ (mm², mm², rad²), Σw r², reflections used, reflections off the sphere.
    """

    border: np.ndarray
    border_gradient: np.ndarray
    blocks: list[np.ndarray]
    gradients: list[np.ndarray]
    couplings: list[np.ndarray]
    objective: float
    sums: np.ndarray

    @property
    def rmsd(self) -> np.ndarray:
        """(3,) over all experiments, mm, mm, rad."""
        total = self.sums.sum(axis=0)
        return np.sqrt(total[:3] / max(total[4], 1.0))

    @property
    def gradient(self) -> np.ndarray:
        """All gradients, border first."""
        return np.concatenate([self.border_gradient, *self.gradients])

    @property
    def diagonal(self) -> np.ndarray:
        """(size,) diagonal of the matrix, border first."""
        return np.concatenate([np.diag(self.border), *(np.diag(b) for b in self.blocks)])

    def dense(self) -> np.ndarray:
        """The whole matrix (tests, few crystals)."""
        sizes = [len(self.border), *(len(b) for b in self.blocks)]
        at = np.concatenate([[0], np.cumsum(sizes)])
        N = np.zeros((at[-1], at[-1]))
        N[: at[1], : at[1]] = self.border
        for k, (block, coupling) in enumerate(zip(self.blocks, self.couplings, strict=True)):
            rows = slice(at[k + 1], at[k + 2])
            N[rows, rows] = block
            N[: at[1], rows] = coupling
            N[rows, : at[1]] = coupling.T
        return N


class Arrow:
    """Cholesky factors of N·(1 + μ on the diagonal) by Schur's complement of the blocks.

    Rows and columns are scaled by 1/√diag first: the units of the parameters then do not matter to rounding.

    Raises
    ------
    numpy.linalg.LinAlgError : not positive definite.
    """

    def __init__(self, normal: Normal, damping: float) -> None:
        self._scale = 1.0 / np.sqrt(normal.diagonal)
        at = np.concatenate([[0], np.cumsum([len(normal.border), *(len(b) for b in normal.blocks)])])
        self._slices = [slice(a, b) for a, b in itertools.pairwise(at)]
        outer = self._scale[self._slices[0]]
        schur = _scaled(normal.border, outer, outer, damping)
        self._factors, self._couplings = [], []
        for k, block in enumerate(normal.blocks):
            inner = self._scale[self._slices[k + 1]]
            if not len(block):
                self._factors.append((block, True))
                self._couplings.append(normal.couplings[k])
                continue
            factor = cho_factor(_scaled(block, inner, inner, damping), lower=True, check_finite=False)
            coupling = outer[:, None] * normal.couplings[k] * inner
            schur -= coupling @ cho_solve(factor, coupling.T, check_finite=False)
            self._factors.append(factor)
            self._couplings.append(coupling)
        self._schur = cho_factor(schur, lower=True, check_finite=False) if len(schur) else None

    def solve(self, rhs: np.ndarray) -> np.ndarray:
        """x of N·x = rhs, border first."""
        b = self._scale * rhs
        x = np.empty_like(b)
        border = b[self._slices[0]].copy()
        solved = [
            cho_solve(f, b[rows], check_finite=False) for f, rows in zip(self._factors, self._slices[1:], strict=True)
        ]
        for coupling, y in zip(self._couplings, solved, strict=True):
            border -= coupling @ y
        if self._schur is not None:
            border = cho_solve(self._schur, border, check_finite=False)
        x[self._slices[0]] = border
        for k, rows in enumerate(self._slices[1:]):
            x[rows] = solved[k] - cho_solve(self._factors[k], self._couplings[k].T @ border, check_finite=False)
        return self._scale * x

    def covariance(self, k: int) -> np.ndarray:
        """Block of N⁻¹: the border's for k = -1, else crystal k's."""
        rows = self._slices[k + 1]
        size, border = rows.stop - rows.start, self._slices[0].stop
        if k < 0:
            inverse = np.zeros((0, 0)) if self._schur is None else cho_solve(self._schur, np.eye(border))
        else:
            inverse = cho_solve(self._factors[k], np.eye(size))
            if self._schur is not None:
                arm = cho_solve(self._factors[k], self._couplings[k].T)
                inverse = inverse + arm @ cho_solve(self._schur, arm.T)
        return self._scale[rows, None] * inverse * self._scale[rows]


def _scaled(matrix: np.ndarray, left: np.ndarray, right: np.ndarray, damping: float) -> np.ndarray:
    scaled = left[:, None] * matrix * right
    scaled[np.diag_indices_from(scaled)] *= 1.0 + damping
    return scaled
