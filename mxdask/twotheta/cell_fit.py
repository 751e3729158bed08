"""Least squares of a unit cell on scattering angles (front.md 12.9, back.md 15.5).

|r|² = hᵀ·G*·h is linear in the reciprocal metric G*, and 2θ = 2·asin(λ·|r|/2). Neither needs the orientation, nor
the angle at which a spot was seen: what drifts along a scan does not matter. Weights are one, as in DIALS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.modelfit.crystal import b_derivatives, b_of_metric
from mxdask.models import Crystal

MAX_STEPS = 50
CONVERGED = 1e-6  # of an esd
METRIC_UNIT = 1e-5  # Å⁻²
REFLECTIONS_PER_PARAMETER = 5


@dataclass(frozen=True)
class Angles:
    """Scattering angles of one experiment.

    Attributes
    ----------
    hkl : (n, 3). two_theta : (n,) radians observed. wavelength : Å.
    """

    hkl: np.ndarray
    two_theta: np.ndarray
    wavelength: float

    def __len__(self) -> int:
        return len(self.two_theta)


@dataclass(frozen=True)
class CellFit:
    """A refined cell.

    Attributes
    ----------
    cell : (6,) Å, degrees. volume : Å³. esds : (7,) of the six and the volume.
    n : reflections used. rmsd : radians, of all; rmsds : of each experiment (NaN without reflections).
    """

    cell: np.ndarray
    volume: float
    esds: np.ndarray
    n: int
    rmsd: float
    rmsds: np.ndarray


def fit_cell(data: Sequence[Angles], start: np.ndarray, basis: np.ndarray) -> CellFit:
    """The metric that minimises Σ(2θ_calc − 2θ_obs)².

    Parameters
    ----------
    data : the experiments that have this cell.
    start : (3, 3) G* to start from; its symmetric average is what the fit begins with.
    basis : (k, 3, 3) metrics that the point group leaves as they are.

    Raises
    ------
    MxdaskError : too few reflections, or they do not determine the cell.
    """
    n = sum(len(d) for d in data)
    if n < REFLECTIONS_PER_PARAMETER * len(basis):
        raise MxdaskError(f"{n} reflections are too few for {len(basis)} cell parameters")
    flat = basis.reshape(len(basis), 9)
    values = np.linalg.lstsq(flat.T, start.ravel(), rcond=None)[0]
    for _ in range(MAX_STEPS):
        normal, gradient, squares = _equations(data, _combined(values, basis), basis)
        variance = squares.sum() / max(n - len(basis), 1)
        scale = 1.0 / np.sqrt(np.diag(normal))
        scaled = normal * scale * scale[:, None]
        if not np.all(np.isfinite(scaled)) or np.linalg.cond(scaled) > 1e12:
            raise MxdaskError("the reflections do not determine the cell: their indices are too much alike")
        covariance = variance * np.linalg.inv(scaled) * scale * scale[:, None]
        step = -(np.linalg.solve(scaled, gradient * scale) * scale)
        if np.all(np.abs(step) <= CONVERGED * np.sqrt(np.diag(covariance))):
            break
        values = values + step * METRIC_UNIT
    metric = _combined(values, basis)
    B = b_of_metric(metric)
    J = b_derivatives(B, basis * METRIC_UNIT).reshape(len(basis), 9)
    crystal = Crystal.from_A(B, B_covariance=J.T @ covariance @ J)
    esds = crystal.cell_esds()
    assert esds is not None
    counts = np.array([len(d) for d in data])
    with np.errstate(invalid="ignore", divide="ignore"):
        rmsds = np.sqrt(squares / counts)
    return CellFit(crystal.cell, crystal.volume, esds, n, float(np.sqrt(squares.sum() / n)), rmsds)


def _combined(values: np.ndarray, basis: np.ndarray) -> np.ndarray:
    metric: np.ndarray = np.tensordot(values, basis, 1)
    if np.any(np.linalg.eigvalsh(metric) <= 0):
        raise MxdaskError("the cell of least squares is no lattice: are the reflections indexed rightly?")
    return metric


def _equations(
    data: Sequence[Angles], metric: np.ndarray, basis: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """JᵀJ (k, k), Jᵀr (k,) per METRIC_UNIT of the coefficients, and Σr² of each experiment."""
    k = len(basis)
    normal, gradient, squares = np.zeros((k, k)), np.zeros(k), np.zeros(len(data))
    for i, d in enumerate(data):
        length = np.sqrt(np.einsum("ni,ij,nj->n", d.hkl, metric, d.hkl))
        sine = 0.5 * d.wavelength * length
        possible = sine < 1.0
        residual = np.where(possible, 2.0 * np.arcsin(np.minimum(sine, 1.0)) - d.two_theta, 0.0)
        # d(2θ) = λ/cosθ · d|r|, d|r| = hᵀ·dG·h/(2|r|)
        factor = np.where(possible, d.wavelength / (2.0 * length * np.sqrt(np.maximum(1.0 - sine**2, 1e-12))), 0.0)
        J = factor[:, None] * np.einsum("ni,kij,nj->nk", d.hkl, basis * METRIC_UNIT, d.hkl)
        normal += J.T @ J
        gradient += J.T @ residual
        squares[i] = residual @ residual
    return normal, gradient, squares
