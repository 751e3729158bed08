"""Summaries are read without trusting them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxdask.report.fate import fates
from mxdask.report.markup import Raw, cards, cell, rows_table, table
from mxdask.report.plots import short_names
from mxdask.report.reading import array, column, component, lattice_rows, names_of, number, rows_of

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@given(JSON)
def test_anything_can_be_read(value):
    assert isinstance(number(value), float)
    assert array(value).dtype == np.float64
    assert rows_of({"rows": value}) == [v for v in value if isinstance(v, dict)] if isinstance(value, list) else True
    assert isinstance(cell(value), str)


def test_columns_take_the_first_name_a_row_has():
    rows = [{"a": 1}, {"b": 2, "a": None}, {"b": "x"}, {}]
    assert column(rows, "a", "b") == pytest.approx([1, 2, math.nan, math.nan], nan_ok=True)
    assert component([{"cell": [1, 2]}, {"cell": [3]}, {}], 1, "cell") == pytest.approx(
        [2, math.nan, math.nan], nan_ok=True
    )


def test_text_is_escaped_and_numbers_are_readable():
    assert cell("<b>&") == "&lt;b&gt;&amp;"
    assert cell(Raw("<i>x</i>")) == "<i>x</i>"
    assert cell(1234567) == "1\u2009234\u2009567"
    assert cell(0.123456) == "0.1235"
    assert cell(float("nan")) == cell(None) == "–"
    assert cell([1.5, 2]) == "1.5 2"
    html = rows_table([{"sweep": "<x>", "status": "failed", "reason": "a < b", "n": 3, "curve": list(range(50))}])
    assert "&lt;x&gt;" in html
    assert "a &lt; b" in html
    assert "curve" not in html
    assert 'class="failed"' in html


def test_tables_without_rows_and_cards_without_values():
    assert rows_table([]) == ""
    assert cards({"a": None}) == ""
    assert "<tbody></tbody>" in table(["a"], [])


def test_names():
    assert names_of([{"sweep": "a"}, {"sweep": "b"}, {"sweep": "a"}]) == ["a", "b", "a (2)"]
    assert short_names(["ins_c01", "ins_c02"]) == ["c01", "c02"]
    assert short_names(["one"]) == ["one"]


def _row(name: str, status: str = "ok", reason: str = "", identifier: str = "") -> dict[str, str]:
    return {"sweep": name, "identifier": identifier, "status": status, "reason": reason}


def test_fate_of_every_crystal():
    summaries = {
        "import": {
            "rows": [_row("a", identifier="1"), _row("b", identifier="2"), _row("c", identifier="3"), _row("d")]
        },
        "index": {
            "rows": [_row("a", identifier="1"), _row("b", "failed", "no spots"), _row("c", identifier="3"), _row("d")]
        },
        "cosym": {"rows": [_row("a", identifier="1"), _row("c", "skipped", "too weak", "3")]},
        "scale": {"rows": [_row("a", identifier="1")]},
        "merge": {"rows": [{"wavelength": 1.0}]},
    }
    first, second, third, fourth = fates(summaries)
    assert first.survived
    assert (second.dropped_at, second.reason) == ("index", "no spots")
    assert (third.dropped_at, third.reason) == ("cosym", "too weak")
    assert fourth.dropped_at == "cosym"
    assert third.statuses == {"import": "ok", "index": "ok", "cosym": "skipped"}


def test_a_second_lattice_has_a_fate_of_its_own():
    lattices = [{"identifier": "1"}, {"identifier": "2"}]
    summaries = {
        "import": {"rows": [_row("a", identifier="1")]},
        "index": {"rows": [_row("a", identifier="1") | {"lattices": lattices}]},
        "refine": {"rows": [_row("a", identifier="1"), _row("a", "failed", "two spots", "2")]},
    }
    first, second = fates(summaries)
    assert first.survived
    assert second.statuses == {"index": "ok", "refine": "failed"}
    assert [r["identifier"] for r in lattice_rows(summaries["index"]["rows"])] == ["1", "2"]
