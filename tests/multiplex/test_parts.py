"""The parts by hand-checked numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from wedges import Lattice, Wedge, crystal, crystals, joined

from mxdask.errors import FileError
from mxdask.intensity.observations import Filters, select_observations
from mxdask.models import ExperimentList
from mxdask.multiplex.correlation_params import Params as CorrelationParams
from mxdask.multiplex.correlation_run import analyse
from mxdask.multiplex.crystals import by_crystal, in_order
from mxdask.multiplex.decisions import Decision, Wishes, read_wishes, write_decisions
from mxdask.multiplex.duplicates import find_duplicates
from mxdask.multiplex.filtering import chi_squared, image_groups
from mxdask.multiplex.forms import LARGEST_GAP, LEAST_GAP, find_forms, usual_gap
from mxdask.multiplex.grouping import Grouping, honour
from mxdask.multiplex.kept import Stages, stage_key
from mxdask.multiplex.notes import too_weak, unusual
from mxdask.multiplex.params import DeltaCCHalf, Params, seeded
from mxdask.params import parse
from mxdask.table import ReflectionTable

LATTICE = Lattice(d_min=5.0)


def test_gap_follows_the_scatter_of_cells() -> None:
    rng = np.random.default_rng(1)
    precise = np.concatenate([rng.normal(0, 1e-4, 20), rng.normal(0.015, 1e-4, 3)])
    rough = rng.normal(0, 5e-3, 20)
    far = rng.normal(0, 0.5, 20)
    gaps = [usual_gap(pdist(v[:, None], "chebyshev"), len(v)) for v in (precise, rough, far)]
    assert gaps[0] == LEAST_GAP
    assert LEAST_GAP < gaps[1] < LARGEST_GAP
    assert gaps[2] == LARGEST_GAP


def test_forms_of_two_cells_are_both_kept() -> None:
    experiments, _ = crystals(LATTICE, [Wedge(cell=c) for c in (1.0, 1.001, 1.016, 0.999, 1.015)])
    forms = find_forms(experiments, None)
    assert [f.members for f in forms.forms] == [(0, 1, 3), (2, 4)]
    assert [f.members for f in find_forms(experiments, 5000.0).forms] == [(0, 1, 2, 3, 4)]


def test_duplicates_by_noise_not_by_orientation() -> None:
    """The same images under another name and in another setting; but not a second measurement of the same crystal."""
    first = crystal(LATTICE, Wedge(), 1)
    operator = next(op for op in LATTICE.cosets if not np.array_equal(op, np.eye(3)))
    turned = first[1].copy()
    turned["miller_index"] = turned["miller_index"] @ operator.astype(int).T
    same = first[0].evolve(identifier="b", crystal=first[0].crystal.change_basis(operator)), turned
    noise = first[1].copy()
    sigma = np.sqrt(noise["intensity.sum.variance"])
    noise["intensity.sum.value"] = noise["intensity.sum.value"] + 2 * sigma * np.random.default_rng(2).normal(
        size=len(noise)
    )
    measured_again = first[0].evolve(identifier="c"), noise
    parts = [first, same, measured_again, crystal(LATTICE, Wedge(), 2)]
    experiments, table = joined(parts)
    assert find_duplicates(experiments, by_crystal(table, 4), [0, 1, 2, 3]) == {1: 0}


def test_crystals_have_one_order_and_unique_names() -> None:
    parts = [crystal(LATTICE, Wedge(), i, name=f"/data/{f}/sweep_####.cbf") for i, f in enumerate("ba")]
    parts.append(crystal(LATTICE, Wedge(), 7, name="/data/a/sweep_####.cbf"))
    _, tables, who = in_order(*joined(parts))
    assert [c.name for c in who] == ["a/sweep", "a/sweep_2", "b/sweep"]
    _, _, other = in_order(*joined(parts[::-1]))
    assert [(c.name, c.key) for c in other] == [(c.name, c.key) for c in who]
    assert [len(t) for t in tables] == [c.n_reflections for c in who]


def test_image_groups_cover_every_image_once() -> None:
    experiments, table = crystals(LATTICE, [Wedge()], n_images=47)
    observations = select_observations(table, "prf", Filters())
    groups = image_groups(experiments, observations, DeltaCCHalf())
    assert list(zip(groups.first, groups.last, strict=True)) == [(1, 10), (11, 20), (21, 30), (31, 47)]
    image = np.floor(observations.xyz[:, 2]) + 1
    assert np.all((groups.first[groups.of] <= image) & (image <= groups.last[groups.of]))


def test_chi_squared_against_loops() -> None:
    rng = np.random.default_rng(3)
    reflection, group = rng.integers(0, 6, 40), rng.integers(0, 4, 40)
    value, variance = rng.normal(size=40), rng.uniform(0.5, 2, 40)
    sums, counts = np.zeros(4), np.zeros(4)
    for i in range(40):
        others = (reflection == reflection[i]) & (np.arange(40) != i)
        if others.any():
            w = 1 / variance[others]
            mean = (w * value[others]).sum() / w.sum()
            sums[group[i]] += (value[i] - mean) ** 2 / (variance[i] + 1 / w.sum())
            counts[group[i]] += 1
    np.testing.assert_allclose(chi_squared(reflection, group, value, variance, 4), sums / counts)


def test_decisions_survive_a_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"
    write_decisions(
        path,
        [
            Decision("a", "id-a", "1", "kept", "2", 'why, "so"', "drop"),
            Decision("b", "id-b", "1", "kept", "2", "", "pin:7"),
        ],
    )
    wishes = read_wishes(path, [("renamed", "id-a"), ("b", "other")])
    assert wishes.drop == {"renamed"} and wishes.pin == {"b": "7"}
    assert wishes.groups == {"2": {"renamed", "b"}}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("crystal,user\na,remove\n", "line 2: user='remove' is not a decision"),
        ("name,fate\na,kept\n", "needs the columns crystal and user"),
        ("crystal,user\na,pin:\n", "is not a decision"),
    ],
)
def test_bad_decisions_are_named(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "decisions.csv"
    path.write_text(text)
    with pytest.raises(FileError, match=complaint):
        read_wishes(path, [("a", "id")])


def test_kept_crystals_join_the_group_they_resemble() -> None:
    similarity = np.array([[1, 0.9, 0, 0.1], [0.9, 1, 0, 0.1], [0, 0, 1, 0.5], [0.1, 0.1, 0.5, 1.0]])
    grouping = Grouping(
        [1, 1, 2, 0], ["", "", "", "unlike"], np.zeros((4, 1)), np.zeros((3, 4)), similarity, np.full((4, 4), 0.1)
    )
    groups, reasons = honour(grouping, list("abcd"), Wishes(keep=frozenset("d")))
    assert groups == ["1", "1", "2", "2"] and "unlike" in reasons[3]
    assert Grouping.from_dict(grouping.to_dict()).labels == grouping.labels


def test_unusual_crystals_are_remarked_on() -> None:
    rows = [{"I_over_sigma": 10 + 0.1 * i, "Rmerge": 0.08 + 0.001 * i, "B": 0.2 * i} for i in range(9)]
    rows += [{"I_over_sigma": 0.5, "Rmerge": 0.5, "B": 1.0}, {"I_over_sigma": 9.5, "Rmerge": 0.3, "B": 25.0}]
    remarks = unusual(rows)
    assert remarks[:9] == [""] * 9
    assert too_weak(rows) == [False] * 9 + [True, False]
    assert remarks[9].startswith("weak") and remarks[10].startswith("damaged")


def test_stages_hold_until_key_or_file_changes(tmp_path: Path) -> None:
    stages = Stages(tmp_path)
    (tmp_path / "x.txt").write_text("1")
    key = stage_key("a", ["b", "c"])
    assert stage_key("a", ["bc", ""]) != key
    assert not stages.holds("s", key)
    stages.completed("s", key, ["x.txt"])
    assert stages.holds("s", key) and not stages.holds("s", key + "0")
    (tmp_path / "x.txt").write_text("22")
    assert not stages.holds("s", key)


def test_one_seed_for_all_that_have_none_of_their_own() -> None:
    default, given = Params(), parse(Params, ["seed=7", "cosym.seed=5"])
    assert seeded(default.cosym, default) == default.cosym
    assert seeded(given.cosym, given).seed == 5
    assert seeded(given.scale, given).seed == 7


def test_correlation_matrix_is_pearson_of_common_reflections() -> None:
    """Crystals in one setting: r of two against numpy, groups by species, branches with their completeness."""
    lattice = Lattice(d_min=4.0, space_group="P 4 3 2", cell=(60.0, 60.0, 60.0, 90.0, 90.0, 90.0), difference=0.3)
    parts = [crystal(lattice, Wedge(species=i % 2), i) for i in range(8)]
    experiments, table = joined(parts)
    group = ExperimentList([e.evolve(crystal=type(e.crystal)(e.crystal.real_space, " P 4 2 3")) for e in experiments])
    assert isinstance(table, ReflectionTable)
    result = analyse(group, table, CorrelationParams(normalisation=None, cc_weights=None))
    labels = result.grouping.labels
    assert len({*labels[::2]}) == len({*labels[1::2]}) == 1 and labels[0] != labels[1]
    first, second = (_merged(group, parts[i][1]) for i in (0, 1))
    common = sorted(first.keys() & second.keys())
    expected = np.corrcoef([first[k] for k in common], [second[k] for k in common])[0, 1]
    assert result.found.pairs[0, 1] == len(common)
    assert result.found.cc[0, 1] == pytest.approx(expected, abs=1e-6)
    last = result.branches["correlation"][-1]
    assert last["n_crystals"] == 8 and 0 < last["completeness"] <= 100


def _merged(experiments: ExperimentList, table: ReflectionTable) -> dict[tuple[int, ...], float]:
    """Means of equivalents in 432 (indices sorted by size), special reflections left out."""
    sums: dict[tuple[int, ...], list[tuple[float, float]]] = {}
    for hkl, value, variance in zip(
        table["miller_index"], table["intensity.prf.value"], table["intensity.prf.variance"], strict=True
    ):
        key = tuple(sorted(abs(int(h)) for h in hkl))
        if len({*key}) == 3 and 0 not in key:
            sums.setdefault(key, []).append((float(value), 1 / float(variance)))
    return {k: sum(v * w for v, w in rows) / sum(w for _, w in rows) for k, rows in sums.items()}
