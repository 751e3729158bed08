"""Pages with one picture each; they need no network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.embed import file_html
from bokeh.layouts import gridplot
from bokeh.models import HoverTool, Span
from bokeh.plotting import figure
from bokeh.resources import INLINE
from scipy.cluster.hierarchy import dendrogram

from mxdask.clustering.projection import Poles

# Colours that stay apart for colour-blind readers (Okabe & Ito, 2008).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6B4C9A", "#7F7F7F")


def dendrogram_page(tree: np.ndarray, names: Sequence[str], threshold: float, *, logarithmic: bool = False) -> str:
    """The tree, leaves in the order that keeps branches apart, branches below the threshold coloured by cluster."""
    drawn = dendrogram(tree, no_plot=True, color_threshold=threshold, above_threshold_color="#7F7F7F")
    positive = tree[:, 2][tree[:, 2] > 0]
    floor = float(positive.min()) / 2 if logarithmic and len(positive) else 0.0
    order = drawn["leaves"]
    plot = figure(
        title="Unit cells", width=1100, height=600, y_axis_label="distance / Å²",
        y_axis_type="log" if logarithmic else "linear", tools="pan,wheel_zoom,box_zoom,reset,save",
    )  # fmt: skip
    shades = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(dict.fromkeys(drawn["color_list"]))}
    colours = [c if c.startswith("#") else shades[c] for c in drawn["color_list"]]
    heights = [[max(y, floor) for y in ys] for ys in drawn["dcoord"]]
    plot.multi_line(xs=[[x / 10 for x in xs] for xs in drawn["icoord"]], ys=heights, line_color=colours, line_width=1.5)
    plot.add_layout(Span(location=threshold, dimension="width", line_dash="dashed", line_color="#D55E00"))
    places = [i + 0.5 for i in range(len(order))]
    leaves = plot.scatter(
        x="x", y="y", size=6, color="#1d2733",
        source={"x": places, "y": [floor] * len(order), "name": [names[i] for i in order], "row": order},
    )  # fmt: skip
    plot.add_tools(HoverTool(renderers=[leaves], tooltips=[("crystal", "@row"), ("sweep", "@name")]))
    if len(order) <= 100:
        plot.xaxis.ticker = places
        plot.xaxis.major_label_overrides = {x: names[i] for x, i in zip(places, order, strict=True)}
        plot.xaxis.major_label_orientation = 1.2
    else:
        plot.xaxis.visible = False
    return _page(plot, "cluster_unit_cell")


def histogram_page(cells: np.ndarray, steps: float, iqr_ratio: float) -> str:
    """Histograms of a, b, c, α, β, γ of cells (n, 6); values far outside the quartiles are left out, and counted."""
    plots = []
    for k, (name, unit) in enumerate(zip(("a", "b", "c", "α", "β", "γ"), ("Å",) * 3 + ("°",) * 3, strict=True)):
        values = within_fences(cells[:, k], iqr_ratio)
        left_out = len(cells) - len(values)
        counts, edges = bins(values, steps)
        title = f"{name}: median {np.median(cells[:, k]):.3f} {unit}" + (f", {left_out} outside" if left_out else "")
        plot = figure(title=title, x_axis_label=f"{name} / {unit}", y_axis_label="crystals", width=380, height=280)
        plot.quad(
            top=counts, bottom=0, left=edges[:-1], right=edges[1:], fill_color=_COLOURS[k % 3], line_color="white"
        )
        plots.append(plot)
    return _page(gridplot([plots[:3], plots[3:]]), "unit_cell_histogram")


def within_fences(values: np.ndarray, iqr_ratio: float) -> np.ndarray:
    """Values at most ``iqr_ratio`` interquartile ranges outside the quartiles."""
    low, high = np.quantile(values, [0.25, 0.75])
    margin = iqr_ratio * (high - low)
    return values[(values >= low - margin - 1e-9) & (values <= high + margin + 1e-9)]


def bins(values: np.ndarray, steps: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts and edges of bins 1/steps wide on multiples of that width."""
    first, last = np.floor(values.min() * steps + 1e-9), np.floor(values.max() * steps + 1e-9) + 1
    edges = np.arange(first, last + 1) / steps
    return np.histogram(values, edges)


def projection_page(points: Sequence[Poles], names: Sequence[str]) -> str:
    """Poles within the unit circle, a colour for each reflection."""
    plot = figure(
        title="Stereographic projection", width=750, height=700, match_aspect=True,
        x_range=(-1.1, 1.4), y_range=(-1.1, 1.1), tools="pan,wheel_zoom,box_zoom,reset,save",
    )  # fmt: skip
    plot.circle(x=0, y=0, radius=1.0, fill_color=None, line_color="#5b6470")
    plot.axis.visible = False
    plot.grid.visible = False
    renderers: list[Any] = []
    for i, pole in enumerate(points):
        source = {
            "x": pole.xy[:, 0], "y": pole.xy[:, 1], "row": pole.row, "name": [names[r] for r in pole.row],
            "hkl": [" ".join(map(str, h)) for h in pole.hkl.tolist()],
        }  # fmt: skip
        renderers.append(
            plot.scatter(
                x="x", y="y", source=source, size=5, color=_COLOURS[i % len(_COLOURS)], legend_label=pole.label
            )
        )
    tips = [("crystal", "@row @name"), ("hkl", "@hkl")]
    plot.add_tools(HoverTool(renderers=renderers, tooltips=tips))
    plot.legend.click_policy = "hide"
    return _page(plot, "stereographic_projection")


def _page(layout: Any, title: str) -> str:
    return str(file_html(layout, INLINE, title=title))
