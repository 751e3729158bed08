"""Observations of equivalent reflections → one mean each, Friedel mates apart and together (back.md 14.4)."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np

from mxdask.intensity.asu import AsuMap, map_to_asu


@dataclass(frozen=True)
class Unmerged:
    """Scaled observations, grouped by symmetry.

    Attributes
    ----------
    asu : which unique reflection each of the n observations belongs to.
    intensity, variance : (n,) on one common scale.
    cell, space_group : of all of them.
    inverse_d_squared : (m,) Å⁻² of the unique reflections.
    """

    asu: AsuMap
    intensity: np.ndarray
    variance: np.ndarray
    cell: gemmi.UnitCell
    space_group: gemmi.SpaceGroup
    inverse_d_squared: np.ndarray

    @classmethod
    def of(
        cls,
        hkl: np.ndarray,
        intensity: np.ndarray,
        variance: np.ndarray,
        cell: gemmi.UnitCell,
        space_group: gemmi.SpaceGroup,
    ) -> Unmerged:
        """Group observations with indices (n, 3); 1/d² comes from the common cell."""
        asu = map_to_asu(hkl, space_group)
        inverse_d_squared = 1.0 / cell.calculate_d_array(asu.unique) ** 2 if len(asu.unique) else np.zeros(0)
        return cls(asu, intensity, variance, cell, space_group, inverse_d_squared)


@dataclass(frozen=True)
class Means:
    """Weighted means per unique reflection; NaN where nothing was observed.

    Attributes
    ----------
    n : (m,) observations.
    mean : (m,) ΣwI/Σw with w = 1/V.
    sigma : (m,) 1/√Σw.
    """

    n: np.ndarray
    mean: np.ndarray
    sigma: np.ndarray


@dataclass(frozen=True)
class Merged:
    """Merged intensities: all observations, and the two Friedel mates apart."""

    hkl: np.ndarray
    centric: np.ndarray
    epsilon: np.ndarray
    inverse_d_squared: np.ndarray
    all: Means
    plus: Means
    minus: Means


def weighted_means(group: np.ndarray, n_groups: int, intensity: np.ndarray, variance: np.ndarray) -> Means:
    """Means of observations (n,) that share a group number in [0, n_groups)."""
    weight = 1.0 / variance
    total = np.bincount(group, weight, n_groups)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(group, weight * intensity, n_groups) / total
        sigma = np.where(total > 0, 1.0 / np.sqrt(total), np.nan)
    return Means(np.bincount(group, minlength=n_groups), mean, sigma)


def merge(data: Unmerged) -> Merged:
    """Merge all observations; a centric reflection counts as its own mate's and goes to the plus side."""
    asu, m = data.asu, len(data.asu.unique)

    def side(rows: np.ndarray) -> Means:
        return weighted_means(asu.group[rows], m, data.intensity[rows], data.variance[rows])

    everything = weighted_means(asu.group, m, data.intensity, data.variance)
    return Merged(
        asu.unique, asu.centric, asu.epsilon, data.inverse_d_squared, everything, side(asu.plus), side(~asu.plus)
    )
