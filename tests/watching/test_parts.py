"""History, stop conditions, calibration rules, the page's data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxdask.errors import MxdaskError, ParameterError
from mxdask.params import parse
from mxdask.watching.calibration import how_many
from mxdask.watching.folder import DAMAGED, Sweep
from mxdask.watching.history import History
from mxdask.watching.page import write_data, write_page
from mxdask.watching.params import Params, Until
from mxdask.watching.records import Record, key_of
from mxdask.watching.watcher import only_one


def test_a_line_that_a_kill_cut_short_is_no_line(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    History(path).append({"time": 1.0, "n": 1})
    with open(path, "a") as file:
        file.write('{"time": 2.0, "n"')
    history = History(path)
    assert [line["n"] for line in history.lines] == [1]
    history.append({"time": 3.0, "n": 3})
    assert [line["n"] for line in History(path).lines] == [1, 3]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("once", Until("once")),
        ("stopped", Until("stopped")),
        ("idle:600", Until("idle", 600)),
        ("sweeps:3", Until("sweeps", 3)),
    ],
)
def test_stop_conditions(word: str, expected: Until) -> None:
    assert Until.of(word) == expected


@pytest.mark.parametrize("word", ["idle", "idle:-1", "sweeps:x", "never", "once:3"])
def test_words_that_are_no_stop_condition(word: str) -> None:
    with pytest.raises(ParameterError, match="idle:SECONDS"):
        parse(Params, [f"until={word}"])


def test_common_parameters_go_to_the_chain() -> None:
    params = parse(Params, ["unit_cell=1,2,3,90,90,90", "process.d_min=2", "process.space_group=P1"])
    assert isinstance(params, Params)
    assert params.process.unit_cell == (1, 2, 3, 90, 90, 90)
    assert params.process.d_min == 2


@given(st.integers(0, 40), st.integers(0, 20))
def test_the_number_of_calibration_sweeps(candidates: int, wanted: int) -> None:
    n = how_many(candidates, wanted)
    assert n <= min(candidates, wanted)
    assert n == 0 or n >= 3
    assert how_many(candidates + 1, wanted) >= n
    if candidates >= wanted >= 3:
        assert n == wanted


def test_a_damaged_record_is_none(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    assert Record.read(path) is None
    record = Record("k", True, numbers={"n": 3})
    record.write(path)
    assert Record.read(path) == record
    path.write_text(path.read_text()[:20])
    assert Record.read(path) is None


def test_keys_tell_where_parts_end() -> None:
    assert key_of("ab", "c") != key_of("a", "bc")
    assert key_of(["a", "b"]) != key_of("a", "b")
    assert key_of("a") == key_of("a")


def test_one_watcher_for_a_folder(tmp_path: Path) -> None:
    with only_one(tmp_path), pytest.raises(MxdaskError, match="another mxdask watch"), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass


def test_the_page_and_its_data(tmp_path: Path) -> None:
    write_page(tmp_path)
    page = (tmp_path / "watch.html").read_text()
    assert "http" not in page.replace("http://www.w3.org", "")  # nothing is fetched from elsewhere
    sweep = Sweep("x", ("x.nxs",), "", 5 * 10**9, DAMAGED, "cut off </script>")
    history = History(tmp_path / "history.jsonl")
    history.append({"time": 1.0, "completeness": 50.0, "groups": {"1": 3}})
    write_data(tmp_path, "watching", tmp_path, [sweep], {}, history)
    text = (tmp_path / "watch-data.js").read_text()
    assert "</script>" not in text
    content = json.loads(text.removeprefix("show(").removesuffix(");\n"))
    assert content["rows"] == [{"name": "x", "finished": 5.0, "state": "damaged", "reason": "cut off </script>"}]
    assert content["curves"]["completeness"] == [50.0]
