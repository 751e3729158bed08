"""The pages name commands and parameters that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mxdask.cli import COMMANDS
from mxdask.cli.dispatch import sort_words
from mxdask.cli.parameters import parameters_of
from mxdask.params import parse

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "guide.md", *sorted((ROOT / "docs" / "steps").glob("*.md"))]
# In fenced or indented blocks to the end of the line (or &&, #), within a line up to the closing backtick.
_EXAMPLE = re.compile(r"(?m)(?:^\s*|&& |`)mxdask (\w+)((?: [^`#\n&]*)?)")


def examples(page: Path) -> list[tuple[str, str]]:
    return [(m[1], m[2]) for m in _EXAMPLE.finditer(page.read_text()) if m[1] in COMMANDS]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_examples_can_be_typed(page: Path) -> None:
    for command, rest in examples(page):
        if "[" in rest or "..." in rest or "…" in rest:
            continue  # a pattern, not an example
        words = sort_words(shlex.split(rest.split("|")[0].rstrip(")")))
        model = parameters_of(command)
        if model is not None:
            parse(model, words.assignments)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_command_has_a_page_with_an_example() -> None:
    listed = dict(re.findall(r"\[(\w+)\]\((\w+\.md)\)", (ROOT / "docs" / "steps" / "README.md").read_text()))
    assert set(listed) == set(COMMANDS)
    for command, page in listed.items():
        found = {c for c, _ in examples(ROOT / "docs" / "steps" / page)}
        assert command in found, f"{page} shows no `mxdask {command}`"
