"""Amplitudes from intensities (French & Wilson 1978, Acta Cryst. A34, 517): what is known beforehand is that
true intensities are positive and follow Wilson's distribution for their resolution (back.md 14.7).

In units of σ the posterior of the true intensity x is exp(-(x - h)²/2)·xᵏ for x > 0, with k = 0,
h = I/σ - σ/S (acentric) or k = -½, h = I/σ - σ/2S (centric), S being the expected intensity.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

# Intensities this far below zero are not explained by noise.
_MIN_H = -4.0
_MIN_I_OVER_SIGMA = -3.7
# Above this the moments of a Gaussian that is cut at zero are those of the uncut one.
_GRID_END = 30.0
_GRID_STEP = 0.05
_MAX_BINS = 60
_MIN_PER_BIN = 20


@dataclass(frozen=True)
class Truncated:
    """Posterior means and standard deviations (n,) of intensity and amplitude; NaN where rejected."""

    intensity: np.ndarray
    sigma_intensity: np.ndarray
    amplitude: np.ndarray
    sigma_amplitude: np.ndarray

    @property
    def n_rejected(self) -> int:
        return int(np.isnan(self.amplitude).sum())


def french_wilson(intensity: np.ndarray, sigma: np.ndarray, centric: np.ndarray, expected: np.ndarray) -> Truncated:
    """Truncate n merged intensities.

    Parameters
    ----------
    centric : (n,) bool.
    expected : (n,) S, expected intensity of each reflection, ε included; inf for a flat prior.
    """
    ratio = intensity / sigma
    h = ratio - np.where(centric, 0.5, 1.0) * sigma / expected
    with np.errstate(invalid="ignore"):
        usable = np.isfinite(h) & (h >= _MIN_H) & (ratio >= _MIN_I_OVER_SIGMA)
    moments = np.full((4, len(h)), np.nan)
    for is_centric in (False, True):
        rows = usable & (centric == is_centric)
        moments[:, rows] = _moments(h[rows], is_centric)
    j, sj, f, sf = moments
    root = np.sqrt(sigma)
    return Truncated(j * sigma, sj * sigma, f * root, sf * root)


def expected_intensities(intensity: np.ndarray, epsilon: np.ndarray, inverse_d2: np.ndarray) -> np.ndarray:
    """(n,) S = ε·⟨I/ε⟩ at each reflection's resolution, from means of bins of equal numbers, interpolated in d*³."""
    n = len(intensity)
    volume = inverse_d2**1.5
    order = np.argsort(volume, kind="stable")
    parts = np.array_split(order, resolution_bins(n))
    centre = np.array([volume[p].mean() for p in parts])
    mean = np.array([(intensity[p] / epsilon[p]).mean() for p in parts])
    # Noise may push the mean of an outer bin to nothing; the true one is small, but positive.
    floor = 1e-3 * max(float(mean.max()), 1e-300)
    return epsilon * np.interp(volume, centre, np.maximum(mean, floor))


def resolution_bins(n: int) -> int:
    """How many bins n reflections fill: up to 60, of 20 and more."""
    return max(n // max(n // _MAX_BINS, _MIN_PER_BIN), 1)


def _moments(h: np.ndarray, centric: bool) -> np.ndarray:
    """(4, n) ⟨x⟩, sd(x), ⟨√x⟩, sd(√x)."""
    grid, table = _table(centric)
    inside = np.stack([np.interp(h, grid, row) for row in table])
    power = -0.5 if centric else 0.0
    big = np.maximum(h, _GRID_END)
    # Laplace expansion of the uncut Gaussian times x**power about its maximum.
    mean, variance = big + power / big, 1.0 + power / big**2
    amplitude = np.sqrt(mean) * (1.0 - variance / (8.0 * mean**2))
    outside = np.stack([mean, np.sqrt(variance), amplitude, np.sqrt(np.maximum(mean - amplitude**2, 1e-300))])
    return np.where(h < _GRID_END, inside, outside)


@cache
def _table(centric: bool) -> tuple[np.ndarray, np.ndarray]:
    """Moments on a grid of h by Gauss-Legendre quadrature over f = √x, which removes the pole at zero."""
    grid = np.arange(_MIN_H, _GRID_END + _GRID_STEP, _GRID_STEP)
    node, weight = np.polynomial.legendre.leggauss(200)
    low = np.sqrt(np.maximum(grid - 10.0, 0.0))
    high = np.sqrt(np.maximum(grid, 0.0) + 10.0)
    f = low[:, None] + (high - low)[:, None] * (node + 1.0) / 2.0
    density = np.exp(-0.5 * (f**2 - grid[:, None]) ** 2 + 0.5 * np.minimum(grid, 0.0)[:, None] ** 2)
    density *= weight * (1.0 if centric else f)  # dx = 2 f df, and centric x**-½ = 1/f
    total = density.sum(axis=1)
    moment = [(density * f**k).sum(axis=1) / total for k in (1, 2, 4)]
    table = np.stack([moment[1], np.sqrt(moment[2] - moment[1] ** 2), moment[0], np.sqrt(moment[1] - moment[0] ** 2)])
    return grid, table
