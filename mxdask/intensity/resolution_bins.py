"""Bins of equal numbers of reflections, and what is measured in each of them (back.md 14.3, 14.4)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mxdask.intensity.asu import count_possible, shell_of
from mxdask.intensity.merging import Unmerged, merge, weighted_means
from mxdask.intensity.statistics import correlation, half_set_sums, sigma_tau_cc, tau_sums

# 1/d² (Å⁻²) nearer than this are one reflection as far as bins go.
_SAME = 1e-10
# Shells that intensities are normalised in, from fewer observations on: equal widths of 1/d².
_NORMALISATION_SHELLS = ((20_000, 20), (15_000, 15), (0, 10))
# Random halvings that CC½ is averaged over, and the observations that all of them together may have.
_MOST_SPLITS = 10
_SPLIT_OBSERVATIONS = 1_000_000


def counting_sorted_edges(inverse_d_squared: np.ndarray, max_bins: int, per_bin: int) -> np.ndarray:
    """(b + 1,) falling Å: bins with equal numbers of different resolutions, at least ``per_bin`` of them."""
    s = np.unique(inverse_d_squared)
    s = s[np.diff(s, prepend=-1.0) > _SAME]
    n = max(1, min(max_bins, round(len(s) / per_bin)))
    inner = s[np.rint(np.arange(1, n) * len(s) / n).astype(np.int64)] * (1 - _SAME)
    return 1.0 / np.sqrt(np.r_[s[0] * (1 - _SAME), inner, s[-1] * (1 + _SAME)])


def without_wilson_outliers(data: Unmerged, e_squared_max: float) -> tuple[Unmerged, int]:
    """Drop observations whose intensity is this many times the mean at their resolution; also how many.

    The mean (negative intensities as zero, divided by ε) is that of shells of 1/d², joined by straight lines in d*.
    """
    rows = data.asu.group
    s, n = data.inverse_d_squared[rows], len(rows)
    n_shells = next(k for least, k in _NORMALISATION_SHELLS if n > least or least == 0)
    low, width = s.min(), max(float(np.ptp(s)), 1e-12) / n_shells
    shell = np.clip(((s - low) / width).astype(np.int64), 0, n_shells - 1)
    count = np.bincount(shell, minlength=n_shells)
    total = np.bincount(shell, np.maximum(data.intensity, 0.0) / data.asu.epsilon[rows], n_shells)
    filled = np.flatnonzero(count)
    centre = np.sqrt(low + (filled + 0.5) * width)
    expected = np.interp(np.sqrt(s), centre, total[filled] / count[filled])
    keep = data.intensity < e_squared_max * expected
    asu = replace(data.asu, group=rows[keep], plus=data.asu.plus[keep])
    return replace(data, asu=asu, intensity=data.intensity[keep], variance=data.variance[keep]), int((~keep).sum())


def cc_half_in_bins(
    data: Unmerged, d_edges: np.ndarray, method: str = "half_dataset", seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """(b,) CC½ and the number of pairs (of reflections, for ``sigma_tau``).

    Random halves are drawn several times and averaged: in bins of ten pairs their choice alone moves CC½ by 0.1.
    """
    if method == "sigma_tau":
        sums = tau_sums(data, d_edges)
        return sigma_tau_cc(sums), sums[0]
    n_splits = int(np.clip(_SPLIT_OBSERVATIONS // max(len(data.intensity), 1), 1, _MOST_SPLITS))
    splits = [correlation(half_set_sums(data, d_edges, seed + k)) for k in range(n_splits)]
    return np.mean([cc for cc, _ in splits], axis=0), np.min([pairs for _, pairs in splits], axis=0)


def metric_in_bins(data: Unmerged, d_edges: np.ndarray, metric: str) -> np.ndarray:
    """(b,) one quantity per bin, NaN where undefined.

    ``misigma`` mean of ⟨I⟩/σ(⟨I⟩) over reflections; ``isigma`` mean of I/σ over observations;
    ``i_mean_over_sigma_mean`` mean of ⟨I⟩ over mean of σ(⟨I⟩); ``rmerge``; ``completeness`` as a fraction.
    """
    b = len(d_edges) - 1
    shell = shell_of(data.inverse_d_squared, d_edges)
    rows = data.asu.group
    means = weighted_means(rows, len(data.asu.unique), data.intensity, data.variance)
    seen = np.flatnonzero((means.n > 0) & (shell >= 0))
    unique = np.bincount(shell[seen], minlength=b)
    inside = np.flatnonzero(shell[rows] >= 0)

    def over_unique(values: np.ndarray) -> np.ndarray:
        return np.bincount(shell[seen], values[seen], b)

    def over_all(values: np.ndarray) -> np.ndarray:
        return np.bincount(shell[rows[inside]], values[inside], b)

    with np.errstate(divide="ignore", invalid="ignore"):
        if metric == "misigma":
            return over_unique(means.mean / means.sigma) / unique
        if metric == "i_mean_over_sigma_mean":
            return over_unique(means.mean) / over_unique(means.sigma)
        if metric == "isigma":
            return over_all(data.intensity / np.sqrt(data.variance)) / over_all(np.ones(len(rows)))
        if metric == "rmerge":
            several = means.n[rows] > 1
            deviation = np.abs(data.intensity - means.mean[rows])
            return over_all(np.where(several, deviation, 0.0)) / over_all(np.where(several, data.intensity, 0.0))
        if metric == "completeness":
            possible, _ = count_possible(data.cell, data.space_group, d_edges)
            return np.minimum(unique / possible, 1.0)
    raise ValueError(f"no metric {metric!r}")


def cc_ref_in_bins(data: Unmerged, d_edges: np.ndarray, hkl: np.ndarray, intensity: np.ndarray) -> np.ndarray:
    """(b,) correlation of merged intensities with reference intensities of indices (k, 3), all of one point group."""
    reference = Unmerged.of(hkl, intensity, np.ones(len(hkl)), data.cell, data.space_group)
    theirs, ours = merge(reference), merge(data)
    keys = {tuple(h): v for h, v in zip(theirs.hkl.tolist(), theirs.all.mean, strict=True)}
    y = np.array([keys.get(tuple(h), np.nan) for h in ours.hkl.tolist()])
    shell = shell_of(ours.inverse_d_squared, d_edges)
    ok = np.isfinite(ours.all.mean) & np.isfinite(y) & (shell >= 0)
    x, y, where = ours.all.mean[ok], y[ok], shell[ok]
    terms = (np.ones(len(x)), x, y, x * x, y * y, x * y)
    return correlation(np.stack([np.bincount(where, t, len(d_edges) - 1) for t in terms]))[0]
