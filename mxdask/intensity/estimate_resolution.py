"""How far merged data carry information: where CC½ falls below a limit (back.md 14.3)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import t as student_t

from mxdask.intensity.merging import Unmerged
from mxdask.intensity.statistics import ShellSums, correlation

_MOST_BINS = 100
_PER_BIN = 10
# Normalised intensities beyond this are outliers of Wilson's distribution (DIALS: E² ≥ 16).
_WILSON_LIMIT = 16.0
# Random halvings that CC½ is averaged over, and the observations that all of them together may have.
_MOST_SPLITS = 10
_SPLIT_OBSERVATIONS = 1_000_000
# Bins whose CC½ may be chance (Student's t, one-sided) do not take part in the fit.
_SIGNIFICANCE = 0.1


@dataclass(frozen=True)
class ResolutionEstimate:
    """CC½ against resolution, its fit, and where the fit crosses the limit.

    Attributes
    ----------
    d_min : Å; the edge of the data when the fit never falls below the limit.
    limit : the CC½ asked for.
    inverse_d_squared, cc_half, fit : (b,) per bin, from high to low resolution; cc_half NaN where undefined.
    """

    d_min: float
    limit: float
    inverse_d_squared: np.ndarray
    cc_half: np.ndarray
    fit: np.ndarray


def estimate_resolution(data: Unmerged, limit: float = 0.3, seed: int = 0) -> ResolutionEstimate | None:
    """Resolution at which a tanh curve through CC½ of random half sets reaches ``limit``.

    CC½(s) ≈ ½[1 − tanh((s − s₀)/r)] with s = 1/d², bins of equal numbers of unique reflections, weights √(n − 3).

    Returns
    -------
    None when there are too few bins with three or more pairs to fit a curve.
    """
    s = data.inverse_d_squared
    n_bins = min(_MOST_BINS, -(-len(s) // _PER_BIN))
    if n_bins < 4:
        return None
    data = _without_wilson_outliers(data, n_bins)
    edges = np.quantile(s, np.linspace(0, 1, n_bins + 1))
    edges[0], edges[-1] = edges[0] * (1 - 1e-9), edges[-1] * (1 + 1e-9)
    cc, pairs = _mean_cc_half(data, 1.0 / np.sqrt(np.unique(edges)), seed)
    middle = 0.5 * (np.unique(edges)[1:] + np.unique(edges)[:-1])
    usable = np.isfinite(cc) & (pairs > 3)
    usable &= np.nan_to_num(cc) > critical_correlation(pairs, _SIGNIFICANCE)
    if usable.sum() < 4:
        return None
    fit = _fitted(middle, cc, np.sqrt(np.maximum(pairs - 3, 1)), usable)
    return ResolutionEstimate(_crossing(middle, fit, limit, float(s.max())), limit, middle[::-1], cc[::-1], fit[::-1])


def _mean_cc_half(data: Unmerged, edges: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(b,) CC½, the mean over several random halvings, and the number of pairs.

    In bins of some ten pairs the choice of the halves alone moves CC½ by 0.1; with many observations one will do.
    """
    n_splits = int(np.clip(_SPLIT_OBSERVATIONS // max(len(data.intensity), 1), 1, _MOST_SPLITS))
    splits = [correlation(ShellSums.chunk(data, edges, seed + k).half) for k in range(n_splits)]
    return np.mean([cc for cc, _ in splits], axis=0), np.min([pairs for _, pairs in splits], axis=0)


def critical_correlation(n: np.ndarray, significance: float) -> np.ndarray:
    """(b,) correlation of ``n`` pairs of random numbers that is exceeded with probability ``significance``."""
    freedom = np.maximum(n - 2, 1)
    t = student_t.isf(significance, freedom)
    return t / np.sqrt(freedom + t**2)


def _without_wilson_outliers(data: Unmerged, n_bins: int) -> Unmerged:
    """Drop observations whose intensity is more than 16 times the mean of their bin."""
    s = data.inverse_d_squared[data.asu.group]
    bins = np.clip(np.searchsorted(np.quantile(s, np.linspace(0, 1, n_bins + 1)), s, side="right") - 1, 0, n_bins - 1)
    mean = np.bincount(bins, data.intensity, n_bins) / np.maximum(np.bincount(bins, minlength=n_bins), 1)
    sigma = np.sqrt(data.variance)
    keep = data.intensity < _WILSON_LIMIT * np.maximum(mean[bins], sigma)
    asu = replace(data.asu, group=data.asu.group[keep], plus=data.asu.plus[keep])
    return replace(data, asu=asu, intensity=data.intensity[keep], variance=data.variance[keep])


def _fitted(s: np.ndarray, cc: np.ndarray, weight: np.ndarray, usable: np.ndarray) -> np.ndarray:
    def curve(p: np.ndarray) -> np.ndarray:
        return 0.5 * (1 - np.tanh((s - p[1]) / p[0]))

    result = least_squares(lambda p: ((curve(p) - cc) * weight)[usable], [0.2, 0.4])
    return curve(result.x)


def _crossing(s: np.ndarray, fit: np.ndarray, limit: float, s_max: float) -> float:
    """d (Å) where a curve falling with s meets the limit; the data's edge if it stays above."""
    below = np.flatnonzero(fit < limit)
    if len(below) == 0:
        return float(1.0 / np.sqrt(s_max))
    j = int(below[0])
    if j == 0:
        return float(1.0 / np.sqrt(s[0]))
    t = (fit[j - 1] - limit) / (fit[j - 1] - fit[j])
    return float(1.0 / np.sqrt(s[j - 1] + t * (s[j] - s[j - 1])))
