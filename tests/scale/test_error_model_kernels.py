"""The kernel of the error model against plain numpy."""

from __future__ import annotations

import numpy as np

from mxdask.scale.error_model_kernels import bin_moments


def test_bin_moments_are_those_of_numpy() -> None:
    rng = np.random.default_rng(5)
    n, n_bins, a, b = 500, 7, 1.3, 0.04
    expected, variance = rng.gamma(2.0, 50.0, n), rng.gamma(3.0, 20.0, n)
    intensity, independence = expected + rng.normal(0, 5, n), rng.uniform(0.5, 1.0, n)
    bins = rng.integers(0, n_bins, n)
    sums, squares = np.zeros(n_bins), np.zeros(n_bins)
    bin_moments(intensity, variance, expected, independence, bins, a, b, sums, squares)
    delta = (intensity - expected) / (independence * a * np.sqrt(variance + (b * expected) ** 2))
    np.testing.assert_allclose(sums, np.bincount(bins, delta, n_bins), rtol=1e-12)
    np.testing.assert_allclose(squares, np.bincount(bins, delta**2, n_bins), rtol=1e-12)
