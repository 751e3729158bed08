"""Observations that do not agree with their equivalents (back.md 13.5; Read 1999, Acta Cryst. D55, 1759)."""

from __future__ import annotations

import numpy as np

from mxdask.intensity.asu import equal_volume_edges, shell_of
from mxdask.scale.outlier_kernels import reject
from mxdask.scale.params import OutlierRejection

_SHELLS = 20


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


def too_strong(
    intensity: np.ndarray, variance: np.ndarray, inverse_d2: np.ndarray, emax: float, epsilon: np.ndarray
) -> np.ndarray:
    """(n,) bool, observations so strong for their resolution that they cannot be Bragg reflections: E² > emax².

    Parameters
    ----------
    intensity, variance : (n,) on the common scale; where the mean of a shell is below its noise, the noise counts.
    epsilon : (n,) expected intensity relative to a general reflection.
    """
    if len(intensity) == 0:
        return np.zeros(0, dtype=bool)
    edges = equal_volume_edges(
        1 / np.sqrt(inverse_d2.min() * (1 - 1e-6)), 1 / np.sqrt(inverse_d2.max() * (1 + 1e-6)), _SHELLS
    )
    shell = np.maximum(shell_of(inverse_d2, edges), 0)
    value, sigma = intensity / epsilon, np.sqrt(variance) / epsilon
    n = np.maximum(np.bincount(shell, minlength=_SHELLS), 1)
    mean = np.bincount(shell, value, _SHELLS) / n
    noise = np.bincount(shell, sigma, _SHELLS) / n
    level = np.maximum(np.maximum(mean, noise), 1e-12)
    return value > emax**2 * level[shell]
