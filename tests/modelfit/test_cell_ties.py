"""Cells tied to a target and to each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic_sweeps import TRICLINIC, a_crystal, a_detector, a_sweep, spots

from mxdask.flow import Flow
from mxdask.modelfit.cell_ties import CellRestraint, cell_and_derivatives, weights
from mxdask.modelfit.crystal import CrystalParameters
from mxdask.modelfit.fit import fit, select
from mxdask.modelfit.layout import build_layout
from mxdask.modelfit.options import FitOptions
from mxdask.modelfit.problem import Problem
from mxdask.models import ExperimentList
from mxdask.params import parse
from mxdask.refine.params import Params
from mxdask.refine.step import run
from mxdask.table import ReflectionTable

SIGMAS = (0.02, 0.03, 0.05, 0.01, 0.02, 0.0)
OPTIONS = FitOptions(outlier="null", detector_fix=("all",), cell_restraints=(CellRestraint(SIGMAS),))


@pytest.fixture
def three():
    """Crystals whose cells differ by some 0.1 %."""
    detector = a_detector()
    sweeps = [
        a_sweep(f"s{i}", a_crystal(i, tuple(np.multiply(TRICLINIC, [1 + 0.001 * i] * 3 + [1] * 3))), detector=detector)
        for i in range(3)
    ]
    sweeps = [s.evolve(beam=sweeps[0].beam) for s in sweeps]
    return ExperimentList(sweeps), ReflectionTable.concat([spots(s, 60, row=i, seed=i) for i, s in enumerate(sweeps)])


def cells(result):
    return np.array([e.crystal.cell for e in result.experiments])


def test_derivatives_of_the_cell():
    parameters = CrystalParameters.of(a_crystal(1, TRICLINIC))
    values = np.array([1.0, 2, 3, 0.4, -0.3, 0.2, 0.1, 0.5, -0.2])
    cell, J = cell_and_derivatives(parameters, values)
    assert np.allclose(cell, parameters.crystal.with_A(parameters.A(values)).cell, rtol=1e-10)
    for k in range(6):
        h = np.zeros(9)
        h[3 + k] = 1e-3
        up, down = (cell_and_derivatives(parameters, values + s)[0] for s in (h, -h))
        assert np.allclose((up - down) / 2e-3, J[:, k], rtol=1e-6, atol=1e-8)


def test_gradients_with_a_common_cell(three):
    experiments, table = three
    both = replace(OPTIONS, cell_restraints=(CellRestraint(SIGMAS), CellRestraint((0.1,) * 6, TRICLINIC)))
    problem = Problem(experiments, select(experiments, table, OPTIONS).data, build_layout(experiments, both))
    values = 0.1 * np.random.default_rng(0).normal(size=len(problem.start))
    gradient = problem.evaluate(values).gradient
    for k in range(len(values)):
        h = np.zeros(len(values))
        h[k] = 1e-4
        up, down = (problem.evaluate(values + s).objective for s in (h, -h))
        assert (up - down) / 2e-4 == pytest.approx(gradient[k], rel=1e-4, abs=1e-2 * np.abs(gradient).max() ** 0.5)


def test_a_group_ends_at_the_minimum_of_the_sum_about_the_mean(three):
    experiments, table = three
    selection = select(experiments, table, OPTIONS)
    tied = fit(experiments, table, selection, OPTIONS)
    free = fit(experiments, table, selection, replace(OPTIONS, cell_restraints=()))
    firm = fit(
        experiments, table, selection, replace(OPTIONS, cell_restraints=(CellRestraint((1e-5,) * 3 + (1e-5,) * 3),))
    )
    spread = [np.ptp(cells(r)[:, :3], axis=0) for r in (free, tied, firm)]
    assert np.all(spread[0] > spread[1])
    assert np.all(spread[2] < 1e-3)
    assert np.all(spread[1] > spread[2])


def test_a_target_pulls_every_crystal(three):
    experiments, table = three
    selection = select(experiments, table, OPTIONS)
    options = replace(OPTIONS, cell_restraints=(CellRestraint((1e-5,) * 6, TRICLINIC),))
    assert np.allclose(cells(fit(experiments, table, selection, options)), TRICLINIC, atol=1e-3)
    assert weights(SIGMAS)[5] == 0.0


def test_parameters_of_the_step(three):
    experiments, table = three
    apart = experiments.with_experiments(
        e.evolve(beam=replace(e.beam), detector=replace(e.detector)) for e in experiments
    )
    words = ["tie_to_group.sigmas=0.00001,0.00001,0.00001,0.00001,0.00001,0.00001", "scan_varying=False",
             "sharing.detector=per_sweep"]  # fmt: skip
    with Flow("sync") as flow:
        refined, _, summary = run(apart, table, parse(Params, words), flow=flow)
    assert len(summary["sets"]) == 1
    assert np.all(np.ptp([e.crystal.cell for e in refined], axis=0) < 2e-3)
