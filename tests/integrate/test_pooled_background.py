"""Background levels drawn towards those around them."""

from __future__ import annotations

import numpy as np

from mxdask.integrate.pooled_background import FEWEST, BackgroundLevels, pooled


def levels(true: np.ndarray, xy: np.ndarray, pixels: float = 300.0, seed: int = 0) -> BackgroundLevels:
    rng = np.random.default_rng(seed)
    n = len(true)
    mean = rng.poisson(true * pixels) / pixels
    xyz = np.column_stack([xy, np.zeros(n)])
    return BackgroundLevels(
        rng.permutation(n).astype(np.uint64), np.zeros(n, np.int64), xyz, mean, np.full(n, pixels), np.zeros(n, bool)
    )


def places(n: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 1000, (n, 2))


def rms(a: np.ndarray) -> float:
    return float(np.sqrt(np.mean(a**2)))


def test_a_smooth_background_becomes_more_certain_and_says_by_how_much() -> None:
    xy = places(3000)
    true = 0.2 + 0.1 * np.sin(xy[:, 0] / 200)
    own = levels(true, xy)
    out = pooled(own)
    truth = true[np.argsort(own.number)]
    error = out.mean - truth
    assert rms(error) < 0.45 * rms(own.mean - true)
    # how rough the background is is not known exactly: errors may be given larger than they are, not smaller
    assert 0.5 < np.std(error / np.sqrt(out.mean / out.pixels)) < 1.1
    mean, pixels = out.of(own.number[:5])
    assert np.array_equal(mean, out.mean[own.number[:5].astype(int)]) and np.all(pixels > 1000)


def test_a_rough_background_stays_what_it_is() -> None:
    xy = places(2000)
    true = np.random.default_rng(2).gamma(4.0, 0.05, 2000)
    own = levels(true, xy, pixels=2000.0)
    out = pooled(own)
    truth = true[np.argsort(own.number)]
    assert rms(out.mean - truth) < 1.1 * rms(own.mean - true)


def test_a_box_unlike_its_neighbours_keeps_its_own_level() -> None:
    true = np.full(1000, 0.2)
    true[17] = 1.0
    own = levels(true, places(1000))
    assert pooled(own).of(own.number[[17]])[0] == own.mean[17]


def test_few_boxes_and_empty_ones_are_left_alone() -> None:
    few = levels(np.full(FEWEST - 1, 0.3), places(FEWEST - 1))
    assert np.array_equal(pooled(few).of(few.number)[0], few.mean)
    empty = levels(np.zeros(500), places(500))
    assert np.all(pooled(empty).mean == 0)


def test_the_order_of_the_blocks_does_not_matter() -> None:
    own = levels(np.full(800, 0.1), places(800))
    turned = BackgroundLevels.concat([own.select(np.arange(400, 800)), own.select(np.arange(400))])
    assert np.array_equal(pooled(own).mean, pooled(turned).mean)
