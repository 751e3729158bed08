"""Hidden settings of generated crystals are found, whatever the order and the number of workers."""

from __future__ import annotations

import json
from pathlib import Path

import gemmi
import numpy as np
import pytest
from synthetic import Fake, fake_crystals, hidden_split_found

from mxdask.cosym.params import Landmarks, Params
from mxdask.cosym.step import run
from mxdask.errors import FileError, MxdaskError, ParameterError
from mxdask.flow import Flow
from mxdask.intensity.asu import unpack
from mxdask.intensity.merged_set import canonical_keys
from mxdask.io.expt import write_expt
from mxdask.io.refl import write_refl
from mxdask.lattice.operators import point_group
from mxdask.models.experiment import ExperimentList
from mxdask.table import ReflectionTable


def solve(fake: Fake, **values: object) -> tuple[ExperimentList, ReflectionTable, dict]:
    with Flow("sync") as flow:
        return run(fake.experiments, fake.reflections, Params(**values), flow=flow)


def spread_of_equivalents(experiments: ExperimentList, table: ReflectionTable) -> float:
    """Correlation of intensities of equivalent reflections of different crystals, in the final setting."""
    crystal = experiments[0].crystal
    assert crystal is not None
    keys = canonical_keys(table["miller_index"], point_group(crystal.space_group))
    value = table["intensity.prf.value"].copy()
    for i in range(len(experiments)):
        value[table["id"] == i] /= value[table["id"] == i].mean()
    _, group = np.unique(keys, return_inverse=True)
    n = np.bincount(group)
    mean = np.bincount(group, value) / n
    several = n[group] > 2
    others = (mean[group] * n[group] - value) / np.maximum(n[group] - 1, 1)
    return float(np.corrcoef(value[several], others[several])[0, 1])


@pytest.mark.parametrize(("n", "seed"), [(2, 5), (6, 1), (12, 2), (25, 3), (50, 4)])
def test_cubic_split_is_recovered(n: int, seed: int) -> None:
    fake = fake_crystals(n, seed=seed, d_min=4.0, noise=0.1, wedge=30.0 if n < 6 else 10.0)
    experiments, table, summary = solve(fake)
    assert summary["patterson_group"] == "I m -3"
    assert summary["probability"] > 0.95
    assert len(experiments) == n
    assert hidden_split_found(summary, fake.hidden) == 1.0
    assert spread_of_equivalents(experiments, table) > 0.9
    for experiment in experiments:
        assert experiment.crystal is not None
        assert experiment.crystal.cell == pytest.approx([78, 78, 78, 90, 90, 90], abs=1e-6)
    json.dumps(summary)


@pytest.mark.parametrize(
    ("space_group", "cell", "patterson"),
    [
        ("P 3", (60, 60, 70, 90, 90, 120), "P -3"),
        ("P 4", (60, 60, 80, 90, 90, 90), "P 4/m"),
        ("P 1 2 1", (50, 60, 70, 90, 90, 90), "P 1 2/m 1"),
        ("P 4 2 2", (60, 60, 80, 90, 90, 90), "P 4/m m m"),
        ("P 1", (60, 60, 60, 90, 90, 90), "P -1"),
    ],
)
def test_other_ambiguities(space_group: str, cell: tuple[float, ...], patterson: str) -> None:
    fake = fake_crystals(16, cell=cell, space_group=space_group, d_min=4.0, wedge=20.0, noise=0.1, seed=7)
    experiments, table, summary = solve(fake)
    assert summary["patterson_group"] == patterson
    assert hidden_split_found(summary, fake.hidden) == 1.0
    assert spread_of_equivalents(experiments, table) > 0.9


def test_known_space_group_resolves_only_the_ambiguity() -> None:
    fake = fake_crystals(12, seed=2)
    experiments, table, summary = solve(fake, space_group="I213")
    assert summary["space_group"] == "I 21 3"
    assert hidden_split_found(summary, fake.hidden) == 1.0
    assert spread_of_equivalents(experiments, table) > 0.9


def test_known_group_that_is_not_normal() -> None:
    fake = fake_crystals(12, cell=(60, 60, 60, 90, 90, 90), space_group="P 4 2 2", wedge=20.0, seed=9)
    experiments, table, summary = solve(fake, space_group="P 4 2 2")
    assert hidden_split_found(summary, fake.hidden) == 1.0
    assert spread_of_equivalents(experiments, table) > 0.9


def test_order_of_crystals_and_workers_change_nothing() -> None:
    fake = fake_crystals(10, seed=11)
    _, _, straight = solve(fake)
    order = np.random.default_rng(0).permutation(10)
    mixed = ExperimentList([fake.experiments[i] for i in order])
    with Flow("threads", n_workers=2) as flow:
        _, _, summary = run(mixed, fake.reflections, Params(), flow=flow)
    rows = {row["identifier"]: row for row in straight["rows"]}
    same = [rows[row["identifier"]]["class"] == row["class"] for row in summary["rows"]]
    assert all(same) or not any(same)
    for row in summary["rows"]:
        assert row["mean_cc"] == pytest.approx(rows[row["identifier"]]["mean_cc"], abs=1e-5)


def test_identifiers_and_order_do_not_change_a_bit() -> None:
    """Two imports draw other identifiers, and files may be named in any order."""
    fake = fake_crystals(10, seed=11)
    _, _, straight = solve(fake)
    order = np.random.default_rng(1).permutation(10)
    renamed = [fake.experiments[i].evolve(identifier=f"new-{i}") for i in order]
    table = fake.reflections.copy()
    table.identifiers = {i: f"new-{i}" for i in range(10)}
    with Flow("threads", n_workers=2) as flow:
        _, _, mixed = run(ExperimentList(renamed), table, Params(), flow=flow)
    for row, i in zip(mixed["rows"], order, strict=True):
        other = straight["rows"][i]
        assert {k: v for k, v in row.items() if k not in ("identifier", "sweep")} == {
            k: v for k, v in other.items() if k not in ("identifier", "sweep")
        }
    assert mixed["functional"] == straight["functional"]


def test_same_input_gives_the_same_bits() -> None:
    fake = fake_crystals(8, seed=12)
    assert json.dumps(solve(fake)[2]) == json.dumps(solve(fake)[2])


@pytest.mark.parametrize("landmarks", [20, 4])
def test_a_crystal_that_agrees_with_no_other_is_named(landmarks: int, caplog: pytest.LogCaptureFixture) -> None:
    fake = fake_crystals(10, seed=13, wedge=20.0)
    rng, table = np.random.default_rng(0), fake.reflections
    noise = np.flatnonzero(table["id"] == 4)
    for kind in ("prf", "sum"):
        value = table[f"intensity.{kind}.value"].copy()
        value[noise] = rng.permutation(value[noise])
        table[f"intensity.{kind}.value"] = value
    _, _, summary = solve(fake, landmarks={"above": landmarks, "number": 4})
    rows = summary["rows"]
    assert "setting is a guess" in rows[4]["reason"]
    assert [r["reason"] for r in rows if r is not rows[4]] == [""] * 9
    assert "its setting is a guess" in caplog.text
    assert hidden_split_found({**summary, "rows": rows[:4] + rows[5:]}, np.delete(fake.hidden, 4)) == 1.0


def test_weak_crystal_is_placed_and_foreign_and_empty_ones_are_named() -> None:
    fake = fake_crystals(8, seed=13, wedge=20.0)
    table = fake.reflections
    weak = np.flatnonzero(table["id"] == 3)
    value = table["intensity.prf.value"].copy()
    sigma = value[weak].mean()
    value[weak] += sigma * np.random.default_rng(0).normal(size=len(weak))
    for kind in ("prf", "sum"):
        table[f"intensity.{kind}.value"] = value
        variance = table[f"intensity.{kind}.variance"].copy()
        variance[weak] += sigma**2
        table[f"intensity.{kind}.variance"] = variance
    few = np.flatnonzero(table["id"] == 5)[5:]
    keep = np.ones(len(table), dtype=bool)
    keep[few] = False
    experiments = list(fake.experiments)
    other = experiments[6].crystal
    assert other is not None
    experiments[6] = experiments[6].evolve(crystal=other.change_basis(np.diag([1.0, 1.0, 1.3])))
    with Flow("sync") as flow:
        found, _, summary = run(ExperimentList(experiments), table.select(keep), Params(), flow=flow)
    assert len(found) == 6
    assert [row["status"] for row in summary["rows"]] == ["ok"] * 5 + ["skipped", "skipped", "ok"]
    assert "5 usable reflections" in summary["rows"][5]["reason"]
    assert "cell" in summary["rows"][6]["reason"]
    placed = [0, 1, 2, 3, 4, 7]
    classes = np.array([summary["rows"][i]["class"] for i in placed])
    assert all(len(set(fake.hidden[placed][classes == c])) == 1 for c in set(classes))


def test_landmarks_place_the_others() -> None:
    fake = fake_crystals(40, seed=14, wedge=15.0)
    _, _, summary = solve(fake, landmarks=Landmarks(above=20, number=15))
    assert len(summary["coordinates"]["crystals"]) == 15
    assert hidden_split_found(summary, fake.hidden) == 1.0


def test_crystals_take_the_setting_of_a_reference(tmp_path: Path) -> None:
    fake = fake_crystals(10, seed=15)
    experiments, table, _ = solve(fake)
    crystal = experiments[0].crystal
    assert crystal is not None
    keys = canonical_keys(table["miller_index"], point_group(crystal.space_group))
    unique, group = np.unique(keys, return_inverse=True)
    mean = np.bincount(group, table["intensity.prf.value"]) / np.bincount(group)
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup, mtz.cell = crystal.space_group, gemmi.UnitCell(*crystal.cell)
    mtz.add_dataset("x")
    mtz.add_column("IMEAN", "J")
    mtz.set_data(np.column_stack([unpack(unique), mean]).astype(np.float32))
    mtz.write_to_file(str(tmp_path / "reference.mtz"))
    again, _, summary = solve(fake, reference=str(tmp_path / "reference.mtz"))
    assert summary["space_group"] == "I 2 3"
    assert hidden_split_found(summary, fake.hidden) == 1.0
    for one, other in zip(experiments, again, strict=True):
        assert one.crystal is not None
        assert other.crystal is not None
        quotient = np.linalg.inv(one.crystal.A) @ other.crystal.A
        assert any(np.allclose(quotient, W, atol=1e-2) for W in point_group(crystal.space_group))
    with pytest.raises(FileError, match="no such file"):
        solve(fake, reference="nothing.mtz")


def test_space_group_that_does_not_fit() -> None:
    with pytest.raises(ParameterError, match="does not fit"):
        solve(fake_crystals(3, seed=1), space_group="P6")


def test_no_reflections() -> None:
    fake = fake_crystals(2, seed=1)
    with Flow("sync") as flow, pytest.raises(MxdaskError, match="no reflections"):
        run(fake.experiments, None, Params(), flow=flow)


def test_reference_of_experiments_and_reflections(tmp_path: Path) -> None:
    fake = fake_crystals(8, seed=15)
    experiments, table, _ = solve(fake)
    write_expt(tmp_path / "known.expt", experiments)
    write_refl(tmp_path / "known.refl", table)
    again, _, summary = solve(fake, reference=str(tmp_path / "known.expt"), cc_weights="sigma")
    assert summary["space_group"] == "I 2 3"
    for one, other in zip(experiments, again, strict=True):
        assert one.crystal is not None
        assert other.crystal is not None
        quotient = np.linalg.inv(one.crystal.A) @ other.crystal.A
        assert any(np.allclose(quotient, W, atol=1e-2) for W in point_group(one.crystal.space_group))
    (tmp_path / "known.refl").unlink()
    with pytest.raises(FileError, match=r"known.refl is missing"):
        solve(fake, reference=str(tmp_path / "known.expt"))
