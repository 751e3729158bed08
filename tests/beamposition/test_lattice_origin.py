"""The beam position from spots of known crystals whose detector has been moved."""

from __future__ import annotations

import numpy as np
import pytest

from mxdask.beamposition.from_spots import moved
from mxdask.beamposition.lattice_origin import Wedge, points_and_gradient, score, score_map, shift_axes
from mxdask.beamposition.params import Params
from mxdask.beamposition.step import run
from mxdask.errors import MxdaskError, ParameterError
from mxdask.flow import Flow
from mxdask.models import ExperimentList
from mxdask.params import parse
from tests.synthetic_sweeps import PIXEL, TRICLINIC, a_crystal, a_detector, a_sweep, several, spots


def search(experiments, table, *words):
    with Flow("sync") as flow:
        return run(experiments, table, parse(Params, words), flow=flow)


def shifted(experiments: ExperimentList, fast: float, slow: float) -> ExperimentList:
    """All (shared) detectors moved by pixels."""
    known = {}
    for e in experiments:
        panel = e.detector[0]
        offset = PIXEL * (fast * panel.fast_axis + slow * panel.slow_axis)
        known.setdefault(id(e.detector), moved(e, offset).detector)
    return experiments.with_experiments(e.evolve(detector=known[id(e.detector)]) for e in experiments)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (2.0, -3.0), (-7.0, 7.0)])
def test_the_beam_comes_back(shift):
    experiments, table = several(3, 150, n_images=50)
    experiments = ExperimentList(e.evolve(crystal=None) for e in experiments)
    out, summary = search(shifted(experiments, *shift), table)
    np.testing.assert_allclose(summary["new_centre_px"], [1000.0, 1000.0], atol=0.3)
    np.testing.assert_allclose(out[0].detector[0].origin, experiments[0].detector[0].origin, atol=0.3 * PIXEL)
    assert len({id(e.detector) for e in out}) == 1
    assert [row["status"] for row in summary["rows"]] == ["ok"] * 3


def test_a_wide_sweep_is_looked_at_in_stretches():
    crystal = a_crystal(3, TRICLINIC)
    sweep = a_sweep("wide", crystal, n_images=180, width=1.0)
    table = spots_over(sweep)
    _, summary = search(shifted(ExperimentList([sweep]), 5.0, 4.0), table, "max_cell=80")
    np.testing.assert_allclose(summary["new_centre_px"], [1000.0, 1000.0], atol=0.3)


def spots_over(sweep):
    """Spots of several parts of a sweep: the generator makes them near the middle of a scan."""
    from dataclasses import replace

    from mxdask.table import ReflectionTable

    parts = []
    for first in range(1, sweep.scan.image_range[1], 10):
        start = float(np.rad2deg(sweep.scan.angle(first - 1.0)))
        part = sweep.evolve(scan=replace(sweep.scan, image_range=(first, first + 9), oscillation=(start, 1.0)))
        parts.append(spots(part, 60, seed=first))
    return ReflectionTable.concat(parts)


def test_multi_panel_detectors_move_as_one():
    experiments, table = several(2, 150, n_images=50)
    panels = a_detector(n_panels=4)
    experiments = ExperimentList(e.evolve(detector=panels, crystal=None) for e in experiments)
    x = table["xyzobs.px.value"].copy()
    table["panel"] = (x[:, 0] // 500).astype(table["panel"].dtype)
    x[:, 0] %= 500
    table["xyzobs.px.value"] = x
    out, _ = search(shifted(experiments, -3.0, 2.0), table)
    for panel, expected in zip(out[0].detector.panels, panels.panels, strict=True):
        np.testing.assert_allclose(panel.origin, expected.origin, atol=0.3 * PIXEL)


def test_the_map_is_the_score_everywhere():
    sweep = a_sweep("one", a_crystal(1))
    table = spots(sweep, 40)
    axes = shift_axes(sweep)
    rlp, gradient = points_and_gradient(sweep, table["panel"], table["xyzobs.mm.value"], axes)
    vectors = np.random.default_rng(1).normal(size=(3, 3)) * 30
    wedges = [Wedge(0, np.arange(len(rlp)), rlp, gradient, vectors)]
    first, second = np.linspace(-1, 1, 5), np.linspace(-0.5, 0.5, 3)
    expected = [[score(wedges, np.array([a, b])) for b in second] for a in first]
    np.testing.assert_allclose(score_map(wedges, first, second), expected, atol=1e-8)


def test_the_gradient_is_that_of_moving_the_detector():
    sweep = a_sweep("one", a_crystal(1))
    table = spots(sweep, 40)
    axes = shift_axes(sweep)
    panel, mm = table["panel"], table["xyzobs.mm.value"]
    _, gradient = points_and_gradient(sweep, panel, mm, axes)
    step = 1e-4
    for k, axis in enumerate(axes):
        ahead, _ = points_and_gradient(moved(sweep, step * axis), panel, mm, axes)
        behind, _ = points_and_gradient(moved(sweep, -step * axis), panel, mm, axes)
        np.testing.assert_allclose(gradient[:, :, k], (ahead - behind) / (2 * step), atol=1e-9)


def test_order_of_sweeps_and_workers_change_nothing():
    experiments, table = several(3, 100, n_images=50)
    _, one = search(shifted(experiments, 2.0, 1.0), table)
    with Flow("threads", n_workers=2) as flow:
        _, two = run(shifted(experiments, 2.0, 1.0), table, parse(Params, []), flow=flow)
    assert one == two


def test_noise_is_an_error_not_an_answer():
    experiments, table = several(1, 60, n_images=50)
    rng = np.random.default_rng(3)
    px = np.column_stack([rng.uniform(0, 2000, (len(table), 2)), rng.uniform(0, 50, len(table))])
    table["xyzobs.px.value"] = px
    table = table.select(np.arange(len(table)) < 8)
    with pytest.raises(MxdaskError, match=r"repeat|too few"):
        search(experiments, table)


def test_what_is_missing_is_said():
    experiments, _ = several(1, 20)
    with pytest.raises(ParameterError, match=r"strong\.refl"):
        search(experiments, None)
    with pytest.raises(ParameterError, match="method_x"):
        search(experiments, None, "method_x=midpoint")
