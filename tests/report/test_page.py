"""The page, without a browser."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from mxdask.report.figure import Axis, Figure, Glyph, to_json
from mxdask.report.page import build_sections, render, write_report
from mxdask.report.plots import heatmap

STEPS = ("import", "find_spots", "index", "refine", "integrate", "cosym", "scale", "merge")


class _Balance(HTMLParser):
    """Checks that tags close in the order in which they opened."""

    VOID = {"meta", "link", "input", "br", "img"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_complete_page(summaries, tmp_path):
    path = write_report(tmp_path / "run" / "report.html", summaries(6), title="six <crystals>")
    html = path.read_text()
    assert "six &lt;crystals&gt;" in html
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="(?!data:)', html)
    parser = _Balance()
    parser.feed(html)
    assert parser.open == []
    for text in ("4 of 6 crystals", "no lattice", "correlates with too few others", "Table 1", "I m -3"):
        assert text in html
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


@pytest.mark.parametrize("n_steps", range(len(STEPS) + 1))
def test_a_report_after_every_step(summaries, n_steps):
    done = {step: s for step, s in summaries(3).items() if step in STEPS[:n_steps]}
    assert "<h1>x</h1>" in render(done, title="x")


def test_every_key_may_be_absent(summaries):
    """Leaving out any one entry of any summary is never an error."""
    for step, summary in summaries(2, images=5).items():
        for key in summary:
            assert build_sections({step: {k: v for k, v in summary.items() if k != key}})


@pytest.mark.parametrize("value", ["nonsense", [], {}, [None], [{}], 1.0])
def test_nonsense_is_left_out(summaries, value):
    for step, summary in summaries(2, images=5).items():
        nonsense = {key: value for key in summary}
        assert build_sections({step: nonsense})
        rows = [{key: value for key in row} for row in summary["rows"]]
        assert build_sections({step: summary | {"rows": rows}})


def test_rows_with_nothing_but_a_name(summaries):
    bare = {step: {"step": step, "rows": [{"sweep": "a"}]} for step in summaries(1)}
    assert "<h1>x</h1>" in render(bare, title="x")


def test_an_unknown_step_shows_its_rows():
    html = render({"polish": {"rows": [{"sweep": "a", "status": "ok", "shine": 7}]}}, title="x")
    assert "Polish" in html
    assert "shine" in html


def test_many_crystals_are_drawn_as_maps_not_lines(summaries):
    def glyphs(n: int) -> tuple[int, int]:
        parts = [part for section in build_sections(summaries(n, images=10)) for part in section.parts]
        figures = [figure for part in parts if isinstance(part, list) for figure in part]
        kinds = [glyph.kind for f in figures for glyph in f.glyphs]
        return kinds.count("line"), kinds.count("image")

    few_lines, few_maps = glyphs(6)
    many_lines, many_maps = glyphs(100)
    assert few_maps == 2  # of the detector
    assert many_maps >= 5
    assert many_lines < few_lines
    assert many_lines < 25


def test_pages_of_thousands_of_crystals_stay_light():
    values = np.random.default_rng(0).normal(size=(5000, 100))
    figure = heatmap("x", "image", "spots", [f"c{i}" for i in range(5000)], 1.0, values)
    assert len(figure.glyphs[0].data["image"]) <= 400
    assert figure.y.label == "crystal (one of 13)"
    assert len(to_json([figure])) < 400_000


def test_figures_are_json_that_no_name_can_break_out_of():
    data = {"x": np.array([1.0, np.nan]), "y": np.array([np.inf, 2 / 3]), "who": ["</script>", "b"]}
    text = to_json([Figure("a < b", Axis("x"), Axis("y", ticks={0.5: "half"}), [Glyph("points", "n", data)])])
    assert "<" not in text
    (plain,) = json.loads(text)
    assert plain["title"] == "a < b"
    assert plain["glyphs"][0]["data"] == {"x": [1.0, None], "y": [None, 0.666667], "who": ["</script>", "b"]}
    assert plain["y"]["ticks"] == [[0.5, "half"]]
