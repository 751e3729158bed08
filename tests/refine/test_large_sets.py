"""Sets too large for one task: parts made where their reflections are, the same numbers whoever makes them."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_sweeps import disturbed, several

import mxdask.refine.step as step
from mxdask.errors import MxdaskError
from mxdask.flow import Flow
from mxdask.modelfit import problem as problems
from mxdask.modelfit.fit import select
from mxdask.modelfit.layout import build_layout
from mxdask.modelfit.options import FitOptions
from mxdask.params import parse
from mxdask.refine.params import Params


@pytest.fixture(scope="module")
def five():
    experiments, table = several(5, 80)
    return experiments.with_experiments(
        e.evolve(crystal=disturbed(e.crystal, i)) for i, e in enumerate(experiments)
    ), table


def numbers(result):
    experiments, table, _ = result
    return np.array([e.crystal.A_at_scan_points for e in experiments]), table["xyzcal.px"]


@pytest.mark.parametrize(("scheduler", "per_part"), [("sync", 1), ("threads", 2), ("threads", 3)])
def test_parts_and_workers_change_no_bit(five, monkeypatch, scheduler, per_part):
    with Flow("sync") as flow:
        A, predicted = numbers(step.run(*five, parse(Params, []), flow=flow))
    monkeypatch.setattr(step, "LARGE_SET", 2)
    monkeypatch.setattr(problems, "EXPERIMENTS_PER_PART", per_part)
    with Flow(scheduler, n_workers=2) as flow:
        spread_A, spread_predicted = numbers(step.run(*five, parse(Params, []), flow=flow))
    assert np.array_equal(A, spread_A)
    assert np.array_equal(predicted, spread_predicted)


def test_only_small_matrices_travel(five):
    """What parts give back per evaluation does not grow with the number of reflections."""
    sizes = []

    class Watching:
        def place(self, parts):
            return list(parts)

        def map(self, function, items, name):
            results = [function(*item) for item in items]
            sizes.append(sum(array.nbytes for part in results for equations in part for array in equations))
            return results

    experiments, table = five
    options = FitOptions(outlier="null")
    for part in (table, table.select(np.arange(len(table)) % 2 == 0)):
        data = select(experiments, part, options).data
        problem = problems.Problem(experiments, data, build_layout(experiments, options), hands=Watching())
        problem.evaluate(problem.start)
    assert sizes[0] == sizes[1] < 20_000


def test_a_part_that_fails_fails_the_set_with_its_reason(five, monkeypatch):
    monkeypatch.setattr(step, "LARGE_SET", 2)

    def broken(part, values):
        raise MxdaskError("no memory for this part")

    monkeypatch.setattr(problems, "residuals_of", broken)
    with Flow("sync") as flow:
        _, _, summary = step.run(*five, parse(Params, []), flow=flow)
    assert {row["reason"] for row in summary["rows"]} == {"no memory for this part"}
