"""The result at a glance, and what became of every crystal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mxdask.report.fate import Fate
from mxdask.report.markup import Raw, badge, cards, label, table
from mxdask.report.reading import mapping, number
from mxdask.report.section import Section

STEP_NAMES = {
    "import": "import", "find_spots": "find spots", "index": "index", "refine": "refine", "integrate": "integrate",
    "symmetry": "symmetry", "cosym": "cosym", "scale": "scale", "merge": "merge", "export": "export",
}  # fmt: skip

_CARDS = (
    ("d_min", ".2f", "d<sub>min</sub> (Å)"),
    ("completeness", ".1f", "completeness (%)"),
    ("multiplicity", ".1f", "multiplicity"),
    ("I_over_sigma", ".1f", "⟨I/σ⟩"),
    ("Rmeas", ".3f", "R<sub>meas</sub>"),
    ("CC_half", ".3f", "CC<sub>½</sub>"),
)

# Rows of Table 1: key, format.
_TABLE1 = (
    ("d_max", ".2f"), ("d_min", ".2f"), ("n_obs", ",d"), ("n_unique", ",d"), ("completeness", ".1f"),
    ("multiplicity", ".2f"), ("mean_I", ".1f"), ("I_over_sigma", ".1f"), ("Rmerge", ".3f"), ("Rmeas", ".3f"),
    ("Rpim", ".3f"), ("CC_half", ".3f"), ("anomalous_completeness", ".1f"), ("anomalous_multiplicity", ".2f"),
    ("CC_anom", ".3f"),
)  # fmt: skip


_FILTER = """<div class="filter">
<input type="search" id="search" placeholder="search crystals and reasons" aria-label="search crystals and reasons">
<label><input type="checkbox" id="dropped-only"> only dropped ones</label></div>"""


def statistics_of(summaries: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The summary that holds merging statistics: merge's, else scale's, else an empty one."""
    for step in ("merge", "scale"):
        summary = summaries.get(step, {})
        if summary.get("shells") or summary.get("overall"):
            return summary
    return {}


def build(summaries: Mapping[str, Mapping[str, Any]], crystals: Sequence[Fate]) -> Section:
    """Cards and Table 1."""
    section = Section("result", "Result")
    merged = statistics_of(summaries)
    overall = mapping(merged.get("overall"))
    arrived = sum(f.survived for f in crystals)
    shown: dict[str, Any] = {}
    if crystals:
        shown["crystals in the result" if merged else "crystals on their way"] = f"{arrived} of {len(crystals)}"
    group = next(
        (summaries[s].get("space_group") for s in ("merge", "scale", "cosym", "symmetry") if s in summaries), None
    )
    shown["space group"] = str(group) if group else None
    for key, digits, caption in _CARDS:
        value = number(overall.get(key))
        shown[caption] = format(value, digits) if value == value else None
    section.add(cards(shown))
    section.add(table1(mapping(merged.get("table1")) or ({"overall": overall} if overall else {})))
    return section


def table1(columns: Mapping[str, Any]) -> str:
    """Table 1 of a paper: a column for each set of numbers (overall, low, high …)."""
    columns = {name: values for name, values in columns.items() if isinstance(values, Mapping)}
    body = []
    for key, digits in _TABLE1:
        if any(number(values.get(key)) == number(values.get(key)) for values in columns.values()):
            body.append([Raw(label(key)), *(_formatted(values.get(key), digits) for values in columns.values())])
    if not body:
        return ""
    heads = {"overall": "overall", "low": "inner shell", "high": "outer shell"}
    return "<h3>Table 1</h3>" + table(["", *(heads.get(n, label(n)) for n in columns)], body, kind="narrow numbers")


def _formatted(value: Any, digits: str) -> Raw:
    x = number(value)
    if x != x:
        return Raw("–")
    return Raw(format(round(x) if digits == ",d" else x, digits).replace(",", "\u2009"))


def fate_section(crystals: Sequence[Fate], steps: Sequence[str]) -> Section:
    """Every crystal, step by step; those that were dropped in colour, with step and reason."""
    lost = [f for f in crystals if not f.survived]
    section = Section("crystals", "Every crystal")
    if not crystals:
        return section
    if lost:
        by_step = Counter(f.dropped_at for f in lost)
        told = ", ".join(f"{n} at {STEP_NAMES.get(step, step)}" for step, n in by_step.items())
        section.lead = f"{len(crystals) - len(lost)} of {len(crystals)} crystals went all the way; dropped: {told}."
    else:
        section.lead = f"All {len(crystals)} crystals went all the way."
    seen = [s for s in steps if any(s in f.statuses for f in crystals)]
    header = ["crystal", *(STEP_NAMES.get(s, s) for s in seen), "dropped at", "reason"]
    body: list[list[Any]] = [
        [
            f.name,
            *(badge(f.statuses.get(s, "none")) for s in seen),
            STEP_NAMES.get(f.dropped_at, f.dropped_at),
            f.reason,
        ]
        for f in crystals
    ]
    classes = [
        "ok" if f.survived else ("failed" if f.statuses.get(f.dropped_at) == "failed" else "skipped") for f in crystals
    ]
    section.add(_FILTER)
    section.add(table(header, body, classes=classes, kind="fate"))
    return section
