"""Figures in one style. Every function returns None where there is nothing to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.models import (
    BasicTicker,
    ColorBar,
    ColumnDataSource,
    FixedTicker,
    HoverTool,
    Legend,
    LinearColorMapper,
    Span,
)
from bokeh.palettes import turbo
from bokeh.plotting import figure

# Colours that stay apart for colour-blind readers (Okabe & Ito, 2008), blue first.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6B4C9A", "#7F7F7F")
HEIGHT = 300
MAX_LINES = 12  # more curves than this are drawn as a map of colours
_GREY, _FAINT = "#5b6470", "#e6e9ee"

Series = tuple[str, np.ndarray, np.ndarray]
Colours = Mapping[str, str]


def new_figure(title: str, x: str, y: str, **options: Any) -> Any:
    """An empty figure."""
    plot = figure(
        title=title, x_axis_label=x, y_axis_label=y, height=HEIGHT, sizing_mode="stretch_width",
        tools="pan,wheel_zoom,box_zoom,reset,save", active_drag="box_zoom", **options,
    )  # fmt: skip
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    plot.outline_line_color = None
    plot.grid.grid_line_color = _FAINT
    plot.title.text_font_size = "13px"
    plot.title.text_color = "#1d2733"
    plot.axis.axis_line_color = _GREY
    plot.axis.major_tick_line_color = _GREY
    plot.axis.minor_tick_line_color = None
    plot.axis.axis_label_text_font_style = "normal"
    plot.axis.axis_label_text_color = _GREY
    plot.axis.major_label_text_color = _GREY
    return plot


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _with_legend(plot: Any, items: list[tuple[str, list[Any]]]) -> Any:
    if 1 < len(items) <= MAX_LINES:
        legend = Legend(
            items=items, click_policy="hide", label_text_font_size="11px", border_line_color=None,
            spacing=0, padding=4, background_fill_alpha=0.0,
        )  # fmt: skip
        plot.add_layout(legend, "right")
    return plot


def palette(names: Sequence[str]) -> dict[str, str]:
    """A colour for every name, by its place."""
    return {name: _colour(i) for i, name in enumerate(names)}


def lines(
    title: str, x: str, y: str, series: Sequence[Series], *, markers: bool = False, colours: Colours | None = None,
    **options: Any,
) -> Any:  # fmt: skip
    """Curves (name, x, y) with a legend to hide them one by one; points that are not finite leave gaps.

    Parameters
    ----------
    colours : name → colour; the others get theirs by their place.
    """
    series = [(n, a, b) for n, a, b in series if len(a) == len(b) > 0 and np.isfinite(b).any()]
    if not series:
        return None
    plot = new_figure(title, x, y, **options)
    items = []
    for i, (name, xs, ys) in enumerate(series):
        source = ColumnDataSource({"x": xs, "y": ys, "name": [name] * len(xs)})
        colour = (colours or {}).get(name, _colour(i))
        drawn = [plot.line("x", "y", source=source, line_width=1.8, color=colour)]
        if markers or len(xs) < 3:
            drawn.append(plot.scatter("x", "y", source=source, size=5, color=colour))
        items.append((name, drawn))
    plot.add_tools(HoverTool(tooltips=[("", "@name"), (x, "@x"), (y, "@y")], renderers=[d[-1] for _, d in items]))
    return _with_legend(plot, items)


def heatmap(title: str, x: str, y: str, names: Sequence[str], start: float, values: np.ndarray) -> Any:
    """(crystal, image) values as colours: many crystals in one look."""
    if values.size == 0 or not np.isfinite(values).any():
        return None
    plot = new_figure(title, x, "crystal")
    low, high = np.nanpercentile(values, [1, 99])
    mapper = LinearColorMapper("Viridis256", low=float(low), high=float(max(high, low + 1e-9)), nan_color="#f4f5f7")
    n, width = values.shape
    source = ColumnDataSource(
        {"image": [values[::-1].astype(np.float32)], "x": [start], "y": [-n], "dw": [width], "dh": [n]}
    )
    plot.image("image", "x", "y", "dw", "dh", source=source, color_mapper=mapper)
    plot.add_layout(ColorBar(color_mapper=mapper, title=y, ticker=BasicTicker(desired_num_ticks=5), width=10), "right")
    plot.x_range.range_padding = plot.y_range.range_padding = 0
    ticks = [-(i + 0.5) for i in range(n)] if n <= 30 else [-(i + 0.5) for i in range(0, n, max(1, n // 10))]
    plot.yaxis.ticker = FixedTicker(ticks=ticks)
    plot.yaxis.major_label_overrides = {t: names[int(-t)] for t in ticks}
    plot.add_tools(HoverTool(tooltips=[(y, "@image"), (x, "$x{0}")]))
    return plot


def colour_map(
    title: str, x: str, y: str, value: str, values: np.ndarray, x_range: tuple[float, float],
    y_range: tuple[float, float],
) -> Any:  # fmt: skip
    """A (rows, columns) map of values as colours; the first row is at the start of ``y_range``."""
    if values.size == 0 or not np.isfinite(values).any():
        return None
    plot = new_figure(title, x, y)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    mapper = LinearColorMapper("Viridis256", low=low, high=max(high, low + 1e-9), nan_color="#f4f5f7")
    (x0, x1), (y0, y1) = x_range, y_range
    data = {"image": [values.astype(np.float32)], "x": [x0], "y": [y0], "dw": [x1 - x0], "dh": [y1 - y0]}
    plot.image("image", "x", "y", "dw", "dh", source=ColumnDataSource(data), color_mapper=mapper)
    ticker = BasicTicker(desired_num_ticks=5)
    plot.add_layout(ColorBar(color_mapper=mapper, title=value, ticker=ticker, width=10), "right")
    plot.x_range.range_padding = plot.y_range.range_padding = 0
    plot.add_tools(HoverTool(tooltips=[(value, "@image"), (x, "$x{0.0}"), (y, "$y{0.0}")]))
    return plot


def per_image(
    title: str, y: str, names: Sequence[str], curves: Sequence[np.ndarray], first: Sequence[float],
    colours: Colours | None = None,
) -> Any:  # fmt: skip
    """One value per image and crystal: lines for a few crystals, a map of colours for many.

    Parameters
    ----------
    curves : (n_images,) per crystal; empty ones are left out.
    first : number of the first image of each.
    """
    kept = [i for i, c in enumerate(curves) if len(c)]
    if len(kept) <= MAX_LINES:
        series = [(names[i], first[i] + np.arange(len(curves[i])), curves[i]) for i in kept]
        return lines(title, "image", y, series, colours=colours)
    longest = max(len(curves[i]) for i in kept)
    values = np.full((len(kept), longest), np.nan)
    for row, i in enumerate(kept):
        values[row, : len(curves[i])] = curves[i]
    return heatmap(title, "image", y, [names[i] for i in kept], min(first[i] for i in kept), values)


def per_crystal(title: str, y: str, names: Sequence[str], series: Mapping[str, np.ndarray]) -> Any:
    """One point per crystal and quantity, crystals in their order; hovering tells which."""
    shown = {k: v for k, v in series.items() if np.isfinite(v).any()}
    if not shown:
        return None
    plot = new_figure(title, "crystal", y)
    items, size = [], 9 if len(names) <= 60 else 5
    for i, (name, values) in enumerate(shown.items()):
        ok = np.isfinite(values)
        place = np.flatnonzero(ok).tolist()
        source = ColumnDataSource({"x": [p + 1 for p in place], "y": values[ok], "crystal": [names[p] for p in place]})
        items.append((name, [plot.scatter("x", "y", source=source, size=size, alpha=0.85, color=_colour(i))]))
    plot.add_tools(HoverTool(tooltips=[("", "@crystal"), (y, "@y")]))
    if len(names) <= 12:
        plot.xaxis.ticker = FixedTicker(ticks=list(range(1, len(names) + 1)))
        plot.xaxis.major_label_overrides = {i + 1: n for i, n in enumerate(short_names(names))}
    return _with_legend(plot, items)


def short_names(names: Sequence[str]) -> list[str]:
    """Names without the beginning that all share."""
    if len(names) < 2:
        return list(names)
    low, high = min(names), max(names)
    n = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
    n = max(low.rfind("_", 0, n) + 1, 0)
    return [name[n:] or name for name in names]


def histogram(title: str, x: str, series: Mapping[str, np.ndarray], bins: int = 30) -> Any:
    """Distributions over common bins."""
    finite = {k: v[np.isfinite(v)] for k, v in series.items() if np.isfinite(v).sum() > 1}
    if not finite:
        return None
    edges = np.histogram_bin_edges(np.concatenate(list(finite.values())), bins)
    plot = new_figure(title, x, "number")
    items = []
    for i, (name, values) in enumerate(finite.items()):
        counts, _ = np.histogram(values, edges)
        source = ColumnDataSource({"left": edges[:-1], "right": edges[1:], "top": counts})
        bars = plot.quad(
            "left",
            "right",
            "top",
            0,
            source=source,
            color=_colour(i),
            fill_alpha=0.45,
            line_color=_colour(i),
            line_width=1,
        )
        items.append((name, [bars]))
    plot.y_range.start = 0
    plot.add_tools(HoverTool(tooltips=[(x, "@left – @right"), ("number", "@top")]))
    return _with_legend(plot, items)


def bars(title: str, x: str, y: str, left: np.ndarray, right: np.ndarray, top: np.ndarray) -> Any:
    """A histogram that was counted elsewhere."""
    if len(top) == 0 or len(left) != len(top) or len(right) != len(top):
        return None
    plot = new_figure(title, x, y)
    source = ColumnDataSource({"left": left, "right": right, "top": top})
    plot.quad("left", "right", "top", 0, source=source, color=COLOURS[0], fill_alpha=0.45, line_color=COLOURS[0])
    plot.y_range.start = 0
    plot.add_tools(HoverTool(tooltips=[(x, "@left – @right"), (y, "@top")]))
    return plot


def scatter(
    title: str, x: str, y: str, xs: np.ndarray, ys: np.ndarray, names: Sequence[str],
    groups: Sequence[str] | None = None, *, equal: bool = False,
) -> Any:  # fmt: skip
    """Points with names, coloured by group; ``equal`` gives both axes one scale and draws them through the origin."""
    ok = np.isfinite(xs) & np.isfinite(ys)
    if not ok.any():
        return None
    plot = new_figure(title, x, y, match_aspect=equal)
    groups = list(groups) if groups is not None else [""] * len(xs)
    items, size = [], 9 if len(xs) <= 60 else 5
    kinds = list(dict.fromkeys(g for g, good in zip(groups, ok, strict=True) if good))
    colours = COLOURS if len(kinds) <= len(COLOURS) else turbo(len(kinds))
    for group, colour in zip(kinds, colours, strict=False):
        rows = [k for k in np.flatnonzero(ok).tolist() if groups[k] == group]
        data = {"x": xs[rows], "y": ys[rows], "name": [names[k] for k in rows], "group": [group] * len(rows)}
        items.append(
            (group, [plot.scatter("x", "y", source=ColumnDataSource(data), size=size, alpha=0.8, color=colour)])
        )
    tooltips = [("", "@name"), *([("", "@group")] if any(groups) else []), (x, "@x"), (y, "@y")]
    plot.add_tools(HoverTool(tooltips=tooltips))
    if equal:
        for dimension in ("width", "height"):
            plot.add_layout(Span(location=0, dimension=dimension, line_color="#b8c0cc", line_width=1))
    return _with_legend(plot, items)


def against_resolution(title: str, y: str, d: np.ndarray, series: Mapping[str, np.ndarray], **options: Any) -> Any:
    """Curves against resolution: the axis is linear in 1/d² and labelled in Å."""
    s2 = 1 / d**2 if len(d) else d
    plot = lines(title, "resolution (Å)", y, [(k, s2, v) for k, v in series.items()], markers=True, **options)
    if plot is None:
        return None
    finite = s2[np.isfinite(s2)]
    wanted = np.array(
        [10, 5, 4, 3.5, 3, 2.5, 2.2, 2, 1.8, 1.7, 1.6, 1.5, 1.4, 1.3, 1.2, 1.1, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5]
    )
    places = 1 / wanted**2
    inside = np.flatnonzero((places >= finite.min()) & (places <= finite.max() * 1.02))
    kept: list[int] = []
    for i in inside:  # labels at least a twelfth of the axis apart
        if not kept or places[i] - places[kept[-1]] > np.ptp(finite) / 12:
            kept.append(int(i))
    if kept:
        plot.xaxis.ticker = FixedTicker(ticks=[float(places[i]) for i in kept])
        plot.xaxis.major_label_overrides = {float(places[i]): f"{wanted[i]:g}" for i in kept}
    plot.select_one(HoverTool).tooltips = [("", "@name"), ("1/d²", "@x"), (y, "@y")]
    return plot
