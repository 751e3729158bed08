"""Kernels of the reference profile against scipy's splines and plain numpy."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from mxdask.integrate.gather_kernels import count_foreground
from mxdask.integrate.profile_kernels import accumulate_surface, weighted_moments

REACH, STEP, MISMATCH = 1.5, 0.5, 0.1
K = round(2 * REACH / STEP) + 3
KNOTS = -REACH + STEP * np.arange(-3, K + 1)


def basis(x: np.ndarray) -> np.ndarray:
    """(n, K) cubic B-splines."""
    return BSpline.design_matrix(x, KNOTS, 3).toarray()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 3))
def test_surface_sums_are_those_of_numpy(seed: int, n: int, depth: int) -> None:
    rng = np.random.default_rng(seed)
    m = rng.integers(1, 12, n)
    pixel_start, count_start = (np.concatenate([[0], np.cumsum(s)]) for s in (m, m * depth))
    uv = rng.normal(0, 1.5, (m.sum(), 2))  # some lie beyond the surface's reach
    counts = rng.poisson(20.0, count_start[-1])
    background, intensity, area = rng.uniform(0, 5, n), rng.uniform(10, 100, n), rng.uniform(0.5, 2, n)
    centre, width, prior = rng.normal(0, 0.1, (n, 2)), rng.uniform(0.8, 1.2, (n, 2)), rng.uniform(0, 1, (K, K))

    matrix, vector = np.zeros((K * K, K * K)), np.zeros(K * K)
    accumulate_surface(
        pixel_start, uv, count_start, counts, background, intensity, centre, width, area, prior, MISMATCH, REACH, STEP,
        matrix, vector,
    )  # fmt: skip

    expected_matrix, expected_vector = np.zeros_like(matrix), np.zeros_like(vector)
    for i in range(n):
        x = (uv[pixel_start[i] : pixel_start[i + 1]] - centre[i]) / width[i]
        total = counts[count_start[i] : count_start[i + 1]].reshape(depth, m[i]).sum(axis=0)
        inside = np.all(np.abs(x) < REACH, axis=1)
        if not inside.any():
            continue
        x, total = x[inside], total[inside]
        rows = np.einsum("pi,pj->pij", basis(x[:, 0]), basis(x[:, 1])).reshape(-1, K * K) * intensity[i] * area[i]
        counted = rows @ prior.ravel()
        weight = 1 / (background[i] * depth + counted + (MISMATCH * counted) ** 2 + 0.1)
        expected_matrix += rows.T @ (weight[:, None] * rows)
        expected_vector += rows.T @ (weight * (total - background[i] * depth))
    np.testing.assert_allclose(matrix, expected_matrix, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(vector, expected_vector, rtol=1e-9, atol=1e-9)


def test_weighted_moments_are_those_of_numpy() -> None:
    rng = np.random.default_rng(4)
    m, depth = np.array([7, 0, 12]), 3
    pixel_start, count_start = (np.concatenate([[0], np.cumsum(s)]) for s in (m, m * depth))
    uv, counts = rng.normal(0, 1e-3, (m.sum(), 2)), rng.poisson(5.0, count_start[-1])
    background, rows, out = np.array([1.5, 2.0, 0.5]), np.array([2, 1, 0]), np.full((3, 6), np.nan)
    weighted_moments(rows, pixel_start, uv, count_start, counts, background, out)
    for found, i in zip(out, rows, strict=True):
        u, v = uv[pixel_start[i] : pixel_start[i + 1]].T
        if not len(u):
            np.testing.assert_array_equal(found, 0)
            continue
        total = counts[count_start[i] : count_start[i + 1]].reshape(depth, -1).sum(axis=0)
        b, h2 = background[i] * depth, np.mean(u * u + v * v) / 9
        w = np.exp(-(u * u + v * v) / (2 * h2))
        sums = [np.sum((total - b) * w * x) for x in (1, u, v)] + [np.sum(b * (w * x) ** 2) for x in (u, v)]
        np.testing.assert_allclose(found, [*sums, h2], rtol=1e-10)


def test_foreground_pixels_are_counted_box_by_box() -> None:
    foreground = np.array([1, 0, 1, 1, 0, 0, 1], np.uint8)
    out = np.full(3, -1)
    count_foreground(np.array([0, 4, 4, 7]), foreground, out)
    assert out.tolist() == [3, 0, 1]
