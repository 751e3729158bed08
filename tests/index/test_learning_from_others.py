"""What is tried for sweeps that fail, what sweeps learn from each other, and what is reported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from random_crystals import CONDITIONS, n_right, random_sweep
from synthetic_spots import CUBIC_I, TRICLINIC, SyntheticSweep, join, make_sweep
from test_index_step import index, misorientation

from mxdask.index.goniometer_record import explain_disagreement
from mxdask.index.hints import plan_second_pass
from mxdask.index.known_symmetry import match_cell, primitive_rows
from mxdask.index.params import Params
from mxdask.index.prepare import split_sweeps
from mxdask.index.report import cell_words, trouble
from mxdask.index.sweep import Outcome
from mxdask.index.tasks import Result, index_again, index_sweeps
from mxdask.models import Goniometer

BY_NAME = {c.name: c for c in CONDITIONS}


@pytest.mark.parametrize("name", ["plain", "noisy", "ice", "small molecule"])
@pytest.mark.parametrize("number", [0, 5])
def test_random_crystals(name: str, number: int) -> None:
    """A few of those of tests/bench/bench_index.py."""
    sweep, cell, symbol = random_sweep(BY_NAME[name], number)
    assert n_right([e.crystal for e in index([sweep])[0]], sweep.truth) == 1
    known = ["unit_cell=" + ",".join(f"{x:.3f}" for x in cell), f"space_group={symbol}"]
    assert n_right([e.crystal for e in index([sweep], *known)[0]], sweep.truth) == 1


def test_an_inverted_axis_is_found_out() -> None:
    sweep, _, _ = random_sweep(BY_NAME["axis inverted"], 0)
    experiments, table, summary = index([sweep])
    assert summary["rows"][0]["axis_is_inverted"]
    assert "inverted" in summary["rows"][0]["method"]
    np.testing.assert_allclose(experiments[0].goniometer.rotation_axis, (1.0, 0.0, 0.0))  # as it truly was
    rows, goal = primitive_rows(experiments[0].crystal), primitive_rows(sweep.truth[0])
    assert match_cell(rows, goal, 0.01, 1.0) is not None
    assert np.mean(table["id"] >= 0) > 0.7
    right = index([replace(sweep, experiment=sweep.experiment.evolve(goniometer=experiments[0].goniometer))])
    assert not right[2]["rows"][0]["axis_is_inverted"]


def test_few_sweeps_use_the_cell_of_the_one_that_worked() -> None:
    made = [make_sweep(80, n_spots=150, name="strong"), make_sweep(90, n_spots=40, name="weak")]
    sweeps, params = split_sweeps(*join(made), Params().indexing), Params().indexing
    failed = Result((1,), Outcome(None, attempts=["default: nothing"], reason="no suitable lattice"))
    results = [index_sweeps(sweeps[:1], params), failed]
    plan = plan_second_pass(sweeps, results, params)
    assert plan.consensus is None
    assert [h.label for h in plan.of_sweep[1]] == ["cell of strong"]
    again = index_again(sweeps[1], params, plan.of_sweep[1], failed)
    assert again.steps == ("cell of strong",)
    assert again.outcome.attempts[0] == "default: nothing"
    assert misorientation(again.solution.crystals[0], made[1].truth[0]) < 0.3
    nothing_known = plan_second_pass(sweeps, [replace(failed, rows=(0,)), failed], params)
    assert [h.label for h in nothing_known.of_sweep[0]] == ["max_cell of all sweeps together"]


def test_a_weaker_second_lattice_is_found_with_auto() -> None:
    sweep = make_sweep(3, n_spots=300, n_lattices=2, strength_of_others=0.5)
    experiments, _, summary = index([sweep], "max_lattices=auto")
    assert n_right([e.crystal for e in experiments], sweep.truth) == 2
    assert len(experiments) == 2
    why_it_ended = summary["rows"][0]["attempts"][-1]
    assert "no further lattice is looked for" in why_it_ended or why_it_ended.startswith("lattice 3")


def test_permuting_the_crystals_permutes_the_result() -> None:
    sweeps = [make_sweep(40 + i, n_spots=120, name=f"sweep_{i}") for i in range(5)]
    sweeps.append(make_sweep(50, n_spots=5, foreign=0.0, name="blank"))
    order = np.array([3, 5, 0, 4, 2, 1])
    a, ta, sa = index(sweeps)
    b, tb, sb = index([sweeps[i] for i in order])
    assert [r["sweep"] for r in sb["rows"]] == [sweeps[i].experiment.name for i in order]
    of_name = {e.name: (k, e) for k, e in enumerate(a)}
    for k, e in enumerate(b):
        j, same = of_name[e.name]
        np.testing.assert_allclose(e.crystal.A, same.crystal.A, rtol=1e-9, atol=1e-13)
        np.testing.assert_allclose(e.detector[0].origin, same.detector[0].origin, atol=1e-9)
        assert np.array_equal(tb["miller_index"][tb["id"] == k], ta["miller_index"][ta["id"] == j])
    assert sa["consensus_cell"] == sb["consensus_cell"]


def test_the_table_is_sorted_by_trouble() -> None:
    good = {"status": "ok", "n_spots": 100, "percent_indexed": 95.0, "rmsd": [0.2, 0.2, 0.1]}
    poor = good | {"percent_indexed": 40.0}
    bad_fit = good | {"rmsd": [1.5, None, 0.1]}
    failed = {"status": "failed", "n_spots": 50}
    assert sorted([failed, poor, bad_fit, good], key=trouble) == [good, bad_fit, poor, failed]


def test_cells_are_written_with_esds() -> None:
    text = cell_words([67.5423, 67.5, 109.47, 90.0, 109.4712, 101.26], [0.0031, 0.012, 0.2, 0.0, 0.0, 1.2])
    assert text == "67.542(3) 67.500(12) 109.5(2) 90 109.47 101.3(12)"
    assert cell_words([67.5, 78.123]) == "67.50 78.12"


def two_settings(recorded_sign: float) -> list[SyntheticSweep]:
    """One crystal at kappa 0 and 60°; what is recorded of kappa may have the wrong sign."""
    from mxdask.geometry.predict_all import predict_all
    from mxdask.models import Crystal

    truth = make_sweep(33, TRICLINIC, n_spots=150).truth[0]
    sweeps = []
    for name, kappa in (("a", 0.0), ("b", 60.0)):
        base = make_sweep(34, TRICLINIC, n_spots=200, name=name)
        axes, names = [(0.0, 0.6, 0.8), (1.0, 0.0, 0.0)], ("kappa", "omega")
        true = Goniometer.multi_axis(axes, (kappa, 0.0), names, 1)
        predicted = predict_all(base.experiment.evolve(goniometer=true, crystal=truth), d_min=2.5, padding=0.0)
        rows = np.random.default_rng(0).permutation(len(predicted))[:200]
        table = base.table.select(np.arange(len(rows)) % len(base.table))
        xyz = predicted.xyz_px[rows]
        table["xyzobs.px.value"] = xyz
        corner = np.floor(xyz).astype(np.int32)
        table["bbox"] = np.column_stack([x for k in range(3) for x in (corner[:, k] - 1, corner[:, k] + 2)])
        recorded = Goniometer.multi_axis(axes, (recorded_sign * kappa, 0.0), names, 1)
        experiment = base.experiment.evolve(goniometer=recorded)
        sweeps.append(SyntheticSweep(experiment, (Crystal.from_A(truth.A),), table, np.zeros(200), np.zeros((200, 3))))
    return sweeps


def test_a_wrong_sign_in_the_goniometers_record_is_named() -> None:
    sweeps = split_sweeps(*join(two_settings(-1.0)), Params().indexing)
    results = [index_sweeps([s], Params().indexing) for s in sweeps]
    assert "kappa turned the other way" in explain_disagreement(sweeps, results)
    _, _, summary = index(two_settings(1.0))
    assert summary["joint"], summary["joint_reason"]


def test_different_crystals_are_not_blamed_on_the_goniometer() -> None:
    sweeps = [make_sweep(1, CUBIC_I, n_spots=120, name="a"), make_sweep(2, CUBIC_I, n_spots=120, name="b")]
    _, _, summary = index(sweeps)
    assert "goniometer" not in summary["joint_reason"]
