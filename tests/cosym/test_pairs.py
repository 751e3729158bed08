"""The pair matrix and the target against plain reference code."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from mxdask.cosym.coordinates import Problem, elbow, noise_level, pair_weights, regular_representation
from mxdask.cosym.pairs import PairMatrix, PairRules, ReflectionLists, assemble, correlate, distinct_elements
from mxdask.cosym.settings_group import SettingsGroup, normal_core
from mxdask.intensity.asu import pack
from mxdask.intensity.merged_set import MergedSet, canonical_keys, is_general
from mxdask.lattice.operators import point_group

IDENTITY = np.eye(3, dtype=np.int64)[None]


def random_sets(n: int, ops: np.ndarray, seed: int = 0, size: int = 150) -> list[MergedSet]:
    rng = np.random.default_rng(seed)
    sets = []
    for _ in range(n):
        keys = np.unique(canonical_keys(rng.integers(-4, 5, (size, 3)), ops))
        sets.append(MergedSet(keys, rng.exponential(1.0, len(keys)), np.ones(len(keys))))
    return sets


def plain_correlation(a: MergedSet, b: MergedSet, g: np.ndarray, lattice: np.ndarray) -> tuple[float, int]:
    """Dictionary look-up, reflection by reflection."""
    values = dict(zip(b.key.tolist(), b.intensity.tolist(), strict=True))
    x, y = [], []
    for hkl, intensity in zip(a.hkl, a.intensity, strict=True):
        if not is_general(hkl[None], lattice)[0]:
            continue
        moved = g @ hkl
        key = int(max(pack(moved[None])[0], pack(-moved[None])[0]))
        if key in values:
            x.append(intensity)
            y.append(values[key])
    return (float(np.corrcoef(x, y)[0, 1]), len(x)) if len(x) > 2 else (0.0, len(x))


def full_matrix(sets: list[MergedSet], group: SettingsGroup, lattice: np.ndarray) -> PairMatrix:
    lists = ReflectionLists.of(sets, lattice)
    return assemble(group, {g: correlate(lists, lists, group, g, PairRules(3)) for g in distinct_elements(group)})


@pytest.mark.parametrize("symbol", ["P 2 2 2", "P 3 2 1"])
def test_pair_matrix_equals_plain_correlations(symbol: str) -> None:
    lattice = point_group(gemmi.SpaceGroup(symbol))
    group = SettingsGroup.of(lattice, IDENTITY)
    sets = random_sets(4, IDENTITY, size=60)
    found = full_matrix(sets, group, lattice)
    for g, op in enumerate(group.ops):
        for i in range(4):
            for j in range(4):
                r, n = plain_correlation(sets[i], sets[j], op, lattice)
                assert found.n[g, i, j] == n
                assert found.r[g, i, j] == pytest.approx(r, abs=1e-12)


def test_order_of_crystals_does_not_change_a_bit() -> None:
    lattice = point_group(gemmi.SpaceGroup("P 4 2 2"))
    group = SettingsGroup.of(lattice, IDENTITY)
    sets = random_sets(40, IDENTITY)
    order = np.random.default_rng(1).permutation(40)
    straight, mixed = full_matrix(sets, group, lattice), full_matrix([sets[i] for i in order], group, lattice)
    np.testing.assert_array_equal(mixed.r, straight.r[:, order][:, :, order])


def test_settings_group_and_normal_core() -> None:
    cubic = point_group(gemmi.SpaceGroup("P 4 3 2"))
    assert len(normal_core(cubic, point_group(gemmi.SpaceGroup("P 2 3")))) == 12
    core = normal_core(cubic, point_group(gemmi.SpaceGroup("P 4 2 2")))
    assert len(core) == 4  # 222 is the largest normal subgroup of 432 inside 422
    group = SettingsGroup.of(cubic, core)
    assert len(group) == 6
    s = np.arange(len(group))
    assert np.all(group.product[s, group.inverse] == 0)
    assert all(group.element(op) == i for i, op in enumerate(group.ops))


def test_target_is_the_sum_over_all_pairs_of_points_and_its_gradient() -> None:
    lattice = point_group(gemmi.SpaceGroup("P 4 2 2"))
    group = SettingsGroup.of(lattice, IDENTITY)
    pairs = full_matrix(random_sets(5, IDENTITY, size=60), group, lattice)
    weights = pair_weights(pairs, "count", 3)
    problem = Problem(pairs, weights, regular_representation(group, 2))
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(5, 16))
    value, gradient = problem.target(vectors)
    points = problem.points(vectors)
    plain = 0.0
    for k in range(8):
        for m in range(8):
            g = group.product[group.inverse[m], k]
            plain += 0.5 * float(np.sum(weights[g] * (pairs.r[g] - points[k] @ points[m].T) ** 2))
    assert value == pytest.approx(plain, rel=1e-12)
    step = np.zeros_like(vectors)
    step[2, 5] = 1e-6
    numeric = (problem.target(vectors + step)[0] - problem.target(vectors - step)[0]) / 2e-6
    assert gradient[2, 5] == pytest.approx(numeric, rel=1e-6)


def test_weights() -> None:
    n = np.array([[[9, 4, 2], [4, 9, 6], [2, 6, 9]]])
    r = np.array([[[1.0, 0.5, 0.2], [0.5, 1.0, 0.9], [0.2, 0.9, 1.0]]])
    pairs = PairMatrix(r, n, n.astype(float))
    count = pair_weights(pairs, "count", 3)[0]
    np.testing.assert_allclose(count, [[0, 0.8, 0], [0.8, 0, 1.2], [0, 1.2, 0]])
    error = pair_weights(pairs, "standard_error", 3)[0]
    assert error[1, 2] / error[0, 1] == pytest.approx((np.sqrt(5) / 0.19) / (np.sqrt(3) / 0.75))
    assert noise_level(pairs, pair_weights(pairs, "count", 3)) > 0


def test_elbow() -> None:
    assert elbow(np.array([1600.0, 36.0, 35.0, 34.0, 33.0, 32.0])) == 2
    assert elbow(np.array([100.0, 60.0, 20.0, 10.0, 9.5, 9.0, 8.5])) == 3
    assert elbow(np.array([5.0, 4.0])) == 2


def test_correlations_weighted_by_errors() -> None:
    rng = np.random.default_rng(8)
    sets = [
        MergedSet(s.key, s.intensity, rng.uniform(0.1, 2.0, len(s))) for s in random_sets(3, IDENTITY, seed=4, size=80)
    ]
    lattice = point_group(gemmi.SpaceGroup("P 2 2 2"))
    lists = ReflectionLists.of(sets, lattice)
    group = SettingsGroup.of(IDENTITY, IDENTITY)
    found = correlate(lists, lists, group, 0, PairRules(3, "sigma"))
    general = [s.select(is_general(s.hkl, lattice)) for s in sets]
    _, a, b = np.intersect1d(general[0].key, general[2].key, return_indices=True)
    x, y = general[0].intensity[a], general[2].intensity[b]
    w = 1 / (general[0].sigma[a] ** 2 + general[2].sigma[b] ** 2)
    dx, dy = x - np.average(x, weights=w), y - np.average(y, weights=w)
    assert found.r[0, 2] == pytest.approx(np.sum(w * dx * dy) / np.sqrt(np.sum(w * dx**2) * np.sum(w * dy**2)))
    assert found.effective[0, 2] == pytest.approx(w.sum() ** 2 / np.sum(w**2))
    assert found.n[0, 2] == len(a)


def test_kernels_of_equivalents_against_plain_numpy() -> None:
    ops = point_group(gemmi.SpaceGroup("P 4 3 2"))
    hkl = np.random.default_rng(2).integers(-3, 4, (300, 3))
    images = np.concatenate([hkl[None] @ ops.transpose(0, 2, 1), -hkl[None] @ ops.transpose(0, 2, 1)])
    np.testing.assert_array_equal(canonical_keys(hkl, ops), np.max([pack(i) for i in images], axis=0))
    np.testing.assert_array_equal(is_general(hkl, ops), np.all(images == hkl, axis=2).sum(axis=0) == 1)
