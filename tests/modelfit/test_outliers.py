"""Tukey's fences and the minimum covariance determinant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2
from synthetic_sweeps import several

from mxdask.modelfit.mcd import (
    consistency_factor,
    half_size,
    mcd_outliers,
    robust_location_scatter,
    small_sample_factor,
)
from mxdask.modelfit.mcd_kernels import best_of_starts, best_of_trials, concentrate_fully
from mxdask.modelfit.options import FitOptions
from mxdask.modelfit.outliers import find_outliers, tukey_outliers
from mxdask.modelfit.selection import observations

SCATTER = np.array([[1.0, 0.3, 0.0], [0.3, 2.0, -0.5], [0.0, -0.5, 0.5]])


def sample(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).multivariate_normal([1.0, -2.0, 3.0], SCATTER, n)


def concentrated(values, h, centre, scatter):
    """One step in plain numpy: the moments of the h nearest rows, and their determinant."""
    d = values - centre
    nearest = np.sort(np.argsort(np.einsum("ni,ni->n", d @ np.linalg.inv(scatter), d), kind="stable")[:h])
    scatter = np.cov(values[nearest].T)
    return values[nearest].mean(axis=0), scatter, np.linalg.det(scatter)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(20, 80))
def test_kernels_concentrate_as_plain_numpy_does(seed, n):
    rng = np.random.default_rng(seed)
    values, h = rng.normal(size=(n, 3)) @ (np.eye(3) + 0.3 * rng.normal(size=(3, 3))), n // 2 + 2
    # Four rows may lie almost in a plane, and rounding then decides which rows are near.
    draws = np.argsort(rng.random((12, n)), axis=1)[:, :9]
    starts = [(values[rows].mean(axis=0), np.cov(values[rows].T)) for rows in draws]
    ends = []
    for centre, scatter in starts:
        for _ in range(2):
            centre, scatter, determinant = concentrated(values, h, centre, scatter)
        ends.append((determinant, centre, scatter))
    ends.sort(key=lambda end: end[0])
    centres, scatters = best_of_trials(values, h, draws, 2, 5)
    np.testing.assert_allclose(centres, [c for _, c, _ in ends[:5]], atol=1e-9)
    np.testing.assert_allclose(scatters, [s for _, _, s in ends[:5]], atol=1e-9)
    again = best_of_starts(values, h, *map(np.array, zip(*starts, strict=True)), 2, 5)
    np.testing.assert_allclose(again[1], scatters, atol=1e-9)

    best = min((_settled(values, h, *start) for start in zip(centres, scatters, strict=True)), key=lambda end: end[2])
    centre, scatter = concentrate_fully(values, h, centres, scatters, 100)
    np.testing.assert_allclose(centre, best[0], atol=1e-9)
    np.testing.assert_allclose(scatter, best[1], atol=1e-9)


def _settled(values, h, centre, scatter):
    previous = np.inf
    while True:
        centre, scatter, determinant = concentrated(values, h, centre, scatter)
        if determinant >= previous * (1 - 1e-12):
            return centre, scatter, determinant
        previous = determinant


def test_fences_by_hand():
    values = np.column_stack([np.arange(9.0), np.zeros(9), np.zeros(9)])
    assert not tukey_outliers(values).any()  # quartiles 2 and 6: fences -4 and 12
    values[0, 0], values[8, 1] = 30.0, 1.0
    assert np.flatnonzero(tukey_outliers(values)).tolist() == [0, 8]
    assert np.flatnonzero(tukey_outliers(values, 10.0)).tolist() == [8]


def test_half_and_factors():
    assert half_size(100, 3) == 52
    assert consistency_factor(0.5, 3) == pytest.approx(0.5 / chi2.cdf(chi2.ppf(0.5, 3), 5))
    assert small_sample_factor(50, 3) > small_sample_factor(500, 3) > 1.0
    assert small_sample_factor(100_000, 3) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("n", [200, 5000])
def test_a_third_of_bad_values_does_not_hide_itself(n):
    values = sample(n)
    bad = np.arange(n) < 0.3 * n
    values[bad] += [8.0, 8.0, 0.0]
    location, _ = robust_location_scatter(values)
    assert np.allclose(location, [1.0, -2.0, 3.0], atol=0.4)
    found = mcd_outliers(values)
    assert found[bad].mean() > 0.95
    assert found[~bad].mean() < 0.08


def test_a_normal_sample_loses_little_and_always_the_same():
    values = sample(3000)
    assert np.allclose(robust_location_scatter(values)[1], SCATTER, atol=0.25)
    found = mcd_outliers(values)
    assert 0.01 < found.mean() < 0.05
    assert np.array_equal(found, mcd_outliers(values))


def test_units_do_not_matter():
    values = sample(300)
    assert np.array_equal(mcd_outliers(values), mcd_outliers(values * [1e-3, 5.0, 1e-4]))


def test_a_sample_without_scatter_has_no_outliers():
    assert not mcd_outliers(np.zeros((50, 3))).any()


@pytest.mark.parametrize("method", ["tukey", "mcd"])
def test_small_sweeps_are_judged_together_not_thrown_away(method):
    options = FitOptions(outlier=method)
    experiments, table = several(4, 12)
    data, _ = observations(experiments, table, options)
    rng = np.random.default_rng(1)
    residuals = [rng.normal(size=(len(d), 3)) + 5.0 * i for i, d in enumerate(data)]
    residuals[2][4] += 50.0
    masks = find_outliers(experiments, data, residuals, options)
    assert masks[2][4]
    assert sum(m.sum() for m in masks) < 20
    order = [3, 1, 0, 2]
    permuted = find_outliers(
        experiments.with_experiments(experiments[i] for i in order),
        [data[i] for i in order], [residuals[i] for i in order], options,
    )  # fmt: skip
    assert all(np.array_equal(masks[i], m) for i, m in zip(order, permuted, strict=True))


def test_blocks_of_a_long_scan_are_judged_by_themselves():
    experiments, table = several(1, 400, n_images=360, width=0.25)
    options = replace(FitOptions(), outlier_block_width=30.0)
    data, _ = observations(experiments, table, options)
    late = data[0].observed[:, 2] > np.deg2rad(80.0)
    residuals = np.random.default_rng(0).normal(size=(len(data[0]), 3))
    residuals[late] += 20.0  # a block with another mean has no outliers for that
    masks = find_outliers(experiments, data, [residuals], options)
    assert masks[0].mean() < 0.1
    assert not find_outliers(experiments, data, [residuals], replace(options, outlier="null"))[0].any()
