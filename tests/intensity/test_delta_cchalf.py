"""ΔCC½ by sums against recomputation from scratch, and what it finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxdask.intensity.delta_cchalf import disagreement, leave_one_out, removal_cutoff


def brute_force(hkl: np.ndarray, intensity: np.ndarray, s: np.ndarray, limits: tuple[float, float], n: int) -> float:
    """CC½ by σ-τ, reflection by reflection, as the paper has it."""
    low, high = limits
    means: list[list[float]] = [[] for _ in range(n)]
    errors: list[list[float]] = [[] for _ in range(n)]
    for h in np.unique(hkl):
        mine = intensity[hkl == h]
        if len(mine) < 2:
            continue
        shell = min(int((s[hkl == h][0] - low) / (high - low) * n), n - 1)
        means[shell].append(float(mine.mean()))
        errors[shell].append(float(mine.var(ddof=1) / len(mine)))
    total = weight = 0.0
    for mean, error in zip(means, errors, strict=True):
        if len(mean) > 1:
            s_y, s_e = np.var(mean, ddof=1), np.mean(error)
            total += len(mean) * (s_y - s_e) / (s_y + s_e)
            weight += len(mean)
    return total / weight


def observations(seed: int, n: int, n_hkl: int, n_groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    hkl = rng.integers(0, n_hkl, n)
    s = rng.uniform(0.01, 0.3, n_hkl)[hkl]
    intensity = rng.exponential(1000.0, n_hkl)[hkl] + rng.normal(0, 200.0, n)
    return hkl, rng.integers(0, n_groups, n), intensity, s


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(2, 7))
def test_every_group_left_out_equals_a_new_computation(seed: int, n_shells: int, n_groups: int) -> None:
    hkl, group, intensity, s = observations(seed, 400, 60, n_groups)
    found = leave_one_out(hkl * 7 - 100, group, intensity, s, n_groups, n_shells)
    limits = (float(s.min()), float(s.max()))
    assert found.cc_half == pytest.approx(brute_force(hkl, intensity, s, limits, n_shells), abs=1e-12)
    for g in range(n_groups):
        keep = group != g
        expected = brute_force(hkl[keep], intensity[keep], s[keep], limits, n_shells)
        assert found.per_group[g] == pytest.approx(expected, abs=1e-11)
    np.testing.assert_allclose(found.delta, found.cc_half - found.per_group)
    np.testing.assert_array_equal(found.n_observations, np.bincount(group, minlength=n_groups))


def test_no_digits_are_lost_to_a_large_offset() -> None:
    hkl, group, intensity, s = observations(3, 2000, 100, 5)
    near = leave_one_out(hkl, group, intensity, s, 5)
    far = leave_one_out(hkl, group, intensity + 1e9, s, 5)
    np.testing.assert_allclose(far.delta, near.delta, atol=1e-6)


def test_a_group_without_observations_has_no_delta() -> None:
    hkl, group, intensity, s = observations(1, 300, 40, 3)
    found = leave_one_out(hkl, group * 2, intensity, s, 5)
    assert np.isnan(found.delta[[1, 3]]).all() and np.isfinite(found.delta[[0, 2, 4]]).all()


def test_nothing_observed_twice_is_no_correlation() -> None:
    found = leave_one_out(np.arange(9), np.zeros(9, int), np.arange(9.0), np.linspace(0.1, 0.2, 9), 1)
    assert np.isnan(found.cc_half) and np.isnan(found.delta).all()
    empty = leave_one_out(np.zeros(0, int), np.zeros(0, int), np.zeros(0), np.zeros(0), 2)
    assert np.isnan(empty.cc_half) and np.isnan(empty.delta).all()


def test_the_noisy_group_harms() -> None:
    hkl, group, intensity, s = observations(5, 20000, 800, 10)
    intensity[group == 4] = np.random.default_rng(6).exponential(1000.0, int((group == 4).sum()))
    delta = leave_one_out(hkl, group, intensity, s, 10).delta
    assert int(np.argmin(delta)) == 4 and delta[4] < 0
    assert (delta < removal_cutoff(delta, 2.5).value).nonzero()[0].tolist() == [4]
    assert (delta < removal_cutoff(delta, 4.0, robust=True).value).nonzero()[0].tolist() == [4]


def test_cutoffs_by_hand() -> None:
    delta = np.array([1.0, 2.0, 3.0, 4.0, -90.0, np.nan])
    plain, robust = removal_cutoff(delta, 1.5), removal_cutoff(delta, 3.0, robust=True)
    assert plain.centre == -16.0 and plain.value == pytest.approx(-16 - 1.5 * np.std([1, 2, 3, 4, -90]))
    assert robust.centre == 2.0 and robust.value == pytest.approx(2 - 3 * 1.4826)


def measured(seed: int, stranger: float = 1.0, weak: float = 1.0) -> tuple[np.ndarray, ...]:
    """12 groups of one structure; the last correlates with it by ``stranger``, the first has ``weak`` times the σ."""
    rng = np.random.default_rng(seed)
    n_hkl, n_groups = 3000, 12
    s = rng.uniform(0.01, 0.3, n_hkl)
    true, other = rng.exponential(1000.0, (2, n_hkl)) * np.exp(-8.0 * s)
    group, hkl = np.divmod(rng.permutation(n_hkl * n_groups)[: 4 * n_hkl], n_hkl)
    sigma = np.where(group == 0, 60.0 * weak, 60.0) * rng.uniform(0.5, 2.0, len(group))
    own = np.where(group == n_groups - 1, stranger * true[hkl] + (1 - stranger) * other[hkl], true[hkl])
    return hkl, group, own + sigma * rng.normal(size=len(group)), sigma**2, s[hkl]


@pytest.mark.parametrize("seed", range(5))
def test_groups_of_one_structure_are_as_expected_however_weak(seed: int) -> None:
    hkl, group, value, variance, s = measured(seed, weak=20.0)
    assert leave_one_out(hkl, group, value, s, 12).delta.argmin() == 0
    z = disagreement(hkl, group, value, variance, s, 12)
    assert np.all(np.abs(z) < 4.5)


def test_another_structure_stands_out_where_delta_cchalf_alone_shows_the_weak_one() -> None:
    hkl, group, value, variance, s = measured(3, stranger=0.9, weak=20.0)
    assert leave_one_out(hkl, group, value, s, 12).delta.argmin() == 0
    z = disagreement(hkl, group, value, variance, s, 12)
    assert z.argmin() == 11
    assert z[11] < -8
    assert np.array_equal(z, disagreement(hkl, group, value, variance, s, 12))


def test_groups_without_observations_or_company_say_nothing() -> None:
    z = disagreement(np.arange(6), np.array([0, 0, 0, 1, 1, 1]), np.ones(6), np.ones(6), np.linspace(0.1, 0.2, 6), 3)
    assert np.all(np.isnan(z))
