"""Centres of reflections too weak to have one of their own."""

from __future__ import annotations

import numpy as np
import pytest

from mxdask.integrate.foreground import ForegroundPixels, starts
from mxdask.integrate.weak_spots import centres, moments_of

WIDTH, PIXEL, DEPTH = 7e-4, 5e-4, 3


def spots(n: int, counts: np.ndarray, background: float, shift: tuple[float, float], seed: int) -> ForegroundPixels:
    """Discs of three σ_b about the predictions; Gaussians ``shift`` away from them."""
    rng = np.random.default_rng(seed)
    line = (np.arange(17) - 8) * PIXEL
    disc = np.array([(x, y) for y in line for x in line if x * x + y * y < 18 * WIDTH**2])
    uv = disc + rng.uniform(-0.5, 0.5, (n, 1, 2)) * PIXEL
    p = np.exp(-0.5 * np.sum((uv - shift) ** 2, axis=2) / WIDTH**2) * PIXEL**2 / (2 * np.pi * WIDTH**2)
    mean = background + counts[:, None, None] * p[:, None, :] / DEPTH
    size = np.full(n, len(disc))
    return ForegroundPixels(
        starts(size), uv.reshape(-1, 2).astype(np.float32), starts(size * DEPTH),
        rng.poisson(np.repeat(mean, DEPTH, axis=1)).astype(np.int32).ravel(),
    )  # fmt: skip


def test_moments_equal_numpy() -> None:
    pixels = spots(4, np.full(4, 50.0), 0.3, (0.0, 0.0), 1)
    background = np.array([0.1, 0.2, 0.3, 0.4])
    found = moments_of(np.array([2, 0]), pixels, background)
    for row, i in enumerate((2, 0)):
        uv = pixels.uv[pixels.pixel_start[i] : pixels.pixel_start[i + 1]].astype(np.float64)
        c = pixels.counts[pixels.count_start[i] : pixels.count_start[i + 1]].reshape(DEPTH, -1).sum(axis=0)
        b, h2 = DEPTH * background[i], np.mean(np.sum(uv**2, axis=1)) / 9
        w = np.exp(-0.5 * np.sum(uv**2, axis=1) / h2)
        first, noise = ((c - b) * w) @ uv, b * (w**2) @ uv**2
        assert found[row] == pytest.approx([((c - b) * w).sum(), *first, *noise, h2], rel=1e-6)


def test_many_weak_reflections_have_a_centre_and_know_how_well() -> None:
    n, shift = 6000, np.array([0.5, -1.0]) * WIDTH
    counts = np.random.default_rng(2).exponential(3.0, n)
    moments = moments_of(np.arange(n), spots(n, counts, 0.2, tuple(shift), 3), np.full(n, 0.2))
    uv, information = centres(moments, np.linspace(0.1, 0.2, n), np.full((n, 2), WIDTH**2))
    mean = np.average(uv, axis=0, weights=information)
    error = WIDTH / np.sqrt(information.sum())
    assert error < 0.05 * WIDTH
    assert np.all(np.abs(mean - shift) < 5 * error)
    pull = (uv - shift) * np.sqrt(information)[:, None] / WIDTH
    assert np.std(pull) == pytest.approx(1.0, abs=0.25)


def test_without_counts_nothing_is_known() -> None:
    moments = moments_of(np.arange(300), spots(300, np.zeros(300), 0.2, (0.0, 0.0), 4), np.full(300, 0.5))
    assert not centres(moments, np.arange(300.0), np.full((300, 2), WIDTH**2))[1].any()
    assert not centres(moments[:50], np.arange(50.0), np.full((50, 2), WIDTH**2))[1].any()
