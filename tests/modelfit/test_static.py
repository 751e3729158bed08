"""Whole fits of made-up data with known answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic_sweeps import TRICLINIC, a_beam, a_crystal, a_detector, a_sweep, disturbed, several, spots

from mxdask.errors import MxdaskError
from mxdask.modelfit.detector import DetectorParameters
from mxdask.modelfit.options import FitOptions, Priors
from mxdask.modelfit.selection import observations
from mxdask.modelfit.smoother import Smoothing
from mxdask.modelfit.static import refine_static
from mxdask.modelfit.varying import refine_varying
from mxdask.models import ExperimentList, rotation_matrix
from mxdask.table import Flag, ReflectionTable

PLAIN = FitOptions(outlier="null")


def misset(experiments: ExperimentList) -> ExperimentList:
    """Crystals a little off, sharing kept."""
    return experiments.with_experiments(e.evolve(crystal=disturbed(e.crystal, i)) for i, e in enumerate(experiments))


def test_cell_and_detector_come_back():
    crystal, truth = a_crystal(4, TRICLINIC), a_detector()
    moved = DetectorParameters.of(truth, a_beam()).model(np.array([1.0, 0.3, -0.4, 1.0, -1.5, 0.5]))
    sweep = a_sweep("s", crystal, detector=moved, n_images=600)
    table = spots(sweep, 1500)
    start = ExperimentList([sweep.evolve(crystal=disturbed(crystal, 1), detector=truth)])
    result = refine_static(start, table, PLAIN)
    refined = result.experiments[0]
    assert result.converged
    assert np.all(np.abs(refined.crystal.cell - crystal.cell) < 4 * refined.crystal.cell_esds()[:6])
    assert refined.detector[0].distance == pytest.approx(moved[0].distance, abs=0.05)
    assert np.allclose(result.rmsd, 0.1, rtol=0.1)
    assert result.chi2_reduced == pytest.approx(1.0, abs=0.1)


def test_flags_tell_what_each_reflection_did():
    experiments, table = several(1, 300)
    table["xyzobs.mm.value"] = table["xyzobs.mm.value"] + np.outer(np.arange(300) == 7, [3.0, 0.0, 0.0])
    table["miller_index"] = np.where((np.arange(300) == 5)[:, None], 0, table["miller_index"])
    table.set_flags(np.array([9]), Flag.OVERLOADED)
    result = refine_static(misset(experiments), table, replace(PLAIN, outlier="mcd"))
    out = result.reflections
    assert out.has_flags(Flag.CENTROID_OUTLIER)[7]
    assert out.has_flags(Flag.EXCLUDED_FOR_REFINEMENT)[9]
    used = out.has_flags(Flag.USED_IN_REFINEMENT)
    assert not used[[5, 7, 9]].any()
    assert used.sum() == result.n_used[0]
    assert out.has_flags(Flag.PREDICTED).sum() == 299
    residual = (out["xyzcal.px"] - out["xyzobs.px.value"])[used]
    assert np.allclose(np.sqrt(np.mean(residual**2, axis=0)), result.rmsd[0], rtol=1e-3)
    assert not table.has_flags(Flag.USED_IN_REFINEMENT).any()  # the table given is left alone


def test_shared_models_stay_shared():
    experiments, table = several(3, 80)
    refined = refine_static(misset(experiments), table, PLAIN).experiments
    assert len(refined.unique("detector")) == len(refined.unique("beam")) == 1
    assert len(refined.unique("crystal")) == 3
    assert refined[0].detector is not experiments[0].detector


def test_the_order_of_crystals_does_not_matter():
    experiments, table = several(3, 150)
    start = misset(experiments)
    order = [2, 0, 1]
    shuffled = table.copy()
    shuffled["id"] = np.array([order.index(i) for i in table["id"]])
    shuffled.identifiers = {}
    options = FitOptions(outlier="mcd", priors=Priors())
    here = refine_static(start, table, options)
    there = refine_static(start.with_experiments(start[i] for i in order), shuffled, options)
    for new, old in enumerate(order):
        assert np.allclose(there.experiments[new].crystal.cell, here.experiments[old].crystal.cell, rtol=1e-8)
        assert there.n_used[new] == here.n_used[old]
    assert np.allclose(here.reflections["xyzcal.px"], there.reflections["xyzcal.px"], atol=1e-5)


def test_models_without_enough_reflections_are_held():
    experiments, table = several(2, 60)
    few = table.select((table["id"] == 0) | (np.cumsum(table["id"] == 1) <= 4))
    result = refine_static(misset(experiments), few, PLAIN)
    assert [n.split(":")[0] for n in result.notes] == ["orientation of crystal of sweep1", "cell of crystal of sweep1"]
    assert np.allclose(result.experiments[1].crystal.A, misset(experiments)[1].crystal.A, atol=1e-12)
    with pytest.raises(MxdaskError, match=r"sweep1.*auto_reduction"):
        refine_static(misset(experiments), few, replace(PLAIN, auto_reduction="fail"))


def test_nothing_to_refine_is_said():
    experiments, table = several(1, 30)
    table.set_flags(np.arange(len(table)), Flag.OVERLOADED)
    with pytest.raises(MxdaskError, match="sweep0"):
        refine_static(experiments, table, PLAIN)


def test_a_narrow_wedge_keeps_its_distance_by_the_prior():
    sweep = a_sweep("s", a_crystal(3), n_images=20)
    table = spots(sweep, 60, noise=0.3)
    far = ExperimentList([sweep.evolve(crystal=disturbed(sweep.crystal, 2, cell=0.01))])
    free, held = (refine_static(far, table, replace(PLAIN, priors=p)) for p in (None, Priors()))
    wrong = [abs(r.experiments[0].detector[0].distance - 150.0) for r in (free, held)]
    assert wrong[1] < wrong[0]
    assert wrong[1] < 3.0
    assert held.chi2_reduced < 1.2 * free.chi2_reduced


def test_priors_pull_to_the_reference():
    experiments, table = several(1, 40, n_images=10)
    longer = DetectorParameters.of(a_detector(), a_beam()).model(np.array([3.0, 0, 0, 0, 0, 0]))
    start = experiments.with_experiments([experiments[0].evolve(detector=longer)])
    tight = replace(PLAIN, priors=Priors(distance=1e-5))
    assert refine_static(start, table, tight).experiments[0].detector[0].distance == pytest.approx(153.0, abs=0.1)
    back = refine_static(start, table, tight, reference=experiments).experiments[0]
    assert back.detector[0].distance == pytest.approx(150.0, abs=0.1)


def test_samples_are_drawn_with_their_own_seed():
    experiments, table = several(2, 400)
    options = replace(PLAIN, reflections_per_degree=10.0, minimum_sample=50)
    data, _ = observations(experiments, table, options)
    assert [len(d) for d in data] == [100, 100]
    alone, _ = observations(ExperimentList([experiments[1]]), _only(table, 1), options)
    assert np.array_equal(alone[0].hkl, data[1].hkl)


def test_spots_cut_by_the_scan_are_left_out_if_others_remain():
    experiments, table = several(1, 100)
    z = np.floor(table["xyzobs.px.value"][:, 2]).astype(int)
    table["bbox"] = np.column_stack([np.zeros((100, 4), int), np.maximum(z - 2, 0), np.minimum(z + 3, 100)])
    cut = (z <= 2) | (z >= 97)
    data, excluded = observations(experiments, table, PLAIN)
    every, spindle = observations(experiments, table, replace(PLAIN, exclude_truncated=False))
    assert len(every[0]) == 100 - spindle.sum()
    assert np.array_equal(excluded, cut | spindle)
    assert np.array_equal(data[0].rows, np.flatnonzero(~excluded))
    few = table.select(np.append(np.flatnonzero(~excluded)[:30], np.flatnonzero(cut)[:5]))
    assert len(observations(experiments, few, PLAIN)[0][0]) > 30


def test_a_crystal_that_turns_is_followed():
    sweep = a_sweep("s", a_crystal(6), n_images=400)
    table = spots(sweep, 800, noise=0.05)
    # Turn the lattice slowly: positions of the second half belong to an orientation 1 mrad further.
    turned = sweep.evolve(crystal=sweep.crystal.with_A(rotation_matrix([0.0, 1.0, 0.0], 1e-3) @ sweep.crystal.A))
    other = spots(turned, 800, noise=0.05)
    late = other["xyzobs.px.value"][:, 2] > 200
    early = table["xyzobs.px.value"][:, 2] <= 200
    mixed = ReflectionTable.concat([table.select(early), other.select(late)])
    options = replace(PLAIN, detector_fix=("all",), beam_fix=("all",))
    still = refine_static(ExperimentList([sweep]), mixed, options)
    smoothing = (Smoothing.of(sweep.scan, 5.0, cell_varies=False),)
    moving = refine_varying(still.experiments, still.reflections, options, smoothing)
    A = moving.experiments[0].crystal.A_at_scan_points
    assert A.shape == (401, 3, 3)
    turn = A[-20] @ np.linalg.inv(A[20])
    assert np.arccos((np.trace(turn) - 1) / 2) == pytest.approx(1e-3, rel=0.2)
    assert np.all(moving.rmsd[0] < still.rmsd[0])
    assert np.allclose([np.linalg.det(a) for a in A], np.linalg.det(A[0]), rtol=1e-9)  # the cell stays


def _only(table: ReflectionTable, row: int) -> ReflectionTable:
    out = table.select(table["id"] == row)
    out["id"] = np.zeros(len(out))
    out.identifiers = {}
    return out
