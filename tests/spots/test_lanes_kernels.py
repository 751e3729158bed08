"""The vector steps of the threshold against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from mxdask.spots.lanes_kernels import LANES, NARROW_LANES, background_lanes, enter_lanes, lowest_bit, window_lanes


@njit
def enter(raw, valid, at, low, high, memory, slot, column_x, column_y, column):
    return enter_lanes(raw, valid, at, low, high, memory, slot, column_x, column_y, column)


@njit
def window(column_x, column_y, box_x, box_y, at, inverse, excess, offset, margin):
    return window_lanes(7, column_x, column_y, box_x, box_y, at, inverse, excess, offset, margin)


@njit
def background(raw, used, at, n_rows, step, number, total, column):
    background_lanes(raw, used, at, n_rows, step, number, total, column)


@njit
def lowest(word):
    return lowest_bit(word)


def flags(word, first, n):
    return [bool(int(word) >> (first + i) & 1) for i in range(n)]


@pytest.mark.parametrize("pixel", [np.uint16, np.uint32, np.int32])
@pytest.mark.parametrize("narrow", [np.uint16, np.uint32])
def test_enter(pixel, narrow):
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 60, 80).astype(pixel)
    raw[10:12] = np.array([-1, 65535]).astype(pixel)
    valid = (rng.random(80) > 0.2).astype(np.uint8)
    valid[10] = 1
    memory = rng.integers(0, 36, 100).astype(narrow)
    x, y = rng.integers(500, 900, (2, 64)).astype(narrow)
    at, slot, column = 5, 40, 3
    old, x0, y0 = memory[slot : slot + LANES].astype(int), x.astype(int), y.astype(int)
    values, good = raw[at : at + LANES].astype(np.int64) % 2**32, valid[at : at + LANES] != 0
    inside = (values >= 2) & (values <= 36)
    new = np.where(good & inside, values, 0)
    for _ in range(2):  # the second time nothing changes
        outside = enter(raw, valid, at, np.uint32(2), np.uint32(36), memory, slot, x, y, column)
        assert flags(outside, 0, LANES) == (good & ~inside).tolist()
        np.testing.assert_array_equal(memory[slot : slot + LANES], new)
        np.testing.assert_array_equal(x[column : column + LANES], x0[column : column + LANES] + new - old)
        changed = (y0[column : column + LANES] + new**2 - old**2) % (np.iinfo(narrow).max + 1)
        np.testing.assert_array_equal(y[column : column + LANES], changed)
    np.testing.assert_array_equal(np.delete(x, np.arange(3, 35)), np.delete(x0, np.arange(3, 35)))


@pytest.mark.parametrize("kind", [np.uint16, np.uint32])
def test_window(kind):
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 30, 80).astype(kind), rng.integers(0, 90, 80).astype(kind)
    box_x, box_y = np.zeros((2, 64), kind)
    inverse, excess, offset, margin = (np.float32(v) for v in (1 / 49, 1.1, 20.0, 0.1))
    word = window(x, y, box_x, box_y, 7, inverse, excess, offset, margin)
    sum_x, sum_y = (np.convolve(a.astype(float), np.ones(7), "valid")[7 : 7 + LANES] for a in (x, y))
    np.testing.assert_array_equal(box_x[7 : 7 + LANES], sum_x)
    np.testing.assert_array_equal(box_y[7 : 7 + LANES], sum_y)
    limit = sum_x * (sum_x / 49 + 1.1)
    maybe, surely = sum_y > 0.9 * limit - 20, 0.9 * sum_y > limit
    assert 0 < surely.sum() < maybe.sum() < LANES
    assert flags(word, 0, LANES) == maybe.tolist()
    assert flags(word, LANES, LANES) == surely.tolist()


@pytest.mark.parametrize("pixel", [np.uint16, np.uint32, np.int32])
def test_background(pixel):
    rng = np.random.default_rng(2)
    raw, used = rng.integers(0, 1000, (9, 40)).astype(pixel), (rng.random((9, 40)) > 0.5).astype(np.uint8)
    number, total = np.full((2, 40), -1, np.int32)
    background(raw.ravel(), used.ravel(), 2 * 40 + 7, 5, 40, number, total, 7)
    part = np.s_[2:7, 7 : 7 + NARROW_LANES]
    np.testing.assert_array_equal(number[7 : 7 + NARROW_LANES], used[part].sum(0, dtype=int))
    np.testing.assert_array_equal(total[7 : 7 + NARROW_LANES], (used[part] * raw[part].astype(int)).sum(0))
    assert (np.delete(number, np.arange(7, 23)) == -1).all()


def test_lowest_bit():
    assert [lowest(np.uint64(1 << k | 1 << 63)) for k in (0, 5, 63)] == [0, 5, 63]
