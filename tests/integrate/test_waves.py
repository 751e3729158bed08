"""Boxes are held only while their images pass."""

from __future__ import annotations

import numpy as np

from mxdask.integrate.waves import WAVE_PIXELS, order_of_waves, plan_waves


def boxes(n: int, n_images: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    z0 = rng.integers(0, n_images - 1, n)
    depth = np.where(rng.random(n) < 0.03, 60, rng.integers(2, 9, n))
    corner = rng.integers(0, 900, (n, 2))
    z1 = np.minimum(z0 + depth, n_images)
    return np.column_stack([corner[:, 0], corner[:, 0] + 16, corner[:, 1], corner[:, 1] + 16, z0, z1]).astype(np.int32)


def planned(n: int, n_images: int):
    box = boxes(n, n_images)
    box = box[order_of_waves(box)]
    return box, plan_waves(0, box, np.zeros(n, np.int64))


def test_every_reflection_is_in_one_wave() -> None:
    box, waves = planned(20_000, 300)
    rows = np.concatenate([np.arange(w.rows.start, w.rows.stop) for w in waves])
    assert np.array_equal(rows, np.arange(len(box)))
    for wave in waves:
        own = box[wave.rows]
        assert wave.begin == own[:, 4].min() and wave.end == own[:, 5].max()
        assert wave.offset[-1] <= WAVE_PIXELS + 16 * 16 * 60
        assert np.array_equal(np.diff(wave.offset), np.prod(np.diff(own.reshape(-1, 3, 2), axis=2)[..., 0], axis=1))


def test_what_is_held_does_not_grow_with_the_sweep() -> None:
    def most_held(n_images: int) -> int:
        _, waves = planned(100 * n_images, n_images)
        return max(sum(int(w.offset[-1]) for w in waves if w.begin <= z < w.end) for z in range(n_images))

    assert most_held(1600) < 1.3 * most_held(400)


def test_no_reflections_no_waves() -> None:
    assert plan_waves(0, np.zeros((0, 6), np.int32), np.zeros(0, np.int64)) == []
