"""Plain-text tables for logs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def text_table(header: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str = "") -> str:
    """A table of left-aligned words and right-aligned numbers.

    Floats are shown with up to four significant decimals; format them yourself (as strings) for anything else.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(h), *(len(r[i]) for r in cells), 0) if cells else len(h) for i, h in enumerate(header)]
    numeric = [
        bool(rows) and all(isinstance(r[i], int | float) or _is_number(str(r[i])) for r in rows)
        for i in range(len(header))
    ]

    def line(values: Sequence[str]) -> str:
        return "  ".join(
            v.rjust(w) if n else v.ljust(w) for v, w, n in zip(values, widths, numeric, strict=True)
        ).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([*([title] if title else []), line(list(header)), rule, *(line(r) for r in cells)])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _is_number(text: str) -> bool:
    try:
        float(text.rstrip("%"))
    except ValueError:
        return False
    return True


def with_esds(values: Sequence[float], esds: Sequence[float] | None) -> str:
    """Numbers with their standard deviation in the last digits: 78.12(3)."""
    if esds is None:
        return " ".join(f"{v:.3f}" for v in values)
    return " ".join(_with_esd(v, e) for v, e in zip(values, esds, strict=True))


def _with_esd(value: float, esd: float) -> str:
    if not esd > 1e-6:
        return f"{value:.4g}"
    digits = max(0, math.ceil(-math.log10(esd / 1.95)))
    return f"{value:.{digits}f}({round(esd * 10**digits)})"
