"""The block-bordered solution against a dense one."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_sweeps import a_crystal, disturbed, several

from mxdask.modelfit.arrow import Arrow, Normal
from mxdask.modelfit.fit import select
from mxdask.modelfit.layout import build_layout
from mxdask.modelfit.levmar import minimise
from mxdask.modelfit.options import FitOptions, Priors
from mxdask.modelfit.problem import Problem

OPTIONS = FitOptions(outlier="null", priors=Priors())


@pytest.fixture
def problem():
    experiments, table = several(3, 60)
    experiments = experiments.with_experiments(
        e.evolve(crystal=disturbed(e.crystal, i)) for i, e in enumerate(experiments)
    )
    data = select(experiments, table, OPTIONS).data
    return Problem(experiments, data, build_layout(experiments, OPTIONS))


@pytest.mark.parametrize("damping", [0.0, 1e-3, 1.0])
def test_step_and_covariance_equal_the_dense_ones(problem, damping):
    normal = problem.evaluate(problem.start)
    N = normal.dense()
    N[np.diag_indices_from(N)] *= 1.0 + damping
    arrow = Arrow(normal, damping)
    step, dense = arrow.solve(-normal.gradient), np.linalg.solve(N, -normal.gradient)
    scale = np.sqrt(np.diag(np.linalg.inv(N)))
    assert np.allclose(step / scale, dense / scale, rtol=1e-9, atol=1e-9 * np.abs(dense / scale).max())
    inverse, at = np.linalg.inv(N), 0
    for k in range(-1, 3):
        block = arrow.covariance(k)
        rows = slice(at, at + len(block))
        assert np.allclose(block, inverse[rows, rows], rtol=1e-8, atol=1e-10 * np.abs(inverse[rows, rows]).max())
        at += len(block)


def test_a_whole_minimisation_equals_the_dense_one(problem):
    """Gauss and Newton with a dense solver end where the arrow ends."""
    found = minimise(problem.evaluate, problem.start, max_iterations=50, convergence=1e-12)
    values = problem.start
    for _ in range(12):
        normal = problem.evaluate(values)
        values = values - np.linalg.solve(normal.dense(), normal.gradient)
    esd = np.sqrt(np.diag(np.linalg.inv(problem.evaluate(values).dense())))
    assert np.allclose(found.values / esd, values / esd, atol=1e-5)
    assert found.normal.objective == pytest.approx(problem.evaluate(values).objective, rel=1e-9)


def test_without_border_or_without_a_block():
    block = np.array([[2.0, 0.5], [0.5, 1.0]])
    alone = Normal(np.zeros((0, 0)), np.zeros(0), [block], [np.ones(2)], [np.zeros((0, 2))], 0.0, np.zeros((1, 6)))
    assert np.allclose(Arrow(alone, 0.0).solve(np.ones(2)), np.linalg.solve(block, np.ones(2)))
    only = Normal(block, np.ones(2), [np.zeros((0, 0))], [np.zeros(0)], [np.zeros((2, 0))], 0.0, np.zeros((1, 6)))
    assert np.allclose(Arrow(only, 0.0).solve(np.ones(2)), np.linalg.solve(block, np.ones(2)))
    assert Arrow(only, 0.0).covariance(0).shape == (0, 0)


def test_an_indefinite_matrix_is_refused():
    bad = Normal(np.array([[1.0, 2.0], [2.0, 1.0]]), np.ones(2), [], [], [], 0.0, np.zeros((1, 6)))
    with pytest.raises(np.linalg.LinAlgError):
        Arrow(bad, 0.0)


def test_a_cell_that_collapses_is_no_model(problem):
    values = problem.start.copy()
    first = list(np.array(problem.layout.names())[problem.rows]).index("Crystal1g_param_0")
    values[first] = -1e5
    assert problem.evaluate(values) is None
    assert a_crystal(0).volume > 0
