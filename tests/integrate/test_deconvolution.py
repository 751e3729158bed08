"""The joint fit of overlapping reflections against a general minimiser, and against the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from mxdask.integrate.deconvolution_kernels import fit_overlapping
from mxdask.integrate.fit_kernels import COVERAGE, INTENSITY, VARIANCE, fit_profiles
from mxdask.integrate.foreground import starts
from mxdask.integrate.profile_kernels import rocking_fractions, surface_value
from mxdask.integrate.profiles import REACH, STEP, gaussian_profile

LINE = np.linspace(-3.0, 3.0, 9)
UV = np.array([(u, v) for v in LINE for u in LINE], dtype=np.float32)
M, DEPTH, WIDTH, SIGMA_M = len(UV), 4, 0.5, 0.6
SURFACE = gaussian_profile(1.0).coefficients


def shape(centre: tuple[float, float], scale: float = 1.0) -> np.ndarray:
    wu, wv = np.empty(4), np.empty(4)
    at = (UV - np.array(centre)) / scale
    return np.array([surface_value(SURFACE, REACH, STEP, u, v, wu, wv) for u, v in at.astype(float)]) / scale**2


def rocking(phi: float, zeta: float = 1.0) -> np.ndarray:
    out = np.empty(DEPTH)
    rocking_fractions(0.0, WIDTH, 0, DEPTH, phi, zeta, SIGMA_M, out)
    return out


NEIGHBOURS = (((1.2, 0.4), 0.4, 0.9, 1.0), ((-0.8, -1.5), 1.5, 0.7, 1.2))  # place, phi, zeta, width


def components() -> np.ndarray:
    """(3, depth, M) profiles of the reflection (centre 0, phi 1) and of its neighbours."""
    own = shape((0.0, 0.0))
    parts = [np.outer(rocking(1.0), own / own.sum())]
    for place, phi, zeta, scale in NEIGHBOURS:
        parts.append(np.outer(rocking(phi, zeta), shape(place, scale) / own.sum()))
    return np.array(parts)


def fit(counts: np.ndarray, background: float, n_neighbours: int = 2) -> np.ndarray:
    n = len(counts)
    out = np.zeros((n, 4))
    first = (
        starts(np.full(n, M)), np.tile(UV, (n, 1)), starts(np.full(n, M * DEPTH)),
        counts.reshape(-1).astype(np.int32), np.zeros(n, np.int32), np.full(n, DEPTH, np.int32), np.ones(n),
        np.ones(n), 0.0, WIDTH, np.full(n, SIGMA_M), np.full(n, background), np.full(n, 1e9), np.zeros((n, 2)),
        np.ones((n, 2)), SURFACE, REACH, STEP, 0.5, 6.0,
    )  # fmt: skip
    chosen = NEIGHBOURS[:n_neighbours]
    where = np.array([c[0] for c in chosen], dtype=float).reshape(-1, 2)
    columns = [np.tile(np.array([c[k] for c in chosen], dtype=float), n) for k in (1, 2, 3)]
    fit_overlapping(
        *first, starts(np.full(n, len(chosen))), np.tile(where, (n, 1)), columns[0], columns[1],
        np.full(n * len(chosen), SIGMA_M), columns[2], np.ones(n, bool), out,
    )  # fmt: skip
    return out


def test_it_is_the_maximum_of_the_likelihood() -> None:
    p = components()
    for seed, true in enumerate(([300.0, 900.0, 50.0], [40.0, 2000.0, 0.0], [5000.0, 80.0, 700.0])):
        expected = 0.7 + np.tensordot(true, p, axes=1)
        counts = np.random.default_rng(seed).poisson(expected)

        def minus_log_likelihood(parts: np.ndarray, counts: np.ndarray = counts) -> float:
            v = 0.7 + np.tensordot(parts, p, axes=1)
            return float(np.sum(v - counts * np.log(v)))

        best = minimize(minus_log_likelihood, np.array(true) + 1, bounds=[(0, None)] * 3, tol=1e-12)
        assert fit(counts[None], 0.7)[0, INTENSITY] == pytest.approx(best.x[0], rel=2e-3, abs=0.2)


def test_errors_are_those_of_many_repeats() -> None:
    p = components()
    true = [60.0, 800.0, 120.0]
    counts = np.random.default_rng(5).poisson(0.5 + np.tensordot(true, p, axes=1), size=(2000, DEPTH, M))
    out = fit(counts, 0.5)
    pull = (out[:, INTENSITY] - true[0]) / np.sqrt(out[:, VARIANCE])
    assert np.mean(out[:, INTENSITY]) == pytest.approx(true[0], abs=3 * np.std(out[:, INTENSITY]) / np.sqrt(2000) + 1.0)
    assert np.std(pull) == pytest.approx(1.0, abs=0.08)


def test_without_neighbours_it_is_the_plain_fit() -> None:
    p = components()
    counts = np.random.default_rng(6).poisson(0.5 + 70.0 * p[0], size=(50, DEPTH, M))
    counts[3, :, 10] += 400  # a hot pixel
    counts[4, 2] = -1  # an image that was not recorded
    plain = np.zeros((50, 4))
    fit_profiles(
        starts(np.full(50, M)), np.tile(UV, (50, 1)), starts(np.full(50, M * DEPTH)),
        counts.reshape(-1).astype(np.int32), np.zeros(50, np.int32), np.full(50, DEPTH, np.int32), np.ones(50),
        np.ones(50), 0.0, WIDTH, np.full(50, SIGMA_M), np.full(50, 0.5), np.full(50, 1e9), np.zeros((50, 2)),
        np.ones((50, 2)), SURFACE, REACH, STEP, 0.5, 6.0, np.ones(50, bool), plain,
    )  # fmt: skip
    joint = fit(counts, 0.5, n_neighbours=0)
    assert np.allclose(joint[:, INTENSITY], plain[:, INTENSITY], rtol=1e-3, atol=1e-2)
    assert np.allclose(joint[:, [VARIANCE, COVERAGE]], plain[:, [VARIANCE, COVERAGE]], rtol=1e-3)


def test_a_neighbour_at_the_same_place_on_the_same_images_cannot_be_told_apart() -> None:
    counts = np.random.default_rng(7).poisson(0.5 + 300.0 * components()[0])[None]
    out = np.zeros((1, 4))
    fit_overlapping(
        starts(np.array([M])), UV, starts(np.array([M * DEPTH])), counts.reshape(-1).astype(np.int32),
        np.zeros(1, np.int32), np.full(1, DEPTH, np.int32), np.ones(1), np.ones(1), 0.0, WIDTH, np.full(1, SIGMA_M),
        np.full(1, 0.5), np.full(1, 1e9), np.zeros((1, 2)), np.ones((1, 2)), SURFACE, REACH, STEP, 0.5, 6.0,
        np.array([0, 1]), np.zeros((1, 2)), np.ones(1), np.ones(1), np.full(1, SIGMA_M), np.ones(1),
        np.ones(1, bool), out,
    )  # fmt: skip
    assert out[0, VARIANCE] == -1
