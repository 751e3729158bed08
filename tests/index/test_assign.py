"""Indices of reciprocal lattice points."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mxdask.index.assign import assign

A = np.linalg.inv(np.array([[40.0, 0, 0], [5.0, 50.0, 0], [-3.0, 4.0, 60.0]]))


def points(seed: int, n: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    hkl = rng.integers(-15, 16, size=(n, 3))
    return (hkl + rng.normal(size=(n, 3)) * noise) @ A.T, hkl


def test_points_near_nodes_get_their_indices() -> None:
    rlp, hkl = points(1, 200, 0.03)
    found = assign(rlp, [A], tolerance=0.3)
    nonzero = np.any(hkl != 0, axis=1)
    assert np.array_equal(found.hkl[nonzero], hkl[nonzero])
    assert np.all(found.lattice[nonzero] == 0)


def test_tolerance_is_a_euclidean_distance_and_the_origin_is_no_reflection() -> None:
    rlp = np.array([[3.2, 0.2, 0.0], [3.25, 0.2, 0.0], [0.01, 0.0, 0.0]]) @ A.T
    found = assign(rlp, [A], tolerance=0.3)
    assert found.lattice.tolist() == [0, -1, -1]  # 0.283, 0.320, 0 0 0
    np.testing.assert_allclose(found.distance, [np.hypot(0.2, 0.2), np.hypot(0.25, 0.2), 0.01])


def test_the_nearer_of_two_lattices_wins() -> None:
    other = A @ np.diag([1.02, 1.0, 1.0])
    rlp = np.array([[10.0, 2.0, 3.0]]) @ other.T
    found = assign(rlp, [A, other], tolerance=0.3)
    assert found.lattice.tolist() == [1]
    assert found.hkl.tolist() == [[10, 2, 3]]


def test_of_several_spots_of_one_reflection_the_nearest_stays() -> None:
    indices = np.array([[3.0, 1.0, 2.0], [3.1, 1.0, 2.0], [3.05, 1.0, 2.0], [3.2, 1.0, 2.0], [3.15, 1.0, 2.0]])
    phi = np.deg2rad([0.0, 1.0, 90.0, 2.0, 1.5])
    side = np.array([True, True, True, False, True])
    found = assign(
        indices @ A.T, [A], tolerance=0.3, sweep=np.array([0, 0, 0, 0, 1]), phi=phi, entering=side
    )  # fmt: skip
    # Row 1 loses to row 0; 90° away, on the other side of the sphere, or in another sweep it is another reflection.
    assert found.lattice.tolist() == [0, -1, 0, 0, 0]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_order_of_spots_does_not_matter(seed: int) -> None:
    rlp, _ = points(seed, 60, 0.12)
    rng = np.random.default_rng(seed)
    phi, side, sweep = rng.uniform(0, 2, 60), rng.random(60) < 0.5, rng.integers(0, 2, 60)
    order = rng.permutation(60)
    a = assign(rlp, [A], tolerance=0.3, sweep=sweep, phi=phi, entering=side)
    b = assign(rlp[order], [A], tolerance=0.3, sweep=sweep[order], phi=phi[order], entering=side[order])
    assert np.array_equal(a.hkl[order], b.hkl)
    assert np.array_equal(a.lattice[order], b.lattice)
