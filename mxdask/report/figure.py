"""A figure as plain data: the page draws it in the browser (``figures.js``).

Python only says what is to be drawn. Building the same figures from Bokeh's Python models took most of the time of a
report, and opening a page with dozens of them took as long again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

HEIGHT = 300
# Significant digits of numbers; nobody sees the fourth in a colour.
_DIGITS, _DIGITS_OF_COLOUR = 6, 3

Kind = Literal["line", "points", "bars", "image", "lines"]


@dataclass
class Axis:
    """One axis.

    Attributes
    ----------
    limits : of the range; None: what the data need.
    ticks : place → label instead of numbers; None: numbers.
    turned : labels are written upwards.
    """

    label: str = ""
    log: bool = False
    limits: tuple[float, float] | None = None
    ticks: Mapping[float, str] | None = None
    turned: bool = False
    visible: bool = True


@dataclass
class Glyph:
    """Something drawn: points, a line, bars, an image, or many lines.

    Attributes
    ----------
    kind : line and points have columns x and y; bars left, right, top; lines xs and ys (a list for each line); an image
        ``image`` (rows, the first at the bottom).
    name : in the legend; glyphs of one name are hidden together.
    data : columns of equal length, further ones for ``hover``.
    style : colour, size (px), dashed; of an image x, y, width, height, low, high and the title of its colour bar.
    """

    kind: Kind
    name: str
    data: Mapping[str, Any]
    style: dict[str, Any] = field(default_factory=dict)


@dataclass
class Figure:
    """A figure.

    Attributes
    ----------
    hover : label and column (``@name``) of what is told of a point.
    legend : names of the glyphs at the side; a click hides them.
    equal : both axes have one scale. cross : lines through the origin.
    """

    title: str
    x: Axis
    y: Axis
    glyphs: list[Glyph] = field(default_factory=list)
    hover: Sequence[tuple[str, str]] = ()
    legend: bool = False
    equal: bool = False
    cross: bool = False
    height: int = HEIGHT

    def plain(self) -> dict[str, Any]:
        """For JSON; what is as usual is left out."""
        glyphs = [
            {
                "kind": g.kind, "name": g.name,
                "data": {k: _plain(v, _DIGITS_OF_COLOUR if g.kind == "image" else _DIGITS) for k, v in g.data.items()},
                **_plain(g.style),
            }
            for g in self.glyphs
        ]  # fmt: skip
        flags = {k: True for k in ("legend", "equal", "cross") if getattr(self, k)}
        return {
            "title": self.title, "x": _axis(self.x), "y": _axis(self.y), "height": self.height, "glyphs": glyphs,
            "hover": [list(pair) for pair in self.hover], **flags,
        }  # fmt: skip


def to_json(figures: Sequence[Figure]) -> str:
    """All figures as JSON that may stand within a ``script`` element."""
    text = json.dumps([f.plain() for f in figures], separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c")


def _axis(axis: Axis) -> dict[str, Any]:
    out: dict[str, Any] = {"label": axis.label}
    if axis.limits is not None:
        out["limits"] = _plain(axis.limits)
    if axis.ticks is not None:
        out["ticks"] = [[_plain(float(place)), text] for place, text in axis.ticks.items()]
    return out | {k: True for k in ("log", "turned") if getattr(axis, k)} | ({} if axis.visible else {"hidden": True})


def _plain(value: Any, digits: int = _DIGITS) -> Any:
    """Numbers with so many significant digits, None for those that are not finite."""
    if isinstance(value, Mapping):
        return {k: _plain(v, digits) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist(), digits)
    if isinstance(value, list | tuple):
        return [_plain(v, digits) for v in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
