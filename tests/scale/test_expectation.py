"""Expected intensities and the variances that belong to them."""

from __future__ import annotations

import numpy as np
import pytest

from mxdask.scale.expectation import Counting, expected_intensities, posterior_means, resolution_shells


def test_weak_poisson_data_are_merged_without_bias():
    rng = np.random.default_rng(0)
    n_groups, multiplicity, background = 4000, 3, 3.0
    true = np.repeat(rng.exponential(2.0, n_groups), multiplicity)
    group = np.repeat(np.arange(n_groups), multiplicity)
    counts = rng.poisson(true + background)
    value = counts - background
    variance = np.abs(value) + 1.2 * background
    ones = np.ones(len(value))
    plain = np.bincount(group, value / variance) / np.bincount(group, 1 / variance)
    shell, counting, new = (
        resolution_shells(0.05 + 0.1 * rng.random(len(value))),
        Counting.of(value, variance, ones),
        variance,
    )
    for _ in range(3):
        expected = expected_intensities(group, shell, value, new, counting, ones, ones > 0)
        new = counting.variances(expected).total
    better = np.bincount(group, value / new) / np.bincount(group, 1 / new)
    truth = true[::multiplicity]
    assert abs(better.mean() - truth.mean()) < 0.25 * abs(plain.mean() - truth.mean())


def test_strong_observations_keep_their_variance():
    value, variance = np.array([1e4, 2e4]), np.array([1.2e4, 2.4e4])
    found = Counting.of(value, variance, np.ones(2)).variances(value)
    np.testing.assert_allclose(found.total, variance)


def test_detectors_that_do_not_count_photons_keep_their_scale():
    rng = np.random.default_rng(1)
    value = rng.uniform(500, 1000, 100)
    found = Counting.of(value, 0.2 * value, np.ones(100)).variances(value)
    np.testing.assert_allclose(found.total, 0.2 * value, rtol=0.12)


def test_what_is_hardly_measured_follows_its_shell():
    group, shell = np.array([0, 0, 1]), np.zeros(3, dtype=np.int64)
    value, variance = np.array([100.0, 100.0, -900.0]), np.array([1.0, 1.0, 1e8])
    good, ones = np.array([True, True, False]), np.ones(3)
    counting = Counting(np.full(3, 1e-6), np.array([1.0, 1.0, 1e8]), np.zeros(3))
    found = expected_intensities(group, shell, value, variance, counting, ones, good)
    assert found[0] == pytest.approx(100.0, rel=0.01)
    assert found[2] == pytest.approx(100.0)


def test_where_nothing_was_counted_something_may_be() -> None:
    """Without background and counts, Poisson's and Wilson's distributions leave S/(1 + S) counts to expect."""
    prior = np.array([0.1, 2.0, 50.0])
    found = posterior_means(np.zeros(3), np.ones(3), np.zeros(3), prior)
    np.testing.assert_allclose(found, prior / (1.0 + prior))


@pytest.mark.parametrize(
    ("mean", "rate", "background", "prior"),
    [(0, 1, 0.5, 2), (3, 1, 0.5, 2), (1000, 1, 10, 50), (-30, 1, 100, 2), (-60, 2, 400, 20), (5, 1e-3, 25, 4),
     (1e4, 1, 5, 1e3), (2000, 1, 3000, 30), (-20, 0.5, 4, 1)],
)  # fmt: skip
def test_posterior_mean_is_that_of_its_integral(mean: float, rate: float, background: float, prior: float) -> None:
    b = background / rate**2
    y = max(mean / rate + b, 0.0)
    width = 30 * np.sqrt(rate * max(mean, 0) + background) + 40 * min(prior, rate + 3 * np.sqrt(background))
    j = np.linspace(0, max(mean, 0) + width, 400_001)[1:]
    log = y * np.log(j / rate + b) - (1 + rate / prior) * j / rate
    density = np.exp(log - log.max())
    (found,) = posterior_means(*(np.array([float(v)]) for v in (mean, rate, background, prior)))
    assert found == pytest.approx((density * j).sum() / density.sum(), rel=0.03)


@pytest.mark.parametrize("background", [0.02, 0.5, 20.0])
def test_variances_are_right_where_hardly_anything_is_counted(background: float) -> None:
    """Deviations of single observations from the truth have unit width, although most counts are zero."""
    rng = np.random.default_rng(7)
    true = rng.exponential(1.5, 60_000)
    value = rng.poisson(true + background) - background
    variance, ones = np.abs(value) + background, np.ones(len(true))
    shell, counting = resolution_shells(0.05 + 0.1 * rng.random(len(true))), Counting.of(value, variance, ones)
    expected = expected_intensities(np.arange(len(true)), shell, value, variance, counting, ones, ones > 0)
    assert np.std((value - true) / np.sqrt(counting.variances(expected).total)) == pytest.approx(1.0, abs=0.07)
