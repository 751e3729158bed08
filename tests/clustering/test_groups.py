"""Groups of crystals from their intensities: numbers by hand, mixtures with known truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixtures import Mixture, adjusted_rand_index, make

from mxdask.clustering.crystal_data import CrystalData, merge_observations, on_one_scale
from mxdask.clustering.decay import sweep_decay
from mxdask.clustering.groups import Groups, find_groups
from mxdask.clustering.partition import Evidence, as_one, closest_pair, compact, settle
from mxdask.clustering.similarity import coordinates, residual_similarity
from mxdask.clustering.species_model import GroupMeans, likely_t
from mxdask.table import ReflectionTable


def found(mixture: Mixture, seed: int = 0) -> tuple[Groups, np.ndarray]:
    made = make(mixture, seed)
    return find_groups(**made.arguments), made.truth


def data_of(mixture: Mixture, seed: int = 0) -> tuple[CrystalData, np.ndarray]:
    made = make(mixture, seed)
    a = made.arguments
    merged = merge_observations(a["crystal"], a["reflection"], a["intensity"], a["sigma"], a["n_crystals"])
    return on_one_scale(*merged, a["n_crystals"], a["n_reflections"], a["d_star_sq"]), made.truth


# --- the whole -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mixture",
    [
        Mixture(),
        Mixture(cc=0.995),
        Mixture(sizes=(20, 5, 3)),
        Mixture(sizes=(3, 3), reflections=10000),
        Mixture(sizes=(8,) * 6, cc=0.97),
        Mixture(reflections=40000, covered=0.03),
        Mixture(sizes=(6, 6), covered=0.95),
        Mixture(sigma_wrong=3.0),
    ],
)
def test_species_are_told_apart_and_counted(mixture: Mixture) -> None:
    groups, truth = found(mixture)
    assert groups.n_groups == len(mixture.sizes)
    assert adjusted_rand_index(truth, groups.label) == 1.0
    assert groups.reason == [""] * len(truth)
    # ± 40 % of the true difference: it is measured, not only found
    assert 0.6 * (1 - mixture.cc) < groups.difference < 1.4 * (1 - mixture.cc)


@pytest.mark.parametrize(
    "mixture",
    [
        Mixture(sizes=(30,)),
        Mixture(sizes=(6,)),
        Mixture(sizes=(30,), own=0.01),
        Mixture(sizes=(30,), shared=0.03),
        Mixture(sizes=(30,), sigma_wrong=3.0),
        Mixture(sizes=(30,), sigma_wrong=0.5),
        Mixture(sizes=(30,), reflections=40000, covered=0.03),
    ],
)
def test_one_species_is_one_group(mixture: Mixture) -> None:
    for seed in range(3):
        groups, _ = found(mixture, seed)
        assert groups.n_groups == 1
        assert groups.label.tolist() == [0] * len(groups.label)


def test_bad_crystals_are_named_and_sound_ones_are_not() -> None:
    groups, truth = found(Mixture(damaged=(0,), weak=(1,), half=(2,), alien=(3,)))
    sound = np.arange(4, 30)
    assert adjusted_rand_index(truth[sound], groups.label[sound]) == 1.0
    assert all(not groups.reason[i] for i in sound)
    assert groups.flaw[:2] == ["disturbed", "weak"] and groups.flaw[2] in ("disturbed", "unlike")
    assert groups.flaw[3] == "unlike" and groups.label[3] == -1
    assert "unlike every group" in groups.reason[3]
    # a damaged crystal is still told by what is left of its species
    assert groups.label[0] == groups.label[np.flatnonzero(truth == truth[0])[-1]]


def test_decay_names_the_damaged() -> None:
    made = make(Mixture(), 0)
    decay = np.full(30, 0.3)
    decay[7] = 20.0
    groups = find_groups(**made.arguments, decay=decay)
    assert [i for i, flaw in enumerate(groups.flaw) if flaw] == [7]
    assert groups.flaw[7] == "damaged" and "20" in groups.reason[7] and groups.label[7] >= 0


def test_two_of_another_protein_are_a_group_of_their_own() -> None:
    made = make(Mixture(sizes=(12, 2), cc=0.1), 1)
    groups = find_groups(**made.arguments)
    assert groups.n_groups == 2
    assert adjusted_rand_index(made.truth, groups.label) == 1.0


def test_answer_does_not_depend_on_the_order_of_crystals_and_rows() -> None:
    made = make(Mixture(sizes=(8, 5), alien=(2,)), 3)
    a = made.arguments
    first = find_groups(**a)
    rng = np.random.default_rng(0)
    order = rng.permutation(a["n_crystals"])  # new crystal i is the old order[i]
    new = np.argsort(order)
    rows = rng.permutation(len(a["crystal"]))
    second = find_groups(
        **a
        | {
            "crystal": new[a["crystal"]][rows], "reflection": a["reflection"][rows],
            "intensity": a["intensity"][rows], "sigma": a["sigma"][rows], "keys": a["keys"][order],
        }
    )  # fmt: skip
    assert np.array_equal(second.label, first.label[order])
    assert np.array_equal(second.coordinates, first.coordinates[order])
    assert np.array_equal(second.similarity, first.similarity[np.ix_(order, order)])
    assert second.reason == [first.reason[i] for i in order]
    leaves = second.linkage[:, :2][second.linkage[:, :2] < 13].astype(int)
    assert sorted(leaves.tolist()) == list(range(13))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_very_few_crystals_are_one_group(n: int) -> None:
    groups, _ = found(Mixture(sizes=(n,)))
    assert groups.n_groups == (1 if n > 1 else 0)
    assert groups.linkage.shape == (n - 1, 4)


def test_a_crystal_without_reflections_belongs_to_none() -> None:
    made = make(Mixture(sizes=(6,)), 0)
    a = dict(made.arguments)
    a["n_crystals"], a["keys"] = 7, np.append(a["keys"], 5)
    groups = find_groups(**a)
    assert groups.label.tolist() == [0] * 6 + [-1]
    assert groups.flaw[6] == "few" and "0 reflections in common" in groups.reason[6]
    assert np.all(np.isfinite(groups.coordinates)) and np.all(np.isfinite(groups.similarity))


def test_largest_group_is_number_zero() -> None:
    groups, truth = found(Mixture(sizes=(5, 12)))
    assert np.bincount(groups.label).tolist() == [12, 5]
    assert np.all(truth[groups.label == 0] == 1)


# --- parts -----------------------------------------------------------------------------------------------------------


def test_similarity_is_the_correlation_summed_by_hand() -> None:
    data, _ = data_of(Mixture(sizes=(5,), reflections=60, covered=0.7))
    s2 = as_one(data).noise.variance(data)
    x, w = np.full((5, 60), np.nan), np.zeros((5, 60))
    x[data.crystal, data.reflection], w[data.crystal, data.reflection] = data.value, 1 / s2
    total = w.sum(axis=0)
    e = x - np.nansum(w * np.nan_to_num(x), axis=0) / np.where(total > 0, total, 1)
    similarity = residual_similarity(data, s2)
    for i in range(5):
        for j in range(5):
            h = (w[i] > 0) & (w[j] > 0)
            f = np.sqrt(data.expected[h] * w[i, h]), np.sqrt(data.expected[h] * w[j, h])
            z = e[i, h] * np.sqrt(w[i, h]) * e[j, h] * np.sqrt(w[j, h]) + np.sqrt(w[i, h] * w[j, h]) / total[h]
            if i != j:
                r = (z * f[0] * f[1]).sum() / (f[0] * f[1]).sum()
                assert similarity.r[i, j] == pytest.approx(np.clip(r, -1, 1))
                assert similarity.common[i, j] == h.sum()


def test_residuals_of_noise_are_uncorrelated_although_they_share_the_mean() -> None:
    # Four crystals: without the correction each pair would correlate by about -1/3.
    values = []
    for seed in range(6):
        data, _ = data_of(Mixture(sizes=(4,), reflections=6000, covered=0.8), seed)
        r = residual_similarity(data, as_one(data).noise.variance(data)).r
        values += r[np.triu_indices(4, 1)].tolist()
    assert abs(np.mean(values)) < 0.03


def test_coordinates_reproduce_the_covariances() -> None:
    data, truth = data_of(Mixture(cc=0.97))
    similarity = residual_similarity(data, as_one(data).noise.variance(data))
    points, eigenvalues, noise = coordinates(similarity)
    assert points.shape == (30, 2) and np.sum(eigenvalues > noise) == 2
    off = ~np.eye(30, dtype=bool)
    misfit = (points @ points.T - similarity.covariance)[off] * np.sqrt(similarity.precision[off])
    assert np.sqrt(np.mean(misfit**2)) < 1.3
    pair = np.flatnonzero(closest_pair(similarity))
    assert len(pair) == 2 and truth[pair[0]] == truth[pair[1]]


def _log_marginal_by_hand(x: np.ndarray, s2: np.ndarray, label: np.ndarray, t: float) -> float:
    """ln ∫ N(x; μ, S + t·same group) dμ for one reflection."""
    C = np.diag(s2) + t * (label[:, None] == label[None, :])
    inverse = np.linalg.inv(C)
    one = np.ones(len(x))
    p = one @ inverse @ one
    m = one @ inverse @ x / p
    return -0.5 * (np.linalg.slogdet(C)[1] + (x - m) @ inverse @ (x - m) + np.log(p))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 7), st.floats(0.001, 2.0))
def test_log_marginal_is_the_gaussian_integral(seed: int, c: int, t: float) -> None:
    rng = np.random.default_rng(seed)
    x, s2 = rng.normal(1, 1, c), rng.uniform(0.05, 2, c)
    label = compact(rng.integers(0, 3, c))
    data = CrystalData(np.arange(c, dtype=np.int32), np.zeros(c, dtype=np.int64), x, s2, np.ones(1), c)
    ours = GroupMeans.of(data, label, s2, t).log_marginal()
    one = GroupMeans.of(data, np.zeros(c, dtype=np.int64), s2, t).log_marginal()
    by_hand = _log_marginal_by_hand(x, s2, label, t) - _log_marginal_by_hand(x, s2, np.zeros(c), t)
    assert ours - one == pytest.approx(by_hand, abs=1e-8)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 7), st.floats(0.001, 2.0))
def test_predictions_are_conditional_means(seed: int, c: int, t: float) -> None:
    """Prediction of crystal 0 in each group = conditional mean and variance of the joint Gaussian with flat μ."""
    rng = np.random.default_rng(seed)
    x, s2 = rng.normal(1, 1, c), rng.uniform(0.05, 2, c)
    label = compact(rng.integers(0, 3, c))
    data = CrystalData(np.arange(c, dtype=np.int32), np.zeros(c, dtype=np.int64), x, s2, np.ones(1), c)
    means = GroupMeans.of(data, label, s2, t)
    mean, precision, _ = means.own_predictions()
    odds = means.log_likelihoods()[0]
    for g in range(means.n_groups):
        guess = label.copy()
        guess[0] = g
        flat = 1e4  # a prior on μ that is as good as flat
        C = flat + t * (guess[:, None] == guess[None, :])
        known = np.linalg.inv(C[1:, 1:] + np.diag(s2[1:]))
        theta, var = C[0, 1:] @ known @ x[1:], C[0, 0] - C[0, 1:] @ known @ C[0, 1:]
        if g == label[0]:
            assert mean[0] == pytest.approx(theta, abs=3e-3)
            assert 1 / precision[0] == pytest.approx(var, rel=1e-3)
        z2 = (x[0] - theta) ** 2 / (var + s2[0])
        if z2 < 24:
            assert odds[g] == pytest.approx(-0.5 * (np.log(var + s2[0]) + z2), abs=5e-3)


def test_variance_between_groups_and_errors_are_recovered() -> None:
    data, truth = data_of(Mixture(own=0.005, sigma_wrong=2.0, reflections=8000))
    result = settle(data, compact(truth), as_one(data).noise)
    assert np.array_equal(result.label, compact(truth))
    assert np.median(result.noise.a) == pytest.approx(4.0, rel=0.15)
    assert np.median(result.noise.u) == pytest.approx(0.005, rel=0.5)
    assert result.t == pytest.approx(0.015, rel=0.3)
    means = GroupMeans.of(data, result.label, result.noise.variance(data))
    assert likely_t(means.W, means.Wm, data.expected) == means.t


def test_scales_and_b_factors_are_taken_out() -> None:
    data, _ = data_of(Mixture(sizes=(10,), b_error=5.0, scale_error=0.7, counts=3000.0))
    mean = np.bincount(data.reflection, data.value) / np.maximum(np.bincount(data.reflection), 1)
    for crystal in range(10):
        rows = data.crystal == crystal
        low, high = data.reflection[rows] < 1000, data.reflection[rows] >= 3000
        for part in (low, high):
            ratio = data.value[rows][part].sum() / mean[data.reflection[rows][part]].sum()
            assert ratio == pytest.approx(1.0, abs=0.03)


def test_needed_evidence_counts_the_ways_to_divide() -> None:
    # 10 crystals into 5 and 5: 252 ways
    assert Evidence(per_group=8.0).needed(np.array([0] * 5 + [1] * 5)) == pytest.approx(np.log(252) + 8)
    assert Evidence().needed(np.zeros(10, dtype=int)) == 0.0


def test_merging_weighs_by_variance() -> None:
    crystal, reflection = np.array([0, 0, 1]), np.array([3, 3, 3])
    c, r, value, variance = merge_observations(crystal, reflection, np.array([1.0, 4, 7]), np.array([1.0, 2, 1]), 2)
    assert c.tolist() == [0, 1] and r.tolist() == [3, 3]
    assert value.tolist() == pytest.approx([(1 + 4 / 4) / 1.25, 7.0])
    assert variance.tolist() == pytest.approx([0.8, 1.0])


def test_decay_is_read_from_the_scales() -> None:
    rng = np.random.default_rng(1)
    n = 400
    d, z = rng.uniform(1.5, 8, 2 * n), rng.uniform(0, 50, 2 * n)
    which = np.repeat([0, 1], n)
    growth = np.where(which == 0, 12.0, 0.0) * (z / 50)
    g = 1.3 * np.exp(-growth / (2 * d**2)) * (1 + 0.01 * z)
    position = np.column_stack([np.zeros(2 * n), np.zeros(2 * n), z])
    table = ReflectionTable({"id": which, "d": d, "inverse_scale_factor": g, "xyzobs.px.value": position})
    decay = sweep_decay(table, 3)
    assert decay[:2].tolist() == pytest.approx([12.0, 0.0], abs=0.3)
    assert np.isnan(decay[2])
