"""Observations that do not agree with their equivalents (back.md 13.5; Read 1999, Acta Cryst. D55, 1759)."""

from __future__ import annotations

import numpy as np

from mxdask.intensity.asu import equal_volume_edges, shell_of
from mxdask.scale.outlier_kernels import reject
from mxdask.scale.params import OutlierRejection

_SHELLS = 20
# Odds of e^6 (400) to one are needed to say which of two is wrong.
_LOG_ODDS = 6.0


def find_outliers(
    starts: np.ndarray, intensity: np.ndarray, variance: np.ndarray, g: np.ndarray, params: OutlierRejection
) -> np.ndarray:
    """(n,) bool, observations further than ``outlier_zmax`` from the mean of their equivalents.

    Parameters
    ----------
    starts : (m + 1,) the observations are ordered by group; group h is starts[h]:starts[h + 1].
    intensity, variance, g : (n,) corrected intensities, their variances, inverse scale factors.
    """
    outlier = np.zeros(len(intensity), dtype=np.uint8)
    if params.outlier_rejection != "none":
        reject(starts, intensity, variance, g, params.outlier_zmax, params.outlier_rejection == "standard", outlier)
    return outlier.astype(bool)


def discordant_pairs(
    starts: np.ndarray, intensity: np.ndarray, variance: np.ndarray, level: np.ndarray, zmax: float, out: np.ndarray
) -> np.ndarray:
    """(n,) bool, the larger of two observations that contradict each other, where its size says that it is wrong.

    Of two that are ``zmax`` standard deviations apart one is wrong. After Wilson, intensities as the larger are
    e^(-difference/level) times as frequent as those as the smaller; that is the odds of the larger being right. It
    goes where they are below e^-6; else both stay.

    Parameters
    ----------
    starts : (m + 1,) as in :func:`find_outliers`.
    intensity, variance, level : (n,) on the common scale; ``level`` from :func:`wilson_levels`.
    out : (n,) bool, observations that do not count any more.
    """
    found = np.zeros(len(intensity), dtype=bool)
    alive = np.flatnonzero(~out)
    group = np.searchsorted(starts, alive, side="right") - 1
    n = np.bincount(group, minlength=len(starts) - 1)
    rows = alive[n[group] == 2].reshape(-1, 2)
    if len(rows) == 0:
        return found
    difference = intensity[rows[:, 0]] - intensity[rows[:, 1]]
    wrong = np.abs(difference) > zmax * np.sqrt(variance[rows].sum(axis=1))
    wrong &= np.abs(difference) > _LOG_ODDS * level[rows[:, 0]]
    found[np.where(difference > 0, rows[:, 0], rows[:, 1])[wrong]] = True
    return found


def wilson_levels(
    intensity: np.ndarray, variance: np.ndarray, inverse_d2: np.ndarray, epsilon: np.ndarray
) -> np.ndarray:
    """(n,) mean intensity to expect of each observation: that of its shell, or the noise there where that is more.

    Parameters
    ----------
    intensity, variance : (n,) on the common scale.
    epsilon : (n,) expected intensity relative to a general reflection.
    """
    if len(intensity) == 0:
        return np.zeros(0)
    edges = equal_volume_edges(
        1 / np.sqrt(inverse_d2.min() * (1 - 1e-6)), 1 / np.sqrt(inverse_d2.max() * (1 + 1e-6)), _SHELLS
    )
    shell = np.maximum(shell_of(inverse_d2, edges), 0)
    value, sigma = intensity / epsilon, np.sqrt(variance) / epsilon
    n = np.maximum(np.bincount(shell, minlength=_SHELLS), 1)
    mean = np.bincount(shell, value, _SHELLS) / n
    noise = np.bincount(shell, sigma, _SHELLS) / n
    return epsilon * np.maximum(np.maximum(mean, noise), 1e-12)[shell]
