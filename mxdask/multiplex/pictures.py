"""Figures of groups: block matrices, trees, coordinates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.cluster.hierarchy import dendrogram

from mxdask.report.figure import Axis, Figure, Glyph
from mxdask.report.plots import COLOURS, scatter

_NONE = "#7F7F7F"
_MOST_NAMES = 60


def group_colours(groups: Sequence[str]) -> dict[str, str]:
    """A colour for each group by its order of name, grey for none."""
    named = sorted({g for g in groups if g}, key=lambda g: (len(g), g))
    return {g: COLOURS[i % (len(COLOURS) - 1)] for i, g in enumerate(named)} | {"": _NONE}


def leaf_order(linkage: np.ndarray, n: int) -> list[int]:
    """Rows in the order that keeps the branches of a tree together."""
    return [int(i) for i in dendrogram(linkage, no_plot=True)["leaves"]] if len(linkage) else list(range(n))


def block_matrix(
    title: str, unit: str, values: np.ndarray, names: Sequence[str], order: Sequence[int], limits: tuple[float, float]
) -> Figure:  # fmt: skip
    """A square matrix, rows and columns in the order given, so that groups are blocks on the diagonal."""
    n = len(order)
    shown = np.array(values, dtype=np.float32)[np.ix_(order, order)]
    style = {"x": 0, "y": -n, "width": n, "height": n, "low": limits[0], "high": limits[1]}
    image = Glyph("image", title, {"image": shown[::-1]}, style)
    rows = Axis(ticks={-place: name for place, name in _names([names[i] for i in order]).items()})
    return Figure(
        title, Axis(visible=False), rows, [image], hover=[(unit, "@image")], equal=True, height=520
    )  # fmt: skip


def tree(title: str, y: str, linkage: np.ndarray, names: Sequence[str], groups: Sequence[str]) -> Figure | None:
    """A dendrogram; leaves are coloured by group."""
    if len(linkage) == 0:
        return None
    drawn = dendrogram(linkage, no_plot=True)
    order = drawn["leaves"]
    branches = {"xs": [[v / 10 for v in xs] for xs in drawn["icoord"]], "ys": drawn["dcoord"]}
    colours = group_colours(groups)
    leaves = {
        "x": [i + 0.5 for i in range(len(order))], "y": [0.0] * len(order), "who": [names[i] for i in order],
        "group": [groups[i] or "none" for i in order], "colour": [colours[groups[i]] for i in order],
    }  # fmt: skip
    return Figure(
        title, Axis(ticks=_names([names[i] for i in order]), turned=True), Axis(y),
        [Glyph("lines", "branches", branches), Glyph("points", "crystals", leaves, {"size": 8})],
        hover=[("", "@who"), ("group", "@group")], height=360,
    )  # fmt: skip


def coordinates(title: str, points: np.ndarray, names: Sequence[str], groups: Sequence[str]) -> list[Figure | None]:
    """The first axes against each other, crystals coloured by group."""
    order = sorted(range(len(names)), key=lambda i: (groups[i] == "", len(groups[i]), groups[i]))
    labels = [f"group {groups[i]}" if groups[i] else "none" for i in order]
    who = [names[i] for i in order]
    padded = np.pad(points, ((0, 0), (0, max(0, 2 - points.shape[1]))))[order]
    pairs = [(a, b) for a in range(min(padded.shape[1], 4)) for b in range(a + 1, min(padded.shape[1], 4))]
    return [
        scatter(title, f"axis {a + 1}", f"axis {b + 1}", padded[:, a], padded[:, b], who, labels, equal=True)
        for a, b in pairs
    ]


def _names(names: Sequence[str]) -> dict[float, str]:
    """Labels at the middles of unit cells of an axis, as many as find room."""
    step = max(1, -(-len(names) // _MOST_NAMES))
    return {i + 0.5: names[i] for i in range(0, len(names), step)}
