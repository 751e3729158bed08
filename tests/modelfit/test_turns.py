"""Turns of everything about the beam: what drifts of crystals leave of what the reflections say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic_sweeps import a_beam, a_detector, several

from mxdask.modelfit.detector import DetectorParameters
from mxdask.modelfit.layout import build_layout
from mxdask.modelfit.options import FitOptions, Priors
from mxdask.modelfit.problem import Problem
from mxdask.modelfit.selection import observations
from mxdask.modelfit.static import refine_static
from mxdask.modelfit.turns import common_turns, drift_weight

PRIORS = Priors(wander=1.0)
OPTIONS = FitOptions(outlier="null", priors=PRIORS)
BEAM, ABOUT_BEAM = 1, 6  # Mu2 and Tau1 among three parameters of the beam and six of the detector


def start(n_sweeps, options=OPTIONS, **others):
    experiments, table = several(n_sweeps, 200, **others)
    layout = build_layout(experiments, options)
    problem = Problem(experiments, observations(experiments, table, options)[0], layout)
    return problem, common_turns(experiments, layout, options.priors)


def test_turns_and_the_error_that_drifts_make_of_them():
    _, (beam, detector) = start(4, n_images=50)
    assert beam.rows.tolist() == [BEAM]
    assert detector.rows.tolist() == [ABOUT_BEAM, ABOUT_BEAM + 1, ABOUT_BEAM + 2]
    assert np.abs(detector.vector) == pytest.approx([1.0, 0.0, 0.0])
    assert (beam.prior, detector.prior) == (0.5, 2.0)
    assert beam.drift == detector.drift == pytest.approx(1.0 / (2 * np.sin(np.deg2rad(2.5)) * 2))
    _, (_, wide) = start(1, n_images=3600)
    assert wide.drift == pytest.approx(0.5)


def test_nothing_is_added_unless_asked_for_or_where_models_are_held():
    for options in (
        replace(OPTIONS, priors=None),
        replace(OPTIONS, priors=Priors()),
        replace(OPTIONS, beam_fix=("all",), detector_fix=("all",)),
    ):
        assert not np.any(drift_weight(*start(1, options)))


def test_the_turn_about_the_beam_is_that_of_the_lab_wherever_the_detector_looks():
    experiments, _ = several(1, 50)
    parameters = DetectorParameters.of(a_detector(), a_beam())
    swung = parameters.model(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 500.0]))
    there = experiments.with_experiments(e.evolve(detector=swung) for e in experiments)
    vector = common_turns(there, build_layout(there, OPTIONS), PRIORS)[1].vector
    assert np.linalg.norm(vector) == pytest.approx(1.0)
    assert abs(vector[0]) == pytest.approx(np.cos(0.5))


def test_a_turn_is_drawn_to_the_prior_as_drifts_tell():
    """t·σp²/(σp² + σt²), whatever the number and precision of the reflections."""
    experiments, table = several(3, 300, n_images=50)
    off = DetectorParameters.of(experiments[0].detector, experiments[0].beam).model(np.array([0, 0, 0, 3.0, 0, 0]))
    reference = experiments.with_experiments(e.evolve(detector=off) for e in experiments)
    held = replace(OPTIONS, beam_fix=("all",))
    for wander in (0.1, 0.5, 2.0):
        priors = Priors(wander=wander)
        sigma = wander / (np.sqrt(3) * 2 * np.sin(np.deg2rad(2.5)))
        left = 3.0 * sigma**2 / (priors.tilt**2 + sigma**2)
        refined = refine_static(experiments, table, replace(held, priors=priors), reference=reference).experiments
        now = DetectorParameters.of(experiments[0].detector, experiments[0].beam).values_of(refined[0].detector)
        assert now[3] == pytest.approx(left, abs=0.5)


def test_added_weights_enter_objective_and_gradient_alike():
    problem, turns = start(2)
    problem.restrain(drift_weight(problem, turns))
    values = np.random.default_rng(1).normal(0.0, 0.3, len(problem.rows))
    gradient = problem.evaluate(values).gradient
    for i in (0, 1, 4, 7):
        step = 1e-4 * np.eye(len(values))[i]
        up, down = (problem.evaluate(values + s).objective for s in (step, -step))
        assert gradient[i] == pytest.approx((up - down) / 2e-4, rel=2e-3, abs=1.0)
