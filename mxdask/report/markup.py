"""Pieces of html: tables, badges, cards."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from mxdask.report.labels import LABELS
from mxdask.report.reading import Row, name_of, status_of


@dataclass(frozen=True)
class Raw:
    """Text that is html already."""

    html: str


def label(key: str) -> str:
    """Heading of a column (html)."""
    return LABELS.get(key, escape(key.replace("_", " ").replace(".", " ")))


def cell(value: Any) -> str:
    """A value as html: numbers with four significant digits, lists of numbers joined, nothing for None."""
    if isinstance(value, Raw):
        return value.html
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u2009")
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return " ".join(cell(v) for v in value)
    return escape(str(value))


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], *, classes: Sequence[str] = (), kind: str = "") -> str:
    """A scrolling, sortable table.

    Parameters
    ----------
    header : html of the headings.
    classes : css class of each row (default none). kind : further css classes of the table.
    """
    numeric = [bool(rows) and all(isinstance(r[i], int | float | None) for r in rows) for i in range(len(header))]
    head = "".join(
        f'<th class="{"n" if n else ""}" tabindex="0">{h}</th>' for h, n in zip(header, numeric, strict=True)
    )
    body = []
    for i, row in enumerate(rows):
        cells = "".join(f'<td class="{_kind(v, n)}">{cell(v)}</td>' for v, n in zip(row, numeric, strict=True))
        body.append(f'<tr class="{classes[i] if i < len(classes) else ""}">{cells}</tr>')
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _kind(value: Any, numeric: bool) -> str:
    """Numbers stand to the right, long text is broken into lines."""
    return "n" if numeric else "long" if isinstance(value, str) and len(value) > 30 else ""


def badge(status: str) -> Raw:
    """A coloured word: ok green, failed red, anything else amber."""
    kind = status if status in ("ok", "failed", "none") else "skipped"
    return Raw(f'<span class="badge {kind}">{escape(status if status != "none" else "–")}</span>')


def rows_table(rows: Sequence[Row], first: Sequence[str] = (), *, hidden: Sequence[str] = ()) -> str:
    """Rows of a summary: name, status and reason, the columns ``first``, then every other plain value the rows have.

    Rows that are not ok are tinted. Lists of more than six values and nested things are left
    to the plots.
    """
    if not rows:
        return ""
    known = {"sweep", "name", "identifier", "status", "reason", *hidden}
    others = [k for row in rows for k in row if k not in known]
    keys = [
        k
        for k in dict.fromkeys([*(k for k in first if k in others), *others])
        if any(_is_plain(r.get(k)) for r in rows)
    ]
    with_reason = any(row.get("reason") for row in rows)
    header = ["crystal", "status", *(["reason"] if with_reason else []), *(label(k) for k in keys)]
    body = [
        [
            name_of(r), badge(status_of(r)), *([str(r.get("reason") or "")] if with_reason else []),
            *((r.get(k) if _is_plain(r.get(k)) else None) for k in keys),
        ]
        for r in rows
    ]  # fmt: skip
    return table(header, body, classes=[status_of(r) for r in rows])


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return 0 < len(value) <= 6 and all(isinstance(v, int | float) for v in value)
    return isinstance(value, str | int | float)


def cards(values: Mapping[str, Any]) -> str:
    """Big numbers with a caption each; those that are None are left out."""
    shown = [(k, v) for k, v in values.items() if v is not None and v != ""]
    inner = "".join(f'<div class="card"><b>{cell(v)}</b><span>{k}</span></div>' for k, v in shown)
    return f'<div class="cards">{inner}</div>' if shown else ""


def note(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>" if text else ""
