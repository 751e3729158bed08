"""Shared pixels against a plain loop."""

from __future__ import annotations

import numpy as np

from mxdask.integrate.foreground import ForegroundPixels, starts
from mxdask.integrate.overlaps import Extent, Neighbours, find_neighbours, touched_by_neighbours

S0 = np.array([0.0, 0.0, -1.0])


def rays(n: int, seed: int) -> np.ndarray:
    xy = np.random.default_rng(seed).uniform(0.1, 0.14, (n, 2))
    v = np.column_stack([xy, -np.ones(n)])
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def test_neighbours_are_all_pairs_that_touch() -> None:
    rng = np.random.default_rng(1)
    own, other = (
        Extent(
            rays(n, seed), np.sort(rng.integers(0, 20, (n, 2)), axis=1) + [0, 1], rng.random(n), rng.random(n),
            np.full(n, reach), np.full(n, s)
        )
        for n, seed, reach, s in ((60, 2, 2e-3, 1e-3), (40, 3, 3e-3, 4e-3))
    )  # fmt: skip
    found = find_neighbours(own, S0, [other])
    total = 0
    for i in range(60):
        for extent, same in ((own, True), (other, False)):
            for j in range(len(extent.s1)):
                close = np.linalg.norm(own.s1[i] - extent.s1[j]) <= own.delta_b[i] + extent.delta_b[j]
                together = min(own.images[i, 1], extent.images[j, 1]) > max(own.images[i, 0], extent.images[j, 0])
                total += close and together and not (same and i == j)
    assert found.start[-1] == total > 20
    # a centre's distance in the local frame is the angle between the rays
    assert np.all(np.linalg.norm(found.uv, axis=1) <= 5e-3)
    foreign = found.scale == 1.5
    assert set(found.sigma_m[foreign]) == {4e-3} and set(found.sigma_m[~foreign]) == {1e-3}
    assert set(found.phi[foreign]) <= set(other.phi) and set(found.zeta[~foreign]) <= set(own.zeta)
    part = found.select(np.array([5, 2]))
    assert np.array_equal(part.uv[: part.start[1]], found.uv[found.start[5] : found.start[6]])


def test_pixels_nearer_to_the_neighbour_are_left_out_on_its_images_only() -> None:
    line = np.arange(-3, 4) * 1e-3
    gx, gy = np.meshgrid(line, line)
    uv = np.column_stack([gx.ravel(), gy.ravel()]).astype(np.float32)
    pixels = ForegroundPixels(
        starts(np.array([49, 49])), np.vstack([uv, uv]), starts(np.array([147, 147])), np.ones(294, np.int32)
    )
    one = np.ones(1)
    neighbours = Neighbours(
        np.array([0, 1, 1]), np.array([[4.1e-3, 0.0]]), np.array([[11, 30]]), np.array([2.5e-3]), one, one, one, one
    )
    found = touched_by_neighbours(pixels, np.array([10, 10]), neighbours, leave_out=False)
    assert found.tolist() == [True, False] and np.all(pixels.counts == 1)
    touched = touched_by_neighbours(pixels, np.array([10, 10]), neighbours, leave_out=True)
    assert touched.tolist() == [True, False]
    counts = pixels.counts[:147].reshape(3, 49)
    out = (np.hypot(uv[:, 0] - 4.1e-3, uv[:, 1]) < np.hypot(uv[:, 0], uv[:, 1])) & (
        np.hypot(uv[:, 0] - 4.1e-3, uv[:, 1]) < 2.5e-3
    )
    assert out.sum() > 3
    assert np.all(counts[0] == 1) and np.all((counts[1:] == -1) == out)
    assert np.all(pixels.counts[147:] == 1)
