"""Minimum covariance determinant: location and scatter of the better half of a sample (front.md 12.3).

Rousseeuw & Van Driessen (1999) Technometrics 41, 212-223; finite-sample factors of Pison, Van Aelst & Willems (2002)
Metrika 55, 111-123.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2

from mxdask.modelfit.mcd_kernels import best_of_starts, best_of_trials, concentrate_fully

# Of 100 draws of four rows six hold no outlier even when half the sample are; more change nothing but the time.
N_TRIALS = 100
STEPS_AT_FIRST = 2
N_BEST = 10
STEPS_AT_LAST = 100
GROUP = 300
MAX_GROUPS = 5
THRESHOLD = 0.975

# Pison et al. for α = ½ and samples of n = q·p²: 1 − 1/factor = −intercept/p^slope. q, intercept, slope.
_PISON_HALF = (
    (2, -1.42764571687802, 1.26263336932151),
    (3, -1.06141115981725, 1.28907991440387),
)


def mcd_outliers(values: np.ndarray, seed: int = 42) -> np.ndarray:
    """(n,) rows of (n, 3) whose robust squared distance is above the 97.5 % quantile of χ²₃."""
    location, scatter = robust_location_scatter(values, seed)
    deviation = values - location
    try:
        distance2 = np.einsum("ni,ni->n", deviation @ np.linalg.inv(scatter), deviation)
    except np.linalg.LinAlgError:
        return np.zeros(len(values), dtype=bool)
    return distance2 > chi2.ppf(THRESHOLD, values.shape[1])


def robust_location_scatter(values: np.ndarray, seed: int = 42) -> tuple[np.ndarray, np.ndarray]:
    """Centre (p,) and scatter (p, p) of (n, p), corrected to be consistent for a normal distribution."""
    n, p = values.shape
    scale = np.maximum(np.median(np.abs(values - np.median(values, axis=0)), axis=0), 1e-12)
    scaled = np.ascontiguousarray(values / scale)
    h = half_size(n, p)
    rng = np.random.default_rng(seed)
    if n < 2 * GROUP:
        starts = best_of_trials(scaled, h, _draws(rng, n, p + 1, N_TRIALS), STEPS_AT_FIRST, N_BEST)
    else:
        starts = _nested_starts(scaled, rng)
    centre, covariance = concentrate_fully(scaled, h, *starts, STEPS_AT_LAST)
    covariance *= consistency_factor(h / n, p) * small_sample_factor(n, p)
    return centre * scale, covariance * np.outer(scale, scale)


def half_size(n: int, p: int) -> int:
    """h = ⌊2·n₂ − n + 2(n − n₂)α⌋ with n₂ = ⌊(n + p + 1)/2⌋ and α = ½."""
    n2 = (n + p + 1) // 2
    return int(2 * n2 - n + (n - n2))


def consistency_factor(fraction: float, p: int) -> float:
    """What makes the scatter of the innermost fraction of a normal sample that of the whole."""
    if fraction >= 1.0:
        return 1.0
    return fraction / float(chi2.cdf(chi2.ppf(fraction, p), p + 2))


def small_sample_factor(n: int, p: int) -> float:
    """Pison's factor for α = ½ and p ≥ 3 (1 for fewer dimensions)."""
    if p < 3:
        return 1.0
    # 1 − 1/factor = e^a/n^b; its values at the two n = q·p² fix a and b.
    rows = np.array([[1.0, -np.log(q * p * p)] for q, _, _ in _PISON_HALF])
    right = np.array([np.log(-intercept / p**slope) for _, intercept, slope in _PISON_HALF])
    a, b = np.linalg.solve(rows, right)
    return float(1.0 / (1.0 - np.exp(a) / n**b))


def _draws(rng: np.random.Generator, n: int, size: int, count: int) -> np.ndarray:
    """(count, size) row numbers, different ones within each draw."""
    return np.argsort(rng.random((count, n)), axis=1)[:, :size] if n < 64 else _sparse_draws(rng, n, size, count)


def _sparse_draws(rng: np.random.Generator, n: int, size: int, count: int) -> np.ndarray:
    draws = rng.integers(0, n, (count, size))
    while True:
        ordered = np.sort(draws, axis=1)
        repeated = np.flatnonzero(np.any(ordered[:, 1:] == ordered[:, :-1], axis=1))
        if not len(repeated):
            return draws
        draws[repeated] = rng.integers(0, n, (len(repeated), size))


def _nested_starts(scaled: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Best solutions of up to five random groups, improved on their union."""
    n, p = scaled.shape
    n_groups = min(MAX_GROUPS, n // GROUP)
    size = n // n_groups if n_groups < MAX_GROUPS else GROUP
    order = rng.permutation(n)[: n_groups * size]
    centres, covariances = [], []
    for rows in order.reshape(n_groups, size):
        group = np.ascontiguousarray(scaled[rows])
        draws = _draws(rng, size, p + 1, N_TRIALS // n_groups)
        centre, covariance = best_of_trials(group, half_size(size, p), draws, STEPS_AT_FIRST, N_BEST)
        centres.append(centre)
        covariances.append(covariance)
    union = np.ascontiguousarray(scaled[order])
    return best_of_starts(
        union, half_size(len(union), p), np.concatenate(centres), np.concatenate(covariances), STEPS_AT_FIRST, N_BEST
    )
