"""Outlier rejection against a plain loop."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mxdask.scale.outliers import discordant_pairs, find_outliers, wilson_levels
from mxdask.scale.params import OutlierRejection


def slow(values: np.ndarray, variances: np.ndarray, zmax: float) -> list[bool]:
    """One group, g = 1."""
    weight = np.minimum(1 / variances, 10 * np.median(1 / variances))
    alive = list(range(len(values)))
    while len(alive) > 2:
        z = []
        for i in alive:
            others = [j for j in alive if j != i]
            total = weight[others].sum()
            mean = weight[others] @ values[others] / total
            z.append(abs(values[i] - mean) / np.sqrt(variances[i] + 1 / total))
        if max(z) <= zmax:
            break
        del alive[int(np.argmax(z))]
    return [i not in alive for i in range(len(values))]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_as_the_plain_loop(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 8, 12)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    values, variances = rng.normal(100, 3, starts[-1]), rng.uniform(1, 9, starts[-1])
    values[rng.random(starts[-1]) < 0.1] += 60
    found = find_outliers(starts, values, variances, np.ones(starts[-1]), OutlierRejection(outlier_zmax=5.0))
    expected = [f for a, b in pairwise(starts) for f in slow(values[a:b], variances[a:b], 5.0)]
    assert found.tolist() == expected


def test_scale_factors_cancel():
    rng = np.random.default_rng(0)
    values, variances = rng.normal(100, 3, 40), np.full(40, 9.0)
    values[7] = 200
    starts, g = np.array([0, 20, 40]), rng.uniform(0.5, 2, 40)
    params = OutlierRejection()
    plain = find_outliers(starts, values, variances, np.ones(40), params)
    assert np.array_equal(plain, find_outliers(starts, values * g, variances * g**2, g, params))
    assert np.flatnonzero(plain).tolist() == [7]


def test_none_and_simple():
    starts, ones = np.array([0, 4]), np.ones(4)
    values = np.array([10.0, 10.0, 10.0, 1000.0])
    assert not find_outliers(starts, values, ones, ones, OutlierRejection(outlier_rejection="none")).any()
    # One pass judges the good ones by a mean that holds the bad one.
    assert find_outliers(starts, values, ones, ones, OutlierRejection(outlier_rejection="simple")).all()
    assert find_outliers(starts, values, ones, ones, OutlierRejection()).tolist() == [False, False, False, True]


def test_impossibly_strong_reflections():
    rng = np.random.default_rng(0)
    intensity, inverse_d2 = rng.exponential(10.0, 5000), rng.uniform(0.01, 0.2, 5000)
    intensity[3] = 5000.0
    level = wilson_levels(intensity, np.ones(5000), inverse_d2, np.ones(5000))
    assert np.flatnonzero(intensity > 100.0 * level).tolist() == [3]
    np.testing.assert_allclose(np.median(level), 10.0, rtol=0.1)
    noise = rng.normal(0, 10, 5000)
    np.testing.assert_allclose(wilson_levels(noise, np.full(5000, 100.0), inverse_d2, np.ones(5000)), 10.0)


def test_of_two_that_contradict_each_other_the_improbable_one_goes() -> None:
    starts = np.array([0, 2, 4, 6, 9, 11])
    value = np.array([100.0, 1.0, 100.0, 1.0, 20.0, 1.0, 1.0, 1.0, 100.0, 1.0, 100.0])
    level = np.array([10.0, 10.0, 50.0, 50.0, 1.0, 1.0, 1.0, 1.0, 1.0, 10.0, 10.0])
    out = np.zeros(11, dtype=bool)
    variance = np.array([4.0, 4.0, 4.0, 4.0, 16.0, 16.0, 4.0, 4.0, 4.0, 4.0, 4.0])
    # 100 is improbable where the mean is 10, not where it is 50; 20 ± 4 and 1 ± 4 do not contradict each other;
    # of three each is judged by the other two.
    assert np.flatnonzero(discordant_pairs(starts, value, variance, level, 6.0, out)).tolist() == [0, 10]
    out[7] = True
    assert np.flatnonzero(discordant_pairs(starts, value, variance, level, 6.0, out)).tolist() == [0, 8, 10]
    assert not discordant_pairs(starts[:1], value[:0], variance[:0], level[:0], 6.0, out[:0]).any()
