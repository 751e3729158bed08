"""The step: policies of sharing, rows of crystals that fail, order."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
from synthetic_sweeps import a_crystal, a_detector, a_sweep, disturbed, several, spots

from mxdask.errors import MxdaskError
from mxdask.flow import Flow
from mxdask.modelfit.detector import DetectorParameters
from mxdask.models import ExperimentList
from mxdask.params import parse
from mxdask.refine.params import Params
from mxdask.refine.step import run
from mxdask.table import Flag, ReflectionTable
from mxdask.text import with_esds


def refine(experiments, table, *words):
    with Flow("sync") as flow:
        return run(experiments, table, parse(Params, words), flow=flow)


def misset(experiments):
    return experiments.with_experiments(e.evolve(crystal=disturbed(e.crystal, i)) for i, e in enumerate(experiments))


def moved(experiment, *values):
    parameters = DetectorParameters.of(experiment.detector, experiment.beam)
    return experiment.evolve(detector=parameters.model(np.array([*values, *[0.0] * (6 - len(values))])))


@pytest.fixture
def three():
    """Three sweeps of 10°, each with a beam and an (equal) detector of its own, crystals a little off."""
    experiments, table = several(3, 150, shared=False)
    return misset(experiments), table


def test_rows_experiments_and_predictions(three):
    experiments, table = three
    refined, out, summary = refine(experiments, table)
    json.dumps(summary)
    assert [r["sweep"] for r in summary["rows"]] == ["sweep0", "sweep1", "sweep2"]
    assert refined.identifiers == experiments.identifiers
    for row, experiment in zip(summary["rows"], refined, strict=True):
        assert row["status"] == "ok"
        assert row["n_reflections"] + row["n_outliers"] <= 150
        assert max(row["rmsd_x"], row["rmsd_y"], row["rmsd_z"]) < 0.13
        assert row["cell"][0] == pytest.approx(78.0, abs=0.05)
        assert len(row["cell_esd"]) == 6
        assert row["scan_varying"]
        assert experiment.crystal.A_at_scan_points.shape == (101, 3, 3)
        assert experiment.scan is experiments[refined.identifiers.index(experiment.identifier)].scan
    assert out.has_flags(Flag.PREDICTED).all()
    assert len(out) == len(table)


def test_equal_geometries_become_one_and_others_do_not(three):
    experiments, table = three
    for words, count in (([], 1), (["detector=per_sweep"], 3), (["detector=shared"], 1)):
        refined, _, summary = refine(experiments, table, *words)
        assert len(refined.unique("detector")) == len(refined.unique("beam")) == count
        assert len(summary["sets"]) == count
        assert bool(summary["messages"]) == (count == 1)
    far = experiments.with_experiments([*experiments.experiments[:2], moved(experiments[2], 30.0)])
    assert len(refine(far, table)[0].unique("detector")) == 2


def test_a_shared_detector_with_sweeps_that_contradict_it_is_taken_back(three):
    experiments, table = three
    # Within the tolerance of auto, but really elsewhere: spots of sweep 2 were recorded at another distance.
    other = moved(experiments[2], 4.0, 1.0)
    truth = replace(other, crystal=a_crystal(2))
    kept = table.select(table["id"] < 2)
    both = ReflectionTable.concat([kept, spots(truth, 800, row=2, seed=9, noise=0.02)])
    start = experiments.with_experiments([*experiments.experiments[:2], other])
    refined, _, summary = refine(start, both, "restraints.geometry=false")
    if len(refined.unique("detector")) == 1:
        pytest.fail(f"one detector for contradicting sweeps: {summary['messages']}")
    assert "do not fit one geometry" in summary["messages"][-1]
    assert all(row["rmsd_x"] < 0.13 for row in summary["rows"])


def test_reference_and_fixed_geometry(three):
    experiments, table = three
    refined, _, _ = refine(experiments, table, "detector=fixed")
    assert np.allclose(refined[0].detector[0].origin, experiments[0].detector[0].origin, atol=1e-12)
    refined, _, summary = refine(experiments, table, "detector=reference")
    assert len(refined.unique("detector")) == 1
    assert all(row["status"] == "ok" for row in summary["rows"])


def test_a_crystal_that_cannot_be_refined_is_a_row(three, caplog):
    experiments, table = three
    start = ExperimentList(
        [*experiments, a_sweep("blank", a_crystal(8)), a_sweep("none", a_crystal(9)).evolve(crystal=None)]
    )
    useless = spots(start[3], 12, row=3)
    useless.set_flags(np.arange(len(useless)), Flag.OVERLOADED)
    unindexed = table.select(np.arange(5))
    unindexed["id"] = np.full(5, -1)
    unindexed.identifiers = {}
    everything = ReflectionTable.concat([table, useless, unindexed])
    with caplog.at_level(logging.INFO, "mxdask.refine"):
        refined, out, summary = refine(start, everything)
    assert [r["status"] for r in summary["rows"]] == ["ok", "ok", "ok", "failed", "skipped"]
    assert "0 of 12 indexed reflections" in summary["rows"][3]["reason"]
    assert refined.identifiers == experiments.identifiers
    assert len(out) == len(everything)
    assert np.count_nonzero(out["id"] == -1) == 5 + len(useless)
    assert not out.has_flags(Flag.INDEXED)[len(table) : len(table) + len(useless)].any()
    assert "blank" in caplog.text


def test_one_failing_does_not_change_the_others(three):
    experiments, table = three
    extra = ExperimentList([*experiments, a_sweep("blank", a_crystal(8))])
    alone, _, _ = refine(experiments, table)
    with_blank, _, _ = refine(extra, table)
    for a, b in zip(alone, with_blank, strict=True):
        assert np.array_equal(a.crystal.A, b.crystal.A)


def test_positions_without_variance_are_left_out_and_end_no_run(three):
    experiments, table = three
    everything = table.copy()
    bad = np.flatnonzero(everything["id"] == 1)
    variance = everything["xyzobs.mm.variance"].copy()
    variance[bad] = 0.0
    variance[np.flatnonzero(everything["id"] == 0)[:3]] = np.nan
    everything["xyzobs.mm.variance"] = variance
    _, out, summary = refine(experiments, everything)
    assert [r["status"] for r in summary["rows"]] == ["ok", "failed", "ok"]
    assert f"0 of {len(bad)} indexed reflections" in summary["rows"][1]["reason"]
    used = out.has_flags(Flag.USED_IN_REFINEMENT)
    assert np.all(out["xyzobs.mm.variance"][used] > 0)


def test_permuting_crystals_permutes_results(three):
    experiments, table = three
    order = [2, 0, 1]
    permuted, out, summary = refine(experiments.with_experiments(experiments[i] for i in order), table)
    straight, expected, rows = refine(experiments, table)
    for new, old in enumerate(order):
        assert np.allclose(permuted[new].crystal.cell, straight[old].crystal.cell, rtol=1e-8)
        for name in ("sweep", "n_reflections", "n_outliers"):
            assert summary["rows"][new][name] == rows["rows"][old][name]
    assert np.allclose(out["xyzcal.px"], expected["xyzcal.px"], atol=1e-5)


def test_narrow_sweeps_stay_static_unless_told(caplog):
    experiments, table = several(1, 100, n_images=30)
    refined, _, summary = refine(misset(experiments), table)
    assert refined[0].crystal.A_at_scan_points is None
    assert "3°" in summary["rows"][0]["reason"]
    refined, _, _ = refine(misset(experiments), table, "scan_varying=True")
    assert refined[0].crystal.A_at_scan_points.shape == (31, 3, 3)
    exactly, spots_of_it = several(1, 100, n_images=50, width=0.1 - 1e-9)
    assert refine(misset(exactly), spots_of_it)[0][0].crystal.A_at_scan_points is not None


def test_a_crystal_on_two_scans_gets_a_copy_for_each_unless_static():
    crystal, detector = a_crystal(1), a_detector()
    sweeps = [a_sweep(n, crystal, detector=detector) for n in "ab"]
    sweeps[1] = sweeps[1].evolve(beam=sweeps[0].beam)
    table = ReflectionTable.concat([spots(s, 120, row=i, seed=i) for i, s in enumerate(sweeps)])
    assert len(refine(ExperimentList(sweeps), table)[0].unique("crystal")) == 2
    assert len(refine(ExperimentList(sweeps), table, "scan_varying=False")[0].unique("crystal")) == 1


def test_missing_columns_are_made_and_missing_input_is_said(three):
    experiments, table = three
    bare = table.copy()
    for name in ("xyzobs.mm.value", "xyzobs.mm.variance", "entering"):
        del bare[name]
    made, given = (refine(experiments, t)[0][0].crystal.cell for t in (bare, table))
    assert np.allclose(made, given, rtol=1e-3)
    with pytest.raises(MxdaskError, match="indexed reflections"):
        refine(experiments, None)
    with pytest.raises(MxdaskError, match="comes after index"):
        refine(experiments.with_experiments(e.evolve(crystal=None) for e in experiments), table)


def test_numbers_with_their_esds():
    assert with_esds([78.1234, 90.0], [0.0312, 0.0]) == "78.12(3) 90"
    assert with_esds([5.42321], [0.00118]) == "5.4232(12)"
    assert with_esds([5.4], None) == "5.400"
