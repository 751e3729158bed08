"""Restraints of cells to a target, or of the cells of several crystals to each other (front.md 12.4, 12.8 c).

A group is tied to a cell of its own, whose six constants are parameters of the border: at the minimum it is the mean
of the members, so that the sum over (cell − mean)²/σ² is what is minimised, while every crystal still has a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mxdask.modelfit.crystal import METRIC_UNIT, CrystalParameters

CELL_NAMES = ("a", "b", "c", "alpha", "beta", "gamma")


@dataclass(frozen=True)
class CellRestraint:
    """What a user asks for.

    Attributes
    ----------
    sigmas : six, Å and degrees; 0 leaves a constant free.
    values : the target, six; None ties the crystals of one space group to each other.
    """

    sigmas: tuple[float, ...]
    values: tuple[float, ...] | None = None


@dataclass(frozen=True)
class CommonCell:
    """Parameters of a group's cell: shifts (Å, degrees) about ``start`` (6,)."""

    start: np.ndarray

    size = 6
    names = CELL_NAMES


@dataclass(frozen=True)
class CellTie:
    """A restraint of crystals to one cell.

    Attributes
    ----------
    crystals : numbers of their pieces. target : (6,) Å, degrees, to which the common cell's shifts are added.
    weight : (6,) 1/σ². at : first parameter of the common cell, or None when the target is fixed.
    """

    crystals: tuple[int, ...]
    target: np.ndarray
    weight: np.ndarray
    at: int | None


def weights(sigmas: Sequence[float]) -> np.ndarray:
    """(6,) 1/σ², 0 for σ = 0."""
    sigma = np.asarray(sigmas, dtype=np.float64)
    return np.divide(1.0, sigma**2, out=np.zeros(6), where=sigma > 0)


def cell_and_derivatives(parameters: CrystalParameters, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cell (6,) in Å and degrees, and its derivatives (6, k) by the crystal's k metric parameters.

    With the direct metric G = (G*)⁻¹, dG = −G·dG*·G.
    """
    G = np.linalg.inv(parameters.metric0 + np.tensordot(values[3:], parameters.basis, 1) * METRIC_UNIT)
    dG = -G @ (parameters.basis * METRIC_UNIT) @ G
    length = np.sqrt(np.diag(G))
    d_length = dG[:, [0, 1, 2], [0, 1, 2]] / (2.0 * length)
    cell, derivative = np.empty(6), np.empty((6, len(dG)))
    cell[:3], derivative[:3] = length, d_length.T
    for n, (i, j) in enumerate(((1, 2), (0, 2), (0, 1)), start=3):
        cosine = G[i, j] / (length[i] * length[j])
        d_cosine = dG[:, i, j] / (length[i] * length[j])
        d_cosine -= cosine * (d_length[:, i] / length[i] + d_length[:, j] / length[j])
        cell[n] = np.rad2deg(np.arccos(cosine))
        derivative[n] = -np.rad2deg(d_cosine) / np.sqrt(1.0 - cosine**2)
    return cell, derivative
