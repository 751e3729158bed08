"""The target's kernels against dense numpy, and parameters that are found again."""

from __future__ import annotations

import numpy as np
import pytest
from scaled_sweeps import GROUP, job

from mxdask.scale.params import Params
from mxdask.scale.pool import Pool, pool_crystals
from mxdask.scale.prepare import prepare
from mxdask.scale.refine import (
    _Problem,
    conjugate_gradients,
    covariances,
    esds,
    factor_rows,
    factor_variances,
    factors,
    refine,
    starting_scales,
)


def pool(settings: list[dict[str, float]], params: Params | None = None, **common: float) -> Pool:
    params = params or Params()
    experiments, reflections = job(settings, **common)
    parts = reflections.split_by("id")
    return pool_crystals([prepare(e, parts[i], params, ()) for i, e in enumerate(experiments)], GROUP, False)


SURFACE = Params(physical={"absorption_correction": True, "lmax": 1, "surface_weight": 1.0})
GRIDS = Params(model="array", array={"decay_interval": 2.0, "n_resolution_bins": 3, "n_absorption_bins": 2})


@pytest.fixture(scope="module", params=[SURFACE, GRIDS], ids=["physical", "array"])
def small(request: pytest.FixtureRequest) -> tuple[Pool, np.ndarray]:
    params = request.param
    made = pool([{}, {"scale": 0.5, "b": -3.0}], params, n=200)
    rng = np.random.default_rng(1)
    x = rng.normal(size=made.layout.n_parameters) * 0.1
    return made, np.where(made.layout.is_scale(), np.exp(x), x)


def dense_rows(made: Pool, parameters: np.ndarray) -> np.ndarray:
    """d g/d(ln S, B, C) by central differences."""
    columns = []
    scale = made.layout.is_scale()
    for k in range(len(parameters)):
        step = 1e-6
        high, low = parameters.copy(), parameters.copy()
        high[k], low[k] = (parameters[k] * np.exp(step), parameters[k] * np.exp(-step)) if scale[k] else (
            parameters[k] + step, parameters[k] - step)  # fmt: skip
        columns.append((factors(made.design, high) - factors(made.design, low)) / (2 * step))
    return np.stack(columns, axis=1)


def spread(made: Pool, rows: np.ndarray) -> np.ndarray:
    """The kernel's derivative rows as a dense matrix."""
    out = np.zeros((len(made), made.layout.n_parameters))
    d, w = made.design, made.design.scale_weight.shape[1]
    for i in range(len(made)):
        for first, columns in (
            (d.scale_first[i], rows[i, :w]),
            (d.decay_first[i], rows[i, w : w + 3]),
            (d.absorption_first[i], rows[i, w + 3 :]),
        ):
            for j, value in enumerate(columns):
                if value != 0:
                    out[i, first + j] += value
    return out


def test_derivatives_match_differences(small):
    made, parameters = small
    rows = factor_rows(made.design, parameters, factors(made.design, parameters))
    np.testing.assert_allclose(spread(made, rows), dense_rows(made, parameters), atol=1e-8)


def test_gradient_blocks_and_product_match_dense_algebra(small):
    made, parameters = small
    layout = made.layout
    value, variance = made.intensities(np.zeros(2))
    weight = 1.0 / variance
    problem = _Problem(made.design, layout, value, weight, layout.restraints(0.1, 4.0))
    state = problem.evaluate(np.where(layout.is_scale(), np.log(np.abs(parameters)), parameters))
    gradient, flat, rows = problem.linearise(state)
    J = spread(made, rows)
    starts = made.design.group_starts
    group = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    mean = (np.bincount(group, weight * state.g * value) / np.bincount(group, weight * state.g**2))[group]
    residual = value - state.g * mean
    restraint = layout.restraints(0.1, 4.0).toarray()
    assert state.target == pytest.approx(float(weight @ residual**2 + state.x @ restraint @ state.x))
    expected = -J.T @ (weight * residual * mean) + restraint @ state.x
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    A = np.sqrt(weight)[:, None] * mean[:, None] * J
    u = np.sqrt(weight) * state.g
    N = A.T @ A + restraint
    for h in range(len(starts) - 1):
        part = slice(starts[h], starts[h + 1])
        q = u[part] @ A[part]
        N -= np.outer(q, q) / (u[part] @ u[part])
    for index, block in enumerate(problem.split(flat)):
        at = slice(layout.start[index], layout.start[index + 1])
        np.testing.assert_allclose(block, N[at, at], rtol=1e-8, atol=1e-9 * np.abs(N).max())
    step = problem.solve(state, rows, flat, gradient, 1e-3)
    ridge = 1e-3 * np.maximum(np.diag(N), 0) + 1e-10 * np.diag(N).max()
    damped = N + np.diag(ridge)
    error = step + np.linalg.solve(damped, gradient)  # in the norm of the problem: a null direction does not count
    assert error @ damped @ error < 1e-5 * (step @ damped @ step)


def test_conjugate_gradients_solve():
    rng = np.random.default_rng(0)
    m = rng.normal(size=(20, 20))
    m = m @ m.T + np.eye(20)
    b = rng.normal(size=20)
    x = conjugate_gradients(lambda v: m @ v, lambda r: r / np.diag(m), b)
    np.testing.assert_allclose(x, np.linalg.solve(m, b), rtol=1e-2, atol=1e-3)


def test_known_scales_are_found_though_they_differ_a_hundredfold():
    settings = [{"scale": 1.0, "b": 0.0}, {"scale": 3.0, "b": -4.0}, {"scale": 0.03, "b": 2.0}]
    made = pool(settings, noise_b=0.0)
    value, variance = made.intensities(np.zeros(3))
    start = starting_scales(made.design, made.layout, value, 1.0 / variance)
    fit = refine(made.design, made.layout, value, 1.0 / variance, start, made.layout.restraints(0.1, 4.0))
    g = factors(made.design, fit.parameters)
    d = 1 / np.sqrt(made.inverse_d2)
    true = np.array([s["scale"] for s in settings])[made.experiment]
    true = true * np.exp(np.array([s["b"] for s in settings])[made.experiment] / (2 * d**2))
    ratio = np.log(g / true)
    # A common factor and a common B are not determined.
    common = np.polynomial.Polynomial.fit(made.inverse_d2, ratio, 1)
    rest = ratio - common(made.inverse_d2)
    for crystal, limit in enumerate((0.03, 0.03, 0.15)):
        assert np.sqrt(np.mean(rest[made.experiment == crystal] ** 2)) < limit


def test_variance_of_g_is_propagated():
    made = pool([{}, {"scale": 0.4}], n=500)
    value, variance = made.intensities(np.zeros(2))
    restraints = made.layout.restraints(0.1, 4.0)
    fit = refine(made.design, made.layout, value, 1 / variance, made.layout.initial(), restraints)
    g = factors(made.design, fit.parameters)
    covariance = covariances(made.layout, fit, restraints)
    found = factor_variances(made.design, made.layout, fit, covariance, g)
    J = spread(made, factor_rows(made.design, fit.parameters, g))
    at = [slice(a, b) for a, b in zip(made.layout.start[:-1], made.layout.start[1:], strict=True)]
    expected = [J[i, at[e]] @ covariance[e] @ J[i, at[e]] for i, e in enumerate(made.experiment)]
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_how_loose_a_restraint_is_does_not_matter_where_data_are_missing():
    """Noise of the data is all that parameters of an ill-connected crystal pass on; restraints change that little."""
    made = pool([{}, {"scale": 0.4}], n=500)
    value, variance = made.intensities(np.zeros(2))
    found = []
    for scale_of_errors in (1e12, 1.0):  # hardly any information, and plenty
        restraints = made.layout.restraints(1.0, 4.0)
        weight = 1 / (variance * scale_of_errors)
        fit = refine(made.design, made.layout, value, weight, made.layout.initial(), restraints)
        esd = esds(made.layout, fit, covariances(made.layout, fit, restraints))
        found.append(esd[made.layout.is_decay()])
    unrestrained = refine(
        made.design, made.layout, value, 1 / variance, made.layout.initial(), 1e-9 * made.layout.restraints(1.0, 4.0)
    )
    free = esds(made.layout, unrestrained, covariances(made.layout, unrestrained, 1e-9 * restraints))
    assert found[0].max() < 0.05 * np.sqrt(2) * 4.0**2  # the restraint's own width would be about 2·d_min²
    np.testing.assert_allclose(found[1], free[made.layout.is_decay()], rtol=0.3)
