"""Symmetry equivalents against gemmi, one index at a time."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxdask.intensity.asu import (
    count_possible,
    equal_volume_edges,
    map_to_asu,
    pack,
    reciprocal_rotations,
    shell_of,
    unpack,
)

GROUPS = ["P 1", "C 1 2 1", "P 21 21 21", "P 43 21 2", "I 21 3", "P 61", "R 3 2:H", "F d -3 m", "I 1 2 1"]


def indices(seed: int = 0, n: int = 300) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9, 10, (n, 3)).astype(np.int32)


@pytest.mark.parametrize("name", GROUPS)
def test_representatives_and_friedel_sides_are_gemmis(name):
    group = gemmi.SpaceGroup(name)
    asu, operations = gemmi.ReciprocalAsu(group), group.operations()
    hkl = indices()
    mapped = map_to_asu(hkl, group)
    expected = [asu.to_asu(h, operations) for h in hkl.tolist()]
    assert mapped.hkl.tolist() == [list(e[0]) for e in expected]
    plus = [
        e[1] % 2 == 1 or operations.is_reflection_centric(list(h)) for e, h in zip(expected, hkl.tolist(), strict=True)
    ]
    assert mapped.plus.tolist() == plus
    some = slice(0, 40)
    assert mapped.epsilon[some].tolist() == [
        operations.epsilon_factor_without_centering(h) for h in mapped.unique[some].tolist()
    ]
    assert mapped.absent[some].tolist() == [
        operations.is_systematically_absent(h) for h in mapped.unique[some].tolist()
    ]


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(GROUPS), st.integers(0, 10_000))
def test_equivalents_share_a_group(name, seed):
    group = gemmi.SpaceGroup(name)
    rotations = reciprocal_rotations(group)
    hkl = indices(seed, 30).astype(np.int64)
    turned = np.concatenate([s * hkl @ r for r in rotations for s in (1, -1)])
    mapped = map_to_asu(turned, group)
    assert np.all(mapped.group.reshape(-1, len(hkl)) == mapped.group[: len(hkl)])


def test_order_of_observations_does_not_matter():
    hkl, group = indices(3), gemmi.SpaceGroup("P 3 2 1")
    order = np.random.default_rng(1).permutation(len(hkl))
    a, b = map_to_asu(hkl, group), map_to_asu(hkl[order], group)
    assert np.array_equal(a.unique, b.unique)
    assert np.array_equal(a.group[order], b.group)
    assert np.array_equal(a.plus[order], b.plus)


def test_keys_sort_like_indices_and_come_back():
    hkl = indices(5)
    assert np.array_equal(unpack(pack(hkl)), hkl)
    assert np.array_equal(np.argsort(pack(hkl), kind="stable"), np.lexsort(hkl.T[::-1]))


def test_no_reflections_are_no_trouble():
    mapped = map_to_asu(np.zeros((0, 3), np.int32), gemmi.SpaceGroup("P 1"))
    assert mapped.unique.shape == (0, 3)
    assert len(mapped.group) == 0


def test_possible_reflections_are_those_gemmi_lists():
    cell, group = gemmi.UnitCell(40, 50, 60, 90, 90, 90), gemmi.SpaceGroup("P 21 21 21")
    edges = equal_volume_edges(19.7, 3.07, 5)
    unique, acentric = count_possible(cell, group, edges)
    every = gemmi.make_miller_array(cell, group, 3.07, 19.7, True)
    assert unique.sum() == len(every)
    assert acentric.sum() == (~np.asarray(group.operations().centric_flag_array(every))).sum()


def test_shells_hold_equal_volumes():
    edges = equal_volume_edges(50.0, 2.0, 8)
    assert edges[0] == 50.0
    assert edges[-1] == 2.0
    np.testing.assert_allclose(np.diff(edges**-3.0), (2.0**-3 - 50.0**-3) / 8)
    d = np.array([60.0, 50.0, 2.0, 1.9])
    assert shell_of(1 / d**2, edges).tolist() == [-1, 0, 7, -1]
