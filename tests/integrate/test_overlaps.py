"""Shared pixels against a plain loop."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from mxdask.integrate import overlaps
from mxdask.integrate.foreground import ForegroundPixels, starts
from mxdask.integrate.overlap_kernels import leave_out_neighbours
from mxdask.integrate.overlaps import Around, Extent, Neighbours, find_around, find_neighbours, touched_by_neighbours

S0 = np.array([0.0, 0.0, -1.0])


def rays(n: int, seed: int) -> np.ndarray:
    xy = np.random.default_rng(seed).uniform(0.1, 0.14, (n, 2))
    v = np.column_stack([xy, -np.ones(n)])
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def test_neighbours_are_all_pairs_that_touch(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    own, other = (
        Extent(
            rays(n, seed), np.zeros(n, int), np.zeros((n, 2)), np.sort(rng.integers(0, 20, (n, 2)), axis=1) + [0, 1],
            rng.random(n), rng.random(n), np.full(n, reach), np.full(n, s)
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
    monkeypatch.setattr(overlaps, "AT_A_TIME", 7)
    again = find_neighbours(own, S0, [other])
    assert all(np.array_equal(getattr(found, f.name), getattr(again, f.name)) for f in fields(found))
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


def extent_at(xy: np.ndarray, images: np.ndarray, panel: np.ndarray, delta_b: float) -> Extent:
    n = len(xy)
    return Extent(rays(n, 0), panel, xy, images, np.zeros(n), np.ones(n), np.full(n, delta_b), np.ones(n))


def test_spots_around_are_all_that_reach_into_a_box_on_its_images(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(9)
    panels = [rng.integers(0, 2, n) for n in (150, 90)]
    images = [np.sort(rng.integers(0, 12, (n, 2)), axis=1) for n in (150, 90)]
    own, other = (
        extent_at(rng.uniform(0, 100, (n, 2)), i, p, s)
        for n, i, p, s in zip((150, 90), images, panels, (1e-3, 2e-3), strict=True)
    )
    half = 6  # 3 pixels per 1e-3 in the foreground, boxes twice as large
    box = np.zeros((150, 6), np.int32)
    box[:, [0, 2]], box[:, [1, 3]] = np.floor(own.xy) - half, np.floor(own.xy) + half
    box[:, 4:] = own.images
    found = find_around(own, box, [other])
    for i in range(150):
        expected = []
        for extent, first, radius in ((own, 0, 3.0), (other, 150, 6.0)):
            for j in range(len(extent.xy)):
                near = np.all(extent.xy[j] + radius > box[i, [0, 2]]) and np.all(extent.xy[j] - radius < box[i, [1, 3]])
                together = min(own.images[i, 1], extent.images[j, 1]) > max(own.images[i, 0], extent.images[j, 0])
                if near and together and extent.panel[j] == own.panel[i] and not (first == 0 and i == j):
                    expected.append(first + j)
        assert found.index[found.start[i] : found.start[i + 1]].tolist() == expected
    assert len(found.index) > 100
    monkeypatch.setattr(overlaps, "AT_A_TIME", 7)
    again = find_around(own, box, [other])
    assert all(np.array_equal(getattr(found, f.name), getattr(again, f.name)) for f in fields(found))
    assert not len(find_around(own, box, [other], wanted=False).index)


def test_a_block_is_given_only_the_spots_around_its_reflections() -> None:
    found = Around(
        np.array([0, 2, 2, 5]), np.array([4, 6, 1, 4, 9], np.int32), np.array([1.0, 2.0, 3.0]),
        np.arange(20.0).reshape(10, 2), np.arange(20).reshape(10, 2), np.arange(10.0),
    )  # fmt: skip
    part = found.select(np.array([2, 1]))
    assert part.start.tolist() == [0, 3, 3] and part.delta_b.tolist() == [3.0, 2.0]
    assert part.spot_delta_b[part.index].tolist() == [1.0, 4.0, 9.0] and len(part.spot_delta_b) == 3
    assert np.array_equal(part.spot_xy, found.spot_xy[[1, 4, 9]])
    assert np.array_equal(part.spot_images, found.spot_images[[1, 4, 9]])


def test_background_pixels_of_neighbours_are_left_out_on_their_images_only() -> None:
    gy, gx = np.indices((21, 21))
    inside = (np.hypot(gx - 10, gy - 10) <= 5).astype(np.uint8)
    values = np.arange(3 * 441, dtype=np.int32)
    values[5] = -(2**31)  # not a measurement
    box = np.array([[100, 121, 200, 221, 7, 10]], dtype=np.int32)
    around = Around(
        np.array([0, 1]), np.array([0], np.int32), np.array([1e-3]), np.array([[118.0, 212.5]]), np.array([[8, 30]]),
        np.array([0.8e-3]),
    )  # fmt: skip
    marked = values.copy()
    leave_out_neighbours(
        box, np.array([0, 441]), inside.ravel(), np.array([0, 3 * 441]), marked, around.start, around.index,
        around.delta_b, around.spot_xy, around.spot_images, around.spot_delta_b,
    )  # fmt: skip
    out = (marked != values).reshape(3, 21, 21)
    distance = np.hypot(gx - 17.5, gy - 12.0)
    assert not out[0].any() and np.array_equal(out[1], out[2])
    assert np.all(out[1][(distance < 3.8) & (inside == 0)]) and not np.any(out[1][(distance > 4.4) | (inside == 1)])
    assert np.array_equal(-1 - marked[marked != values], values[marked != values])
