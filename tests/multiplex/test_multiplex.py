"""Whole runs on generated wedges: groups, faults that are easy to get wrong, decisions, reruns."""

from __future__ import annotations

import csv
from pathlib import Path

import gemmi
import numpy as np
import pytest
from wedges import Lattice, Wedge, crystal, joined

from mxdask.errors import MxdaskError
from mxdask.flow import Flow
from mxdask.models import Experiment, ExperimentList
from mxdask.multiplex.params import Params
from mxdask.multiplex.run import Result, multiplex
from mxdask.params import parse
from mxdask.table import ReflectionTable

LATTICE = Lattice(d_min=3.5, difference=0.25)
OTHER = Lattice(cell=(60.0, 60.0, 110.0, 90.0, 90.0, 90.0), space_group="P 4", d_min=4.5, seed=2)
SPECIES = {f"x{i:03d}": i % 2 for i in range(12)}


def inputs() -> list[tuple[Experiment, ReflectionTable]]:
    """Twelve crystals of two species; one with a cell 1.5 % off, one of another protein, one sweep twice, one empty."""
    parts = [crystal(LATTICE, Wedge(species=i % 2), i) for i in range(12)]
    parts.append(crystal(LATTICE, Wedge(cell=1.015), 20))
    parts.append(crystal(OTHER, Wedge(), 30))
    experiment, table = parts[3]
    parts.append(
        (experiment.evolve(identifier="again", imageset=parts[12][0].imageset.__class__("/y/z_again_#.cbf")), table)
    )
    empty = Experiment("empty", parts[0][0].imageset.__class__("/y/empty_#.cbf"), experiment.beam, scan=experiment.scan)
    parts.append((empty, table.select(np.zeros(0, dtype=int))))
    return parts


def run(parts: list[tuple[Experiment, ReflectionTable]], out: Path, *words: str) -> Result:
    experiments, table = joined(parts)
    params = parse(Params, list(words))
    assert isinstance(params, Params)
    out.mkdir(parents=True, exist_ok=True)
    with Flow("sync") as flow:
        return multiplex(experiments, table, params, out, flow)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    out = tmp_path_factory.mktemp("multiplex")
    return out, run(inputs(), out)


def fates(result: Result) -> dict[str, tuple[str, str]]:
    return {d.crystal: (d.fate, d.group) for d in result.decisions}


def test_species_are_groups(done: tuple[Path, Result]) -> None:
    found = fates(done[1])
    assert {found[name][0] for name in SPECIES} == {"kept"}
    by_species = [{found[n][1] for n, s in SPECIES.items() if s == species} for species in (0, 1)]
    assert [len(groups) for groups in by_species] == [1, 1]
    assert by_species[0] != by_species[1]


def test_what_is_easy_to_get_wrong_is_named(done: tuple[Path, Result]) -> None:
    decisions = {d.crystal: d for d in done[1].decisions}
    assert decisions["x020"].fate == "other cell" and "+1.5 %" in decisions["x020"].reason
    assert decisions["x030"].fate == "other cell" and decisions["x030"].form != decisions["x020"].form
    twice = decisions["z_again"], decisions["x003"]
    assert sorted(d.fate for d in twice) == ["duplicate", "kept"]
    assert decisions["empty"].fate == "unusable" and "nothing was indexed" in decisions["empty"].reason


def test_each_group_is_merged_in_its_folder(done: tuple[Path, Result]) -> None:
    out, result = done
    flags = []
    for dataset in result.datasets:
        mtz = gemmi.read_mtz_file(str(out / dataset.name / "merged.mtz"))
        hkl = mtz.make_miller_array()
        flags.append(dict(zip(map(tuple, hkl.tolist()), mtz.column_with_label("FreeR_flag").array, strict=True)))
        assert (out / dataset.name / "scaled.expt").exists() and (out / dataset.name / "scaled.refl").exists()
    common = flags[0].keys() & flags[1].keys()
    assert len(common) > 300
    assert all(flags[0][h] == flags[1][h] for h in common)
    mixture = result.mixtures[1]
    assert all(d.overall["Rmeas"] < 0.7 * mixture.overall["Rmeas"] for d in result.datasets)


def test_rerun_does_nothing_again(done: tuple[Path, Result]) -> None:
    out, result = done
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.*") if p.suffix in (".mtz", ".refl", ".expt")}
    again = run(inputs(), out)
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert again.decisions == result.decisions


def test_order_of_crystals_does_not_matter(done: tuple[Path, Result], tmp_path: Path) -> None:
    shuffled = inputs()
    np.random.default_rng(0).shuffle(shuffled)  # type: ignore[arg-type]
    result = run(shuffled, tmp_path)
    assert result.decisions == done[1].decisions
    for dataset in result.datasets:
        theirs, ours = (
            gemmi.read_mtz_file(str(folder / dataset.name / "merged.mtz")).array for folder in (done[0], tmp_path)
        )
        np.testing.assert_array_equal(theirs, ours)


def test_decisions_are_honoured(done: tuple[Path, Result], tmp_path: Path) -> None:
    rows = list(csv.DictReader((done[0] / "decisions.csv").open()))
    group = {r["crystal"]: r["group"] for r in rows}
    words = {"x000": "drop", "x001": f"pin:{group['x002']}", "x004": "pin:mine", "x005": "pin:mine"}
    for row in rows:
        row["user"] = words.get(row["crystal"], "")
    with (tmp_path / "decisions.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    result = run(inputs(), tmp_path)
    found = fates(result)
    assert found["x000"] == ("dropped", "")
    assert found["x001"][1] == found["x002"][1] != found["x003"][1]
    assert found["x004"] == found["x005"] == ("kept", "mine")
    assert "cluster_mine" in {d.name for d in result.datasets}
    assert {d.crystal: d.user for d in result.decisions if d.user} == words


def test_images_that_disagree_are_left_out(tmp_path: Path) -> None:
    parts = [crystal(LATTICE, Wedge(bad_images=0.5 if i == 4 else 0.0), i) for i in range(8)]
    result = run(parts, tmp_path, "filtering.deltacchalf.max_percent_removed=20")
    reasons = {d.crystal: d.reason for d in result.decisions}
    (dataset,) = result.datasets
    ranges = dataset.trimmed["x004"]
    assert {n for a, b in ranges for n in range(a, b + 1)} >= set(range(31, 51))
    assert all(a > 10 for a, _ in ranges)
    assert "left out by ΔCC½" in reasons["x004"]
    assert set(dataset.trimmed) == {"x004"}


def test_no_usable_crystal_is_an_error_with_reasons(tmp_path: Path) -> None:
    with pytest.raises(MxdaskError, match=r"no crystal is left.*empty: it has no crystal"):
        run([inputs()[-1]], tmp_path)
    assert (tmp_path / "decisions.csv").exists()


def test_wedges_are_as_described() -> None:
    experiments, table = joined(inputs()[:2])
    assert isinstance(experiments, ExperimentList) and len(table) > 300
