"""The fused kernel against residuals and derivatives made the plain way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic_sweeps import TRICLINIC, a_beam, a_crystal, a_detector, a_sweep, spots

from mxdask.geometry.predict import predict_given
from mxdask.modelfit.layout import build_layout
from mxdask.modelfit.options import FitOptions, Priors
from mxdask.modelfit.problem import Problem
from mxdask.modelfit.selection import observations
from mxdask.modelfit.smoother import Smoothing
from mxdask.models import ExperimentList, Goniometer, rotation_matrix
from mxdask.table import ReflectionTable

EVERYTHING = FitOptions(beam_fix=(), goniometer_fix=False)
STEPS = {"nu": 1e-6}  # of a parameter's derivative; others 1e-3 (mrad, mm, 10⁻⁵ Å⁻²)


@pytest.fixture
def two_sweeps():
    """Two crystals on one beam and detector, with a tilted goniometer."""
    beam, detector = a_beam(), a_detector()
    goniometer = Goniometer.single_axis([0.95, 0.1, -0.2], None, rotation_matrix([0.1, 0.2, 0.3], 0.1))
    sweeps = [
        a_sweep("a", a_crystal(1, TRICLINIC), beam=beam, detector=detector).evolve(goniometer=goniometer),
        a_sweep("b", a_crystal(2), beam=beam, detector=detector).evolve(goniometer=goniometer),
    ]
    table = ReflectionTable.concat([spots(s, 40, row=i, seed=i) for i, s in enumerate(sweeps)])
    return ExperimentList(sweeps), table


def by_differences(problem: Problem, values: np.ndarray) -> np.ndarray:
    """J by central differences of fourth order, rows residuals."""
    names = np.array(problem.layout.names())[problem.rows]

    def residuals(v):
        return np.concatenate([r.ravel() for r in problem.residuals(v)])

    columns = []
    for k, name in enumerate(names):
        h = np.zeros(len(values))
        h[k] = STEPS.get(name[-2:], 1e-3)
        near, far = residuals(values + h) - residuals(values - h), residuals(values + 2 * h) - residuals(values - 2 * h)
        columns.append((8 * near - far) / (12 * h[k]))
    return np.column_stack(columns)


def check(problem: Problem, seed: int = 0) -> None:
    values = 0.3 * np.random.default_rng(seed).normal(size=len(problem.start))
    values[[n.endswith("nu") for n in np.array(problem.layout.names())[problem.rows]]] *= 1e-3
    normal = problem.evaluate(values)
    J = by_differences(problem, values)
    W = np.concatenate([d.weight.ravel() for d in problem.data])
    r = np.concatenate([x.ravel() for x in problem.residuals(values)])
    expected = J.T @ (W[:, None] * J)
    scale = 1 / np.sqrt(np.diag(expected))
    assert np.allclose((normal.dense() - expected) * scale * scale[:, None], 0.0, atol=1e-6)
    assert np.allclose(normal.gradient * scale, (J.T @ (W * r)) * scale, rtol=1e-6, atol=1e-6 * np.sqrt(W @ r**2))
    assert normal.objective == pytest.approx(0.5 * W @ r**2)


def test_every_parameter_has_the_right_derivative(two_sweeps):
    experiments, table = two_sweeps
    data, _ = observations(experiments, table, EVERYTHING)
    check(Problem(experiments, data, build_layout(experiments, EVERYTHING)))


@pytest.mark.parametrize("cell_varies", [True, False])
def test_derivatives_of_a_crystal_that_varies(two_sweeps, cell_varies):
    experiments, table = two_sweeps
    data, _ = observations(experiments, table, EVERYTHING)
    smoothing = tuple(Smoothing.of(e.scan, 2.0, 0.5, cell_varies=cell_varies) for e in experiments)
    layout = build_layout(experiments, EVERYTHING, smoothing)
    samples = smoothing[0].n_samples
    assert samples == 7
    crystal = 9 * samples if cell_varies else 3 * samples + 6
    assert layout.free.sum() == 3 + 6 + 2 + 2 * crystal
    check(Problem(experiments, data, layout))


def test_derivatives_of_panel_groups():
    pairs = [{"children": [{"panel": 0}, {"panel": 1}]}, {"children": [{"panel": 2}, {"panel": 3}]}]
    hierarchy = {"fast_axis": [1, 0, 0], "slow_axis": [0, 1, 0], "origin": [0, 0, 0], "children": pairs}
    detector = replace(a_detector(n_panels=4), hierarchy=hierarchy)
    sweep = a_sweep("a", a_crystal(1), detector=detector)
    options = replace(EVERYTHING, hierarchy_level=1)
    data, _ = observations(ExperimentList([sweep]), spots(sweep, 80), options)
    layout = build_layout(ExperimentList([sweep]), options)
    assert sum(name.startswith("Detector1Group2") for name in layout.names()) == 6
    check(Problem(ExperimentList([sweep]), data, layout))


def test_residuals_are_those_of_the_prediction(two_sweeps):
    experiments, table = two_sweeps
    data, _ = observations(experiments, table, EVERYTHING)
    problem = Problem(experiments, data, build_layout(experiments, EVERYTHING))
    for experiment, d, r in zip(experiments, data, problem.residuals(problem.start), strict=True):
        place = predict_given(experiment, d.hkl.astype(int), d.entering, d.panel, d.observed[:, 2])
        assert np.allclose(place.xyz_mm - d.observed, r, atol=1e-12)


def test_priors_add_their_part(two_sweeps):
    experiments, table = two_sweeps
    options = replace(EVERYTHING, priors=Priors(distance=0.01, shift=2.0, tilt=2.0, beam=0.5, drift=0.2))
    data, _ = observations(experiments, table, options)
    layout = build_layout(experiments, options)
    with_prior, without = Problem(experiments, data, layout), Problem(experiments, data, layout, prior_scale=0.0)
    values = with_prior.start.copy()
    names = list(np.array(layout.names())[with_prior.rows])
    values[names.index("Detector1Dist")] = 3.0  # two σ of 1 % of 150 mm
    values[names.index("Beam1Mu2")] = 0.5  # one σ
    difference = with_prior.evaluate(values).objective - without.evaluate(values).objective
    assert difference == pytest.approx(0.5 * (2.0**2 + 1.0**2), rel=1e-9)
