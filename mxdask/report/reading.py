"""Take numbers out of summaries: what is absent or not a number is left out, never an error."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Row = Mapping[str, Any]


def rows_of(summary: Mapping[str, Any], key: str = "rows") -> list[Row]:
    """The dictionaries of a list in a summary; [] if there is none."""
    value = summary.get(key)
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list | tuple) else []


def mapping(value: Any) -> Row:
    """The value if it is a dictionary, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def number(value: Any) -> float:
    """A float; NaN for anything that is not a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return math.nan
    return float(value) if math.isfinite(value) else math.nan


def array(value: Any) -> np.ndarray:
    """(n,) float64 of a list of numbers, NaN where there is none; empty for anything else."""
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str):
        return np.zeros(0)
    return np.array([number(v) for v in value], dtype=np.float64)


def first_of(row: Row, names: Iterable[str]) -> Any:
    """The value under the first name that the row has; None if it has none of them."""
    return next((row[name] for name in names if row.get(name) is not None), None)


def column(rows: Sequence[Row], *names: str) -> np.ndarray:
    """(n,) one number per row, under the first name each row has; NaN where it has none."""
    return np.array([number(first_of(row, names)) for row in rows])


def component(rows: Sequence[Row], index: int, *names: str) -> np.ndarray:
    """(n,) element ``index`` of a list that each row holds; NaN where it does not."""
    values = [array(first_of(row, names)) for row in rows]
    return np.array([v[index] if len(v) > index else math.nan for v in values])


def name_of(row: Row) -> str:
    """What people call the row: its sweep's name."""
    return str(row.get("sweep") or row.get("name") or row.get("identifier") or "?")


def names_of(rows: Sequence[Row]) -> list[str]:
    """Names of rows; the n-th lattice of one sweep gets " (n)"."""
    seen: dict[str, int] = {}
    out = []
    for row in rows:
        name = name_of(row)
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return out


def lattice_rows(rows: Iterable[Row]) -> list[Row]:
    """One row per lattice: a sweep's row that lists several ``lattices`` is repeated with what each says of itself."""
    out: list[Row] = []
    for row in rows:
        lattices = rows_of(row, "lattices")
        out += [{**row, **lattice} for lattice in lattices] if len(lattices) > 1 else [row]
    return out


def status_of(row: Row) -> str:
    """``ok``, ``failed`` or ``skipped``; a row without a word is ok."""
    return str(row.get("status") or "ok")


def good_rows(rows: Sequence[Row]) -> list[Row]:
    """Rows whose status is ok."""
    return [row for row in rows if status_of(row) == "ok"]
