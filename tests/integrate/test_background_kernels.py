"""Background levels against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson

from mxdask.integrate.background_kernels import count_levels, robust_poisson_mean


def reference_mean(y: np.ndarray, c: float = 1.345) -> float:
    """The estimating equations of back.md 6.1, pixel by pixel."""
    start = np.median(y)
    beta = np.log(start if start > 0 else 1.0)
    for _ in range(100):
        mu = np.exp(beta)
        r = (y - mu) / np.sqrt(mu)
        j1, j2 = np.floor(mu - c * np.sqrt(mu)), np.floor(mu + c * np.sqrt(mu))
        p1, p1m, p2, p2m = poisson.pmf([j1, j1 - 1, j2, j2 - 1], mu)
        f1, f1m, f2, f2m = poisson.cdf([j1, j1 - 1, j2, j2 - 1], mu)
        eps1 = c * (1 - f2 - f1) + np.sqrt(mu) * (p1 - p2)
        eps2 = c * (p1 + p2) + mu**-1.5 * (mu**2 * (p1m - p1 - p2m + p2) + mu * (f2m - f1m))
        step = np.sum(np.clip(r, -c, c) - eps1) * np.sqrt(mu) / (len(y) * eps2 * mu**1.5)
        beta += step
        if abs(step) < 1e-3 * abs(beta):
            break
    return float(np.exp(beta))


def kernel_mean(y: np.ndarray) -> tuple[float, bool]:
    histogram = np.zeros(64, np.int64)
    level, weight = np.empty(len(y)), np.empty(len(y))
    n, median = count_levels(y.astype(np.int64), len(y), histogram, level, weight)
    assert not histogram.any()
    assert median == np.median(y)
    return robust_poisson_mean(level, weight, n, median if median > 0 else 1.0)


@given(st.floats(0.05, 300.0), st.integers(10, 400), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_robust_mean_equals_the_pixel_by_pixel_form(mu: float, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.poisson(mu, n)
    y[: n // 40] += 1000
    if y.sum() == 0:
        return
    value, converged = kernel_mean(y)
    assert converged
    assert value == pytest.approx(reference_mean(y), rel=1e-9)


def test_outliers_hardly_move_it() -> None:
    y = np.random.default_rng(3).poisson(5.0, 4000)
    clean, _ = kernel_mean(y)
    y[:40] = 60000
    dirty, _ = kernel_mean(y)
    assert clean == pytest.approx(5.0, abs=0.1)
    assert dirty == pytest.approx(clean, rel=0.02)


def test_no_counts_at_all_is_no_background() -> None:
    assert kernel_mean(np.zeros(50, int)) == (0.0, True)
