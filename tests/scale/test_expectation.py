"""Expected intensities and the variances that belong to them."""

from __future__ import annotations

import numpy as np
import pytest

from mxdask.scale.expectation import expected_intensities, expected_variances, resolution_shells


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
    expected, new = np.maximum(value, 0), variance
    for _ in range(3):
        expected = expected_intensities(
            group, resolution_shells(0.05 + 0.1 * rng.random(len(value))), value, new, ones, ones > 0
        )
        new = expected_variances(value, variance, ones, expected).total
    better = np.bincount(group, value / new) / np.bincount(group, 1 / new)
    truth = true[::multiplicity]
    assert abs(better.mean() - truth.mean()) < 0.25 * abs(plain.mean() - truth.mean())


def test_strong_observations_keep_their_variance():
    value, variance = np.array([1e4, 2e4]), np.array([1.2e4, 2.4e4])
    found = expected_variances(value, variance, np.ones(2), value)
    np.testing.assert_allclose(found.total, variance)


def test_detectors_that_do_not_count_photons_keep_their_scale():
    rng = np.random.default_rng(1)
    value = rng.uniform(500, 1000, 100)
    found = expected_variances(value, 0.2 * value, np.ones(100), value)
    np.testing.assert_allclose(found.total, 0.2 * value, rtol=0.12)


def test_what_is_hardly_measured_follows_its_shell():
    group, shell = np.array([0, 0, 1]), np.zeros(3, dtype=np.int64)
    value, variance = np.array([100.0, 100.0, -900.0]), np.array([1.0, 1.0, 1e8])
    good = np.array([True, True, False])
    found = expected_intensities(group, shell, value, variance, np.ones(3), good)
    assert found[0] == pytest.approx(100.0, rel=0.01)
    assert found[2] == pytest.approx(100.0)
