"""The error model finds the a and b that errors were made with."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from mxdask.scale.error_model import (
    cut_effect,
    intensity_bins,
    probability_plot_slope,
    refine_error_model,
    select_deviations,
)
from mxdask.scale.expectation import Variances
from mxdask.scale.params import ErrorModel


def observations(a: float, b: float, multiplicity: int, n: int = 4000, seed: int = 0):
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n), multiplicity)
    true = rng.exponential(400.0, n)[group] + 30.0
    g = rng.uniform(0.5, 2.0, len(group))
    variance = g * true + 30.0
    sigma = a * np.sqrt(variance + (b * g * true) ** 2)
    value = g * true + sigma * rng.normal(size=len(group))
    return group, value, Variances(g * true, np.full(len(g), 30.0), np.ones(len(g))), g, np.ones(len(g))


@pytest.mark.parametrize("multiplicity", [2, 3, 10])
@pytest.mark.parametrize(("a", "b"), [(1.0, 0.03), (0.6, 0.05), (1.8, 0.02)])
def test_a_and_b_are_found_whatever_the_multiplicity(a, b, multiplicity):
    model = refine_error_model(*observations(a, b, multiplicity), ErrorModel())
    assert model.a == pytest.approx(a, rel=0.07)
    assert model.b == pytest.approx(b, rel=0.2)
    assert all(0.75 < row["variance_after"] < 1.3 for row in model.bins)


def test_fixed_values_stay():
    model = refine_error_model(*observations(1.0, 0.03, 4), ErrorModel(a=1.3))
    assert model.a == 1.3
    model = refine_error_model(*observations(1.0, 0.03, 4), ErrorModel(b=0.1))
    assert model.b == 0.1


def test_too_few_observations_say_so():
    model = refine_error_model(*observations(1.0, 0.03, 2, n=50), ErrorModel())
    assert (model.a, model.b) == (1.0, 0.02)
    assert "250 needed" in model.reason


def test_weak_data_still_get_one():
    group, value, variances, g, whole = observations(1.2, 0.0, 4)
    small = Variances(variances.counts / 1e4, variances.background / 1e4, variances.rate / 100)
    model = refine_error_model(group, value / 100, small, g, whole, ErrorModel())
    assert model.reason == ""
    assert model.a == pytest.approx(1.2, rel=0.1)


def test_background_factor_is_found_from_weak_reflections():
    rng = np.random.default_rng(3)
    n, multiplicity = 6000, 4
    group = np.repeat(np.arange(n), multiplicity)
    true = np.where(np.arange(n) % 2, rng.exponential(400.0, n), rng.exponential(5.0, n))[group]
    value = true + np.sqrt(true + 100.0) * rng.normal(size=len(group))
    said = Variances(true, np.full(len(group), 250.0), np.ones(len(group)))
    model = refine_error_model(group, value, said, np.ones(len(group)), np.ones(len(group)), ErrorModel())
    assert model.a == pytest.approx(1.0, rel=0.05)
    assert model.a**2 * model.background == pytest.approx(0.4, rel=0.1)


@pytest.mark.parametrize("background", [0.3, 5.0])
def test_background_factor_of_few_counts(background: float) -> None:
    """Counts of a few are skew, and the same counts make mean and scatter; k is found all the same."""
    rng = np.random.default_rng(5)
    n, multiplicity, too_large = 12000, 3, 4.0
    group = np.repeat(np.arange(n), multiplicity)
    true = rng.exponential(1.0, n)[group]
    value = rng.poisson(true + background) - background
    ones = np.ones(len(group))
    said = Variances(ones, too_large * background * ones, ones)
    model = refine_error_model(group, value, said, ones, ones, ErrorModel(a=1.0, b=0.0, min_Ih=1e-3))
    assert model.background == pytest.approx(1.0 / too_large, rel=0.12)


def test_basic_model_of_pairs_halves_the_errors_as_in_dials():
    """Deviations from a mean that holds the observation, times √((n - 1)/n): a is (n - 1)/n of what it should be."""
    group, value, variances, g, whole = observations(1.0, 0.0, 2)
    counted = Variances.as_counted(variances.total)
    model = refine_error_model(group, value, counted, g, whole, ErrorModel(error_model="basic", b=0.0))
    assert model.a == pytest.approx(0.5, rel=0.05)
    assert (model.background, model.cut) == (1.0, 0.0)


def test_error_of_cut_reflections_follows_the_rocking_curve():
    rng = np.random.default_rng(4)
    group, value, variances, g, partiality = observations(1.0, 0.0, 3)
    cut = np.flatnonzero(np.arange(len(group)) % 6 == 0)
    partiality[cut] = rng.uniform(0.4, 0.95, len(cut))
    value[cut] += 0.2 * cut_effect(partiality[cut]) * variances.counts[cut] * rng.normal(size=len(cut))
    model = refine_error_model(group, value, variances, g, partiality, ErrorModel())
    assert model.cut == pytest.approx(0.2, rel=0.15)
    assert refine_error_model(group, value, variances, g, np.ones(len(g)), ErrorModel()).cut == 0.0


def test_effect_of_a_cut():
    p = np.array([0.5, 0.9, 1.0])
    x = norm.ppf(p[:2])
    np.testing.assert_allclose(cut_effect(p), [*(norm.pdf(x) / p[:2]), 0.0])


def test_deviations_of_pairs_have_unit_variance():
    group, value, variances, g, _ = observations(1.0, 0.0, 2, n=20000)
    deltas = select_deviations(group, value, variances.total, g, 1.0).delta(1.0, 0.0)
    assert np.var(deltas) == pytest.approx(1.0, rel=0.03)


def test_slope_of_a_normal_sample_is_its_width():
    sample = 1.7 * np.random.default_rng(0).normal(size=5000)
    assert probability_plot_slope(sample) == pytest.approx(1.7, rel=0.03)


def test_bins_fall_and_none_is_nearly_empty():
    expected = np.random.default_rng(0).exponential(100, 5000) + 25
    bins = intensity_bins(expected, 10)
    sizes = np.bincount(bins)
    assert sizes.min() >= 5000 // 30
    means = np.bincount(bins, expected) / sizes
    assert np.all(np.diff(means) < 0)
