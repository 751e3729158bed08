"""Amplitudes as DIALS 3.12 makes them, for comparison (decision 0019).

They are too large: the local mean intensity is a median over ln 2, which holds for an exponential distribution without
errors; from h = 3 on √(hσ) is taken for the mean of √J; and F is the mean of F(+) and F(-).
"""

from __future__ import annotations

import numpy as np

from mxdask.merge.french_wilson import Truncated, french_wilson, resolution_bins

# From here on an acentric reflection's posterior is taken for a Gaussian of its intensity.
_GAUSSIAN_FROM = 3.0


def median_intensities(intensity: np.ndarray, inverse_d2: np.ndarray) -> np.ndarray:
    """(n,) median/ln 2 of bins of equal numbers, interpolated in d*³; ε is not regarded."""
    volume = inverse_d2**1.5
    n, n_bins = len(volume), resolution_bins(len(volume))
    ranked = np.sort(volume)
    edges = np.interp(np.linspace(0, n, n_bins + 1), np.arange(n), ranked)
    place = np.clip(np.searchsorted(edges, volume, side="right") - 1, 0, n_bins - 1)
    order = np.argsort(place, kind="stable")
    parts = np.split(order, np.searchsorted(place[order], np.arange(1, n_bins)))
    level = np.array([np.median(intensity[p]) for p in parts]) / np.log(2)
    return np.abs(np.interp(volume, 0.5 * (edges[1:] + edges[:-1]), level))


def truncate(intensity: np.ndarray, sigma: np.ndarray, centric: np.ndarray, expected: np.ndarray) -> Truncated:
    """As :func:`mxdask.merge.french_wilson.french_wilson`, but for the Gaussian of strong acentric reflections."""
    found = french_wilson(intensity, sigma, centric, expected)
    h = intensity / sigma - sigma / expected
    strong = np.isfinite(found.amplitude) & ~centric & (h >= _GAUSSIAN_FROM)
    with np.errstate(invalid="ignore"):
        root = np.sqrt(h * sigma)
    return Truncated(
        np.where(strong, h * sigma, found.intensity), np.where(strong, sigma, found.sigma_intensity),
        np.where(strong, root, found.amplitude), np.where(strong, 0.5 * sigma / root, found.sigma_amplitude),
    )  # fmt: skip


def flat_prior(intensity: np.ndarray, sigma: np.ndarray) -> Truncated:
    """Most likely amplitude of a positive intensity, for data sets too small for a local mean."""
    with np.errstate(invalid="ignore"):
        usable = intensity / sigma > -4.0
    root = np.sqrt(intensity**2 + 2 * sigma**2)
    amplitude = np.sqrt((intensity + root) / 2)
    curvature = 1 / amplitude**2 + (intensity + 3 * root) / sigma**2
    values = (intensity, sigma, amplitude, 1 / np.sqrt(curvature))
    return Truncated(*(np.where(usable, v, np.nan) for v in values))


def mean_of_hands(plus: Truncated, minus: Truncated) -> Truncated:
    """Means of F(+) and F(-) with weights 1/σ², of those there are."""
    amplitude = np.stack([plus.amplitude, minus.amplitude])
    weight = np.nan_to_num(np.stack([plus.sigma_amplitude, minus.sigma_amplitude]) ** -2)
    total = weight.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (weight * np.nan_to_num(amplitude)).sum(axis=0) / total
        sigma = 1 / np.sqrt(total)
    nothing = np.full(len(mean), np.nan)
    return Truncated(nothing, nothing, np.where(total > 0, mean, np.nan), np.where(total > 0, sigma, np.nan))
