"""Figures of groups: block matrices, trees, coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import BasicTicker, ColorBar, ColumnDataSource, FixedTicker, HoverTool, LinearColorMapper
from scipy.cluster.hierarchy import dendrogram

from mxdask.report.plots import COLOURS, new_figure, scatter

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
) -> Any:  # fmt: skip
    """A square matrix, rows and columns in the order given, so that groups are blocks on the diagonal."""
    n = len(order)
    shown = np.array(values, dtype=np.float32)[np.ix_(order, order)]
    plot = new_figure(title, "", "", match_aspect=True)
    plot.height = 520
    mapper = LinearColorMapper("Viridis256", low=limits[0], high=limits[1], nan_color="#f4f5f7")
    cells = ColumnDataSource({"image": [shown[::-1]], "x": [0], "y": [-n], "dw": [n], "dh": [n]})
    image = plot.image("image", "x", "y", "dw", "dh", source=cells, color_mapper=mapper)
    plot.add_layout(ColorBar(color_mapper=mapper, ticker=BasicTicker(desired_num_ticks=5), width=10), "right")
    plot.x_range.range_padding = plot.y_range.range_padding = 0
    plot.add_tools(HoverTool(renderers=[image], tooltips=[(unit, "@image")]))
    _names_on(plot.yaxis, [names[i] for i in order], negative=True)
    plot.xaxis.visible = False
    return plot


def tree(title: str, y: str, linkage: np.ndarray, names: Sequence[str], groups: Sequence[str]) -> Any:
    """A dendrogram; leaves are coloured by group."""
    if len(linkage) == 0:
        return None
    drawn = dendrogram(linkage, no_plot=True)
    order = drawn["leaves"]
    plot = new_figure(title, "", y)
    plot.height = 360
    plot.multi_line(
        xs=[[v / 10 for v in xs] for xs in drawn["icoord"]], ys=drawn["dcoord"], line_color="#5b6470", line_width=1.2
    )
    colours = group_colours(groups)
    leaves = {
        "x": [i + 0.5 for i in range(len(order))], "y": [0.0] * len(order), "name": [names[i] for i in order],
        "group": [groups[i] or "none" for i in order], "colour": [colours[groups[i]] for i in order],
    }  # fmt: skip
    dots = plot.scatter("x", "y", source=ColumnDataSource(leaves), size=8, color="colour")
    plot.add_tools(HoverTool(renderers=[dots], tooltips=[("", "@name"), ("group", "@group")]))
    _names_on(plot.xaxis, [names[i] for i in order])
    return plot


def coordinates(title: str, points: np.ndarray, names: Sequence[str], groups: Sequence[str]) -> list[Any]:
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


def _names_on(axis: Any, names: Sequence[str], *, negative: bool = False) -> None:
    step = max(1, -(-len(names) // _MOST_NAMES))
    ticks = [(-(i + 0.5) if negative else i + 0.5) for i in range(0, len(names), step)]
    axis.ticker = FixedTicker(ticks=ticks)
    axis.major_label_overrides = {t: names[int(abs(t))] for t in ticks}
    axis.major_label_text_font_size = "9px"
    if not negative:
        axis.major_label_orientation = 1.2
