"""Columns that stay in a large file until asked for: the same numbers as read at once, from as few bytes as needed."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from dask.base import tokenize
from hypothesis import given, settings
from hypothesis import strategies as st

from mxdask.deferred import Deferred
from mxdask.errors import FileError
from mxdask.io import refl
from mxdask.io.experiments import load
from mxdask.io.refl import read_refl, write_refl
from mxdask.io.refl_columns import FileColumn, OpenFile
from mxdask.table import ReflectionTable, Shoeboxes


def made(n: int, seed: int = 0) -> ReflectionTable:
    rng = np.random.default_rng(seed)
    columns = {
        "id": np.sort(rng.integers(0, 5, n)), "flags": rng.integers(0, 9, n),
        "miller_index": rng.integers(-9, 9, (n, 3)), "d": rng.uniform(1, 9, n),
        "xyzobs.px.value": rng.normal(size=(n, 3)), "bbox": rng.integers(0, 9, (n, 6)),
        "entering": rng.random(n) < 0.5,
    }  # fmt: skip
    return ReflectionTable(columns, {i: f"crystal-{i}" for i in range(5)})


def same(a: ReflectionTable, b: ReflectionTable) -> bool:
    return sorted(a) == sorted(b) and all(
        a[n].dtype == b[n].dtype and a[n].shape == b[n].shape and np.array_equal(a[n], b[n]) for n in a
    )


@pytest.fixture
def deferring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file counts as large, and is written a few rows at a time."""
    monkeypatch.setattr(refl, "_LARGE", 0)
    monkeypatch.setattr(refl, "_PIECE", 7)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_refl(tmp_path / "made.refl", made(100))
    return tmp_path / "made.refl"


@pytest.mark.usefixtures("deferring")
def test_nothing_is_read_before_it_is_asked_for(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    into = OpenFile.read_into

    def counting(self: OpenFile, array: np.ndarray, offset: int) -> None:
        read.append(array.nbytes)
        into(self, array, offset)

    monkeypatch.setattr(OpenFile, "read_into", counting)
    table = read_refl(file)
    assert len(table) == 100
    assert "d" in table
    assert read == []
    part = table.copy().rows(20, 30)
    assert np.array_equal(part["d"], made(100)["d"][20:30])
    assert read == [10 * 8]
    assert part["d"] is part["d"]
    table.select(np.arange(40, 50)).only(["bbox"])["bbox"]
    assert read == [10 * 8, 10 * 24]


@st.composite
def chains(draw: st.DrawFn) -> list[tuple[str, object]]:
    steps = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["mask", "index", "rows", "concat", "split", "fetch", "copy", "only"]))
        steps.append((kind, draw(st.integers(0, 2**31))))
    return steps


def walked(table: ReflectionTable, steps: list[tuple[str, int]]) -> ReflectionTable:
    """The same operations on any table; which rows they take follows from the numbers drawn."""
    for kind, seed in steps:
        rng, n = np.random.default_rng(seed), len(table)
        if kind == "mask":
            table = table.select(rng.random(n) < rng.random())
        elif kind == "index":
            table = table.select(rng.integers(0, n, rng.integers(0, n + 1)) if n else np.zeros(0, int))
        elif kind == "rows":
            a, b = np.sort(rng.integers(0, n + 1, 2))
            table = table.rows(int(a), int(b))
        elif kind == "concat":
            table = ReflectionTable.concat([table, table.select(np.arange(n)[::-1]), table.rows(0, n // 2)])
        elif kind == "split":
            parts = table.split_by("id")
            table = ReflectionTable.concat([table.rows(0, 0), *(parts[k] for k in sorted(parts, reverse=True))])
        elif kind == "fetch":
            table[sorted(table)[seed % len(list(table))]]
        elif kind == "copy":
            table = table.copy()
        else:
            table = table.only([n for n in sorted(table) if n == "id" or rng.random() < 0.8])
    return table


@pytest.mark.usefixtures("deferring")
@settings(max_examples=60, deadline=None)
@given(n=st.integers(0, 40), seed=st.integers(0, 99), steps=chains())
def test_any_operations_give_what_they_give_in_memory(
    tmp_path_factory: pytest.TempPathFactory, n: int, seed: int, steps: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("chain")
    write_refl(folder / "a.refl", made(n, seed))
    assert isinstance(read_refl(folder / "a.refl").stored("d"), Deferred)
    ours, expected = walked(read_refl(folder / "a.refl"), steps), walked(made(n, seed), steps)
    assert ours.identifiers == expected.identifiers
    write_refl(folder / "ours.refl", ours)
    write_refl(folder / "expected.refl", expected)
    assert (folder / "ours.refl").read_bytes() == (folder / "expected.refl").read_bytes()
    assert same(ours, expected)


@pytest.mark.usefixtures("deferring")
def test_tables_travel_and_are_told_apart_by_what_they_hold(file: Path) -> None:
    table = read_refl(file)
    assert tokenize(table) == tokenize(read_refl(file, defer=False))
    assert tokenize(table) != tokenize(table.rows(1, 100))
    assert all(isinstance(table.stored(n), Deferred) for n in table)
    other = pickle.loads(pickle.dumps(table.select(np.arange(3, 60))))
    assert all(isinstance(other.stored(n), np.ndarray) for n in other)
    assert same(other, made(100).select(np.arange(3, 60)))


@pytest.mark.usefixtures("deferring")
def test_an_array_is_shared_while_somebody_has_it(file: Path) -> None:
    column = read_refl(file).stored("d")
    assert isinstance(column, FileColumn)
    first = column.values()
    assert column.values() is first
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 1.0


@pytest.mark.usefixtures("deferring")
def test_a_replaced_file_changes_nothing_and_a_changed_one_is_an_error(file: Path) -> None:
    table, again = read_refl(file), read_refl(file)
    write_refl(file, made(50, seed=5))
    assert same(table, made(100))
    changed = read_refl(file)
    with file.open("r+b") as open_file:
        open_file.truncate(1000)
    with pytest.raises(FileError, match=r"made\.refl: was changed while it was in use"):
        changed["d"]
    assert same(again, made(100))


def test_every_cut_is_found_before_anything_is_used(tmp_path: Path) -> None:
    boxes = Shoeboxes(
        np.zeros(3, np.uint32), np.tile(np.array([0, 1, 0, 1, 0, 2], np.int32), (3, 1)), np.array([0, 2, 4, 6]),
        np.ones(6, np.float32), np.ones(6, np.int32), np.ones(6, np.float32),
    )  # fmt: skip
    write_refl(tmp_path / "whole.refl", ReflectionTable(made(3).columns, made(3).identifiers, boxes))
    content = (tmp_path / "whole.refl").read_bytes()
    assert len(read_refl(tmp_path / "whole.refl").shoeboxes or ()) == 3
    for size in [*range(0, len(content), 5), len(content) - 1]:
        (tmp_path / "cut.refl").write_bytes(content[:size])
        with pytest.raises(FileError, match=r"cut\.refl"):
            read_refl(tmp_path / "cut.refl")
    (tmp_path / "cut.refl").write_bytes(content + b"\x00")
    with pytest.raises(FileError, match="goes on after its end"):
        read_refl(tmp_path / "cut.refl")


def test_more_files_than_a_process_may_keep_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mxdask.io import experiments
    from mxdask.io.expt import write_expt
    from mxdask.models import Experiment, ExperimentList

    monkeypatch.setattr(refl, "_LARGE", 0)
    monkeypatch.setattr(experiments, "_MOST_OPEN", 2)
    names = []
    for i in range(3):
        write_expt(tmp_path / f"{i}.expt", ExperimentList([Experiment(identifier=f"crystal-{i}")]))
        rows = np.arange(4)
        write_refl(tmp_path / f"{i}.refl", ReflectionTable({"id": np.zeros(4), "d": rows + i}, {0: f"crystal-{i}"}))
        names.append((tmp_path / f"{i}.expt", tmp_path / f"{i}.refl"))
    for n, deferred in ((2, True), (3, False)):
        _, table = load([e for e, _ in names[:n]], [r for _, r in names[:n]])
        assert table is not None
        assert isinstance(table.stored("d"), Deferred) == deferred
        assert np.array_equal(table["d"], np.concatenate([np.arange(4) + i for i in range(n)]))
