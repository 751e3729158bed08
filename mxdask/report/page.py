"""``report.html``: everything the steps have to tell, in one file that needs nothing else."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mxdask import __version__
from mxdask.io.atomic import replacing
from mxdask.report.current import key_tag
from mxdask.report.fate import fates
from mxdask.report.figure import Figure, to_json
from mxdask.report.markup import rows_table
from mxdask.report.plots import Colours, palette
from mxdask.report.reading import rows_of
from mxdask.report.section import Section
from mxdask.report.sections import assessment, images, intensities, lattices, merging, overview, symmetry

_SECTIONS: dict[str, Callable[[Mapping[str, Any]], Section]] = {
    "import": images.importing,
    "index": lattices.indexing,
    "symmetry": symmetry.symmetry,
    "cosym": partial(symmetry.symmetry, key="cosym"),
}

# Sections with a curve for every crystal: its colour is the same in all of them.
_COLOURED: dict[str, Callable[[Mapping[str, Any], Colours], Section]] = {
    "find_spots": images.spots,
    "refine": lattices.refinement,
    "integrate": intensities.integration,
    "scale": intensities.scaling,
}

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{key}
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{css}</style>
</head>
<body>
<nav aria-label="sections"><b>mxdask</b>{links}</nav>
<main>
<header><h1>{title}</h1><p>{subtitle}</p></header>
{sections}
<footer>Written by mxdask {version}. Legends hide and show curves, tables sort by their headings; numbers are in the
.json files beside this page.</footer>
</main>
{drawing}
<script>{javascript}</script>
</body>
</html>
"""


def write_report(
    path: str | Path, summaries: Mapping[str, Mapping[str, Any]], *, title: str, subtitle: str = "", key: str = ""
) -> Path:
    """Write the report of a run, complete or not.

    Parameters
    ----------
    summaries : step → summary, in the order of the steps. What a summary does not hold is left out of the page.
    title : heading; subtitle : a line under it (default: which steps were done, and when this was written).
    key : of the content, by which :func:`mxdask.report.current.is_current` knows the page again.

    Returns
    -------
    The path of the page.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    html = render(summaries, title=title, subtitle=subtitle, key=key)
    with replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return path


def render(summaries: Mapping[str, Mapping[str, Any]], *, title: str, subtitle: str = "", key: str = "") -> str:
    """The page as a string."""
    steps = ", ".join(overview.STEP_NAMES.get(step, step) for step in summaries)
    return page_of(build_sections(summaries), title=title, subtitle=subtitle or steps or "nothing done yet", key=key)


def page_of(sections: Sequence[Section], *, title: str, subtitle: str, key: str = "") -> str:
    """Any sections as one page that needs nothing else; those with nothing in them are left out."""
    sections = [s for s in sections if s.parts or s.lead]
    figures: list[Figure] = []
    html = "\n".join(_section_html(s, figures) for s in sections)
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return _PAGE.format(
        title=escape(title), key=key_tag(key), subtitle=f"{escape(subtitle)} · {now}",
        css=_asset("style.css"), drawing=_drawing(figures), javascript=_asset("behaviour.js"), version=__version__,
        links="".join(f'<a href="#{s.key}">{escape(s.title)}</a>' for s in sections), sections=html,
    )  # fmt: skip


def _drawing(figures: Sequence[Figure]) -> str:
    """The figures as data, Bokeh's code and ours that draws them; nothing without figures."""
    if not figures:
        return ""
    parts = [f'<script type="application/json" id="figures">{to_json(figures)}</script>']
    scripts = (*(_bokeh(name) for name in ("bokeh.min.js", "bokeh-api.min.js")), _asset("figures.js"))
    return "\n".join([*parts, *(f"<script>{script}</script>" for script in scripts)])


def _bokeh(name: str) -> str:
    """A file of Bokeh's code for the browser. Importing the package for that would take longer than the whole page."""
    package = find_spec("bokeh")
    assert package is not None and package.origin is not None
    return (Path(package.origin).parent / "server" / "static" / "js" / name).read_text(encoding="utf-8")


def build_sections(summaries: Mapping[str, Mapping[str, Any]]) -> list[Section]:
    """Sections in reading order: the result, every crystal, then step by step."""
    crystals = fates(summaries)
    sections = [overview.build(summaries, crystals), overview.fate_section(crystals, list(summaries))]
    colours = palette([crystal.name for crystal in crystals])
    for step, summary in summaries.items():
        if step in _COLOURED:
            sections.append(_COLOURED[step](summary, colours))
        elif step in _SECTIONS:
            sections.append(_SECTIONS[step](summary))
        elif step not in ("merge", "export"):
            sections.append(_unknown(step, summary))
    sections.append(merging.merging(overview.statistics_of(summaries)))
    sections.append(assessment.assessment(summaries.get("merge", {})))
    return sections


def _unknown(step: str, summary: Mapping[str, Any]) -> Section:
    """A step the report does not know shows its rows."""
    section = Section(step, step.replace("_", " ").capitalize())
    section.add(rows_table(rows_of(summary)))
    return section


def _section_html(section: Section, figures: list[Figure]) -> str:
    """A section; its figures are appended to those of the page."""
    body = []
    for part in section.parts:
        if isinstance(part, str):
            body.append(part)
            continue
        places = range(len(figures), len(figures) + len(part))
        figures += part
        inner = "".join(
            f'<div data-figure="{k}" style="min-height:{figures[k].height}px" role="img" '
            f'aria-label="{escape(figures[k].title)}"></div>'
            for k in places
        )
        body.append(f'<div class="plots">{inner}</div>')
    lead = f"<p>{escape(section.lead)}</p>" if section.lead else ""
    return f'<section id="{section.key}"><h2>{escape(section.title)}</h2>{lead}{"".join(body)}</section>'


def _asset(name: str) -> str:
    return files("mxdask.report").joinpath(name).read_text(encoding="utf-8")
