"""Posterior moments against brute-force integration."""

from __future__ import annotations

import numpy as np
import pytest

from mxdask.merge.dials_amplitudes import mean_of_hands, median_intensities
from mxdask.merge.french_wilson import Truncated, expected_intensities, french_wilson


def brute(intensity: float, sigma: float, expected: float, centric: bool) -> tuple[float, float, float, float]:
    f = np.linspace(1e-6, np.sqrt(max(intensity, 0) + 14 * sigma), 200_001)
    j = f**2
    log = -0.5 * ((j - intensity) / sigma) ** 2 - j / (2 * expected if centric else expected)
    density = np.exp(log - log.max()) * (1.0 if centric else f)
    density /= density.sum()
    mean_j, mean_f = density @ j, density @ f
    return mean_j, np.sqrt(density @ j**2 - mean_j**2), mean_f, np.sqrt(mean_j - mean_f**2)


@pytest.mark.parametrize("centric", [False, True])
@pytest.mark.parametrize("intensity", [-20.0, 0.0, 5.0, 30.0, 200.0, 900.0])
def test_moments(intensity, centric):
    expected, sigma = 40.0, 10.0
    found = french_wilson(np.array([intensity]), np.array([sigma]), np.array([centric]), np.array([expected]))
    values = [v[0] for v in (found.intensity, found.sigma_intensity, found.amplitude, found.sigma_amplitude)]
    np.testing.assert_allclose(values, brute(intensity, sigma, expected, centric), rtol=5e-3)


def test_strong_reflections_keep_their_square_root():
    found = french_wilson(np.array([1e6]), np.array([10.0]), np.array([False]), np.array([np.inf]))
    assert found.amplitude[0] == pytest.approx(1000.0, rel=1e-6)
    assert found.sigma_amplitude[0] == pytest.approx(10 / 2000, rel=1e-3)


def test_amplitudes_grow_with_intensity_across_the_table_end():
    intensity = np.linspace(-3.0, 60.0, 2000)
    found = french_wilson(intensity, np.ones(2000), np.zeros(2000, bool), np.full(2000, np.inf))
    assert np.all(np.diff(found.amplitude) > 0)


def test_too_negative_is_rejected():
    found = french_wilson(np.array([-50.0, 1.0, np.nan]), np.ones(3), np.zeros(3, bool), np.full(3, 100.0))
    assert np.isnan(found.amplitude).tolist() == [True, False, True]
    assert found.n_rejected == 2


def test_expected_intensities_follow_the_fall_off():
    rng = np.random.default_rng(0)
    s = rng.uniform(0.0, 0.25, 6000)
    mean = 1000 * np.exp(-10 * s)
    found = expected_intensities(rng.exponential(mean), np.ones(6000), s)
    assert np.median(np.abs(found / mean - 1)) < 0.15


def test_amplitudes_and_their_errors_are_right_on_average():
    """Against the truth that made the data: no bias at any signal, and errors as large as said (back.md 22, B8)."""
    rng = np.random.default_rng(1)
    n = 20_000
    s = rng.uniform(0.0, 0.4, n)
    true = 1000 * np.exp(-15 * s) * rng.exponential(size=n)
    sigma = 60 * rng.uniform(0.6, 1.5, n)
    intensity = true + sigma * rng.normal(size=n)
    found = french_wilson(intensity, sigma, np.zeros(n, bool), expected_intensities(intensity, np.ones(n), s))
    error = found.amplitude - np.sqrt(true)
    for low, high in ((-3, 0), (0, 1), (1, 3), (3, 10), (10, 1000)):
        rows = (intensity / sigma >= low) & (intensity / sigma < high) & np.isfinite(error)
        assert abs(error[rows].mean()) < 0.015 * np.sqrt(true[rows]).mean() + 3 * error[rows].std() / np.sqrt(
            rows.sum()
        )
        assert np.sqrt(np.mean((error[rows] / found.sigma_amplitude[rows]) ** 2)) == pytest.approx(1.0, abs=0.1)


def test_the_median_of_noise_is_not_the_mean_over_ln_2():
    """Why DIALS' amplitudes of weak data are too large: its local mean grows with the errors."""
    rng = np.random.default_rng(2)
    s = rng.uniform(0.1, 0.2, 20_000)
    true = 10 * rng.exponential(size=len(s))
    assert np.median(median_intensities(true, s)) == pytest.approx(10, rel=0.03)
    noisy = true + 30 * rng.normal(size=len(s))
    assert np.median(median_intensities(noisy, s)) > 12
    assert np.median(expected_intensities(noisy, np.ones(len(s)), s)) == pytest.approx(10, rel=0.05)


def test_mean_of_hands():
    nan = np.full(3, np.nan)
    plus = Truncated(nan, nan, np.array([10.0, 4.0, np.nan]), np.array([1.0, 1.0, np.nan]))
    minus = Truncated(nan, nan, np.array([16.0, np.nan, np.nan]), np.array([2.0, np.nan, np.nan]))
    found = mean_of_hands(plus, minus)
    np.testing.assert_allclose(found.amplitude, [(10 + 16 / 4) / 1.25, 4.0, np.nan])
    np.testing.assert_allclose(found.sigma_amplitude, [1 / np.sqrt(1.25), 1.0, np.nan])
