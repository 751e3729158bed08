"""The step: tables and experiments it writes, failures, two passes, one crystal or several."""

from __future__ import annotations

import json

import numpy as np
import pytest
from synthetic_spots import CUBIC_I, CUBIC_I_PRIMITIVE, TRICLINIC, SyntheticSweep, join, make_sweep

from mxdask.errors import MxdaskError
from mxdask.flow import Flow
from mxdask.index.known_symmetry import match_cell, primitive_rows
from mxdask.index.lattices import smallest_rotation
from mxdask.index.params import Params
from mxdask.index.step import run
from mxdask.lattice.metric import lattice_group
from mxdask.models import Crystal, ExperimentList
from mxdask.models.crystal import cell_parameters
from mxdask.params import parse
from mxdask.table import Flag, ReflectionTable


def index(sweeps: list[SyntheticSweep], *words: str) -> tuple[ExperimentList, ReflectionTable, dict]:
    with Flow("sync") as flow:
        return run(*join(sweeps), parse(Params, words), flow=flow)


def misorientation(crystal: Crystal, truth: Crystal) -> float:
    """Degrees; 180 if the lattices differ."""
    rows, goal = primitive_rows(crystal), primitive_rows(truth)
    P = match_cell(rows, goal, 0.02, 1.0)
    return 180.0 if P is None else smallest_rotation(P @ rows, goal, lattice_group(cell_parameters(goal), 0.1))


@pytest.mark.parametrize("crystal", [CUBIC_I, TRICLINIC])
@pytest.mark.parametrize("beam_error", [0.0, 3.0])
def test_a_narrow_wedge_without_prior_knowledge(crystal: tuple, beam_error: float) -> None:
    sweep = make_sweep(21, crystal, n_spots=150, beam_error_px=beam_error)
    experiments, _, summary = index([sweep])
    assert len(experiments) == 1
    assert misorientation(experiments[0].crystal, sweep.truth[0]) < 0.2
    of_lattice = np.count_nonzero(sweep.lattice >= 0)
    assert summary["n_indexed"] > 0.95 * of_lattice
    assert max(summary["rows"][0]["rmsd"][:2]) < 0.3
    np.testing.assert_allclose(
        np.sort(experiments[0].crystal.cell[:3]),
        np.sort(np.linalg.norm(primitive_rows(sweep.truth[0]), axis=1)), rtol=0.01,
    )  # fmt: skip


@pytest.mark.parametrize("known", [["unit_cell=67,67,67,109,109,109"], ["space_group=I213"],
                                   ["unit_cell=78.5,78.5,78.5,90,90,90", "space_group=I213"]])  # fmt: skip
def test_known_symmetry(known: list[str]) -> None:
    sweep = make_sweep(5, n_spots=100, beam_error_px=2.0)
    experiments, _, _ = index([sweep], *known)
    crystal = experiments[0].crystal
    assert misorientation(crystal, sweep.truth[0]) < 0.2
    if len(known) == 2 or "space_group" in known[0]:
        assert crystal.space_group.hm == "I 21 3"
        np.testing.assert_allclose(crystal.cell, CUBIC_I[0], rtol=2e-3)


def test_two_lattices_in_one_sweep() -> None:
    sweep = make_sweep(3, n_spots=250, n_lattices=2)
    experiments, table, summary = index([sweep], "max_lattices=2")
    assert len(experiments) == 2
    a, b = experiments
    assert a.beam is b.beam
    assert a.detector is b.detector
    assert a.imageset is b.imageset
    assert a.crystal is not b.crystal
    for crystal in (a.crystal, b.crystal):
        assert min(misorientation(crystal, t) for t in sweep.truth) < 0.3
    assert set(np.unique(table["id"])) == {-1, 0, 1}
    assert summary["rows"][0]["n_lattices"] == 2
    assert len(index([make_sweep(4, n_spots=250)], "max_lattices=2")[0]) == 1


def crystals_and_noise() -> list[SyntheticSweep]:
    sweeps = [make_sweep(40 + i, n_spots=120, name=f"sweep_{i}") for i in range(3)]
    blank = make_sweep(50, n_spots=5, foreign=0.0, name="blank")
    noise = make_sweep(51, n_spots=40, foreign=0.0, name="noise")
    xyz = np.random.default_rng(1).uniform((0, 0, 0), (1030, 1065, 50), size=(len(noise.table), 3))
    noise.table["xyzobs.px.value"] = xyz
    return [sweeps[0], blank, sweeps[1], noise, sweeps[2]]


def test_failures_are_rows_and_everything_stays_in_order() -> None:
    sweeps = crystals_and_noise()
    experiments, table, summary = index(sweeps)
    json.dumps(summary)
    assert [r["status"] for r in summary["rows"]] == ["ok", "failed", "ok", "failed", "ok"]
    assert "fewer than 10" in summary["rows"][1]["reason"]
    assert summary["rows"][3]["reason"]
    assert [e.name for e in experiments] == ["sweep_0", "sweep_1", "sweep_2"]
    assert len(table) == sum(len(s.table) for s in sweeps)
    assert np.all(np.diff(table["imageset_id"]) >= 0)
    sweep_of_experiment = np.array([0, 2, 4])
    indexed = table["id"] >= 0
    assert np.array_equal(sweep_of_experiment[table["id"][indexed]], table["imageset_id"][indexed])
    assert set(table["imageset_id"][~indexed]) >= {1, 3}
    for k in range(5):  # unindexed spots behind the indexed ones of each sweep
        assert np.all(np.diff((table["id"][table["imageset_id"] == k] < 0).astype(int)) >= 0)
    assert table.identifiers == {i: e.identifier for i, e in enumerate(experiments)}
    assert len({e.identifier for e in experiments} | {s.experiment.identifier for s in sweeps}) == 8
    assert np.array_equal(indexed, table.has_flags(Flag.INDEXED))
    assert np.array_equal(indexed, np.any(table["miller_index"] != 0, axis=1))
    for name in ("rlp", "s1", "entering", "xyzobs.mm.value", "xyzobs.mm.variance", "xyzcal.mm", "xyzcal.px"):
        assert name in table
    used = table.has_flags(Flag.USED_IN_REFINEMENT)
    assert np.abs(table["xyzcal.px"] - table["xyzobs.px.value"])[used].max() < 2.0


def test_the_number_of_workers_does_not_matter() -> None:
    sweeps = [make_sweep(60 + i, n_spots=80, name=f"s{i}") for i in range(3)]
    results = []
    for options in ({"scheduler": "sync"}, {"scheduler": "threads", "n_workers": 2}):
        with Flow(**options) as flow:
            results.append(run(*join(sweeps), Params(), flow=flow))
    (ea, ta, _), (eb, tb, _) = results
    for a, b in zip(ea, eb, strict=True):
        assert np.array_equal(a.crystal.A, b.crystal.A)
    assert all(np.array_equal(ta[name], tb[name]) for name in ta)


def test_the_order_of_spots_does_not_matter() -> None:
    sweep = make_sweep(70, n_spots=120)
    order = np.random.default_rng(0).permutation(len(sweep.table))
    shuffled = SyntheticSweep(
        sweep.experiment, sweep.truth, sweep.table.select(order), sweep.lattice[order], sweep.hkl[order]
    )
    a, b = index([sweep])[0][0].crystal, index([shuffled])[0][0].crystal
    assert misorientation(a, b) < 1e-3
    np.testing.assert_allclose(a.cell, b.cell, rtol=1e-4)


def test_second_pass_brings_the_weak_one_home() -> None:
    sweeps = [make_sweep(80 + i, n_spots=150, name=f"strong_{i}") for i in range(4)]
    sweeps.insert(2, make_sweep(90, n_spots=18, foreign=0.45, wedge=2.0, name="weak"))
    experiments, _, summary = index(sweeps, "joint=false")
    assert summary["n_sweeps_indexed"] == 5
    np.testing.assert_allclose(summary["consensus_cell"], CUBIC_I_PRIMITIVE, rtol=5e-3)
    assert misorientation(experiments[2].crystal, sweeps[2].truth[0]) < 1.0


def one_crystal_in_two_sweeps(slip: float) -> list[SyntheticSweep]:
    """The same crystal twice, from other starting angles; in the second it has slipped by some degrees."""
    from mxdask.geometry.predict_all import predict_all
    from mxdask.models import rotation_matrix

    first = make_sweep(33, TRICLINIC, n_spots=150, name="a")
    second = make_sweep(34, TRICLINIC, n_spots=150, name="b")
    turned = rotation_matrix((0.0, 1.0, 0.0), np.deg2rad(slip)) @ first.truth[0].A
    predicted = predict_all(second.experiment.evolve(crystal=Crystal.from_A(turned)), d_min=2.5, padding=0.0)
    rows = np.random.default_rng(0).permutation(len(predicted))[:150]
    table = second.table.select(np.arange(len(rows)) % len(second.table))
    xyz = predicted.xyz_px[rows] + np.random.default_rng(1).normal(size=(len(rows), 3)) * 0.1
    table["xyzobs.px.value"] = xyz
    corner = np.floor(xyz).astype(np.int32)
    table["bbox"] = np.column_stack([x for k in range(3) for x in (corner[:, k] - 1, corner[:, k] + 2)])
    zeros = np.zeros(len(rows), dtype=int)
    return [first, SyntheticSweep(second.experiment, first.truth, table, zeros, predicted.miller_index[rows])]


def test_one_crystal_in_two_sweeps_is_recognised() -> None:
    sweeps = one_crystal_in_two_sweeps(0.0)
    experiments, _, summary = index(sweeps)
    assert summary["joint"], summary["joint_reason"]
    assert experiments[0].crystal is experiments[1].crystal
    assert experiments[0].identifier != experiments[1].identifier
    assert misorientation(experiments[0].crystal, sweeps[0].truth[0]) < 0.2
    separate, _, summary = index(sweeps, "joint=false")
    assert not summary["joint"]
    assert separate[0].crystal is not separate[1].crystal
    # The same choice of indices, although they were indexed apart.
    assert np.abs(np.linalg.inv(separate[0].crystal.A) @ separate[1].crystal.A - np.eye(3)).max() < 0.02


def test_different_crystals_are_not_joined() -> None:
    _, _, summary = index([make_sweep(1, n_spots=120, name="a"), make_sweep(2, n_spots=120, name="b")])
    assert not summary["joint"]
    assert "differ by" in summary["joint_reason"]


def test_known_orientation_is_only_refined() -> None:
    sweep = make_sweep(12, n_spots=150)
    first, table, _ = index([sweep])
    with Flow("sync") as flow:
        again, table_again, summary = run(first, table, Params(), flow=flow)
    assert summary["rows"][0]["method"] == "known orientation"
    assert misorientation(again[0].crystal, first[0].crystal) < 0.02
    assert len(table_again) == len(table)
    assert summary["n_indexed"] >= 0.98 * np.count_nonzero(table["id"] >= 0)


def test_imageset_numbers_of_dials_separate_indexing() -> None:
    sweeps = [make_sweep(60 + i, n_spots=80, name=f"s{i}") for i in range(2)]
    experiments, table, _ = index(sweeps, "joint=false")
    broken = table.copy()
    broken["imageset_id"] = np.zeros(len(table))
    with Flow("sync") as flow:
        _, again, _ = run(experiments, broken, parse(Params, ["joint=false"]), flow=flow)
    assert np.bincount(again["imageset_id"]).tolist() == [len(s.table) for s in sweeps]


def test_bad_input_is_told_in_one_line() -> None:
    sweep = make_sweep(1)
    experiments, table = join([sweep])
    with Flow("sync") as flow:
        with pytest.raises(MxdaskError, match=r"give the \.refl file"):
            run(experiments, None, Params(), flow=flow)
        bare = table.copy()
        del bare["panel"]
        with pytest.raises(MxdaskError, match="no column 'panel'"):
            run(experiments, bare, Params(), flow=flow)
        with pytest.raises(MxdaskError, match="real_space_grid_search needs unit_cell"):
            run(experiments, table, parse(Params, ["method=real_space_grid_search"]), flow=flow)


@pytest.mark.dials
def test_dials_refines_what_is_written(dials: object, tmp_path: object) -> None:
    from mxdask.io.expt import write_expt
    from mxdask.io.refl import write_refl

    experiments, table, _ = index([make_sweep(21, n_spots=300, foreign=0.1)])
    write_expt(tmp_path / "indexed.expt", experiments)
    write_refl(tmp_path / "indexed.refl", table)
    out = dials("refine", "indexed.expt", "indexed.refl", "scan_varying=False", cwd=tmp_path)
    assert "RMSDs by experiment" in out
