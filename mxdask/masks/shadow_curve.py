"""How much of a detector a goniometer hides, against the scan angle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mxdask.io.atomic import replacing
from mxdask.masks.shadow import Shadow

Curve = tuple[np.ndarray, np.ndarray]

# Colours that stay apart for colour-blind readers (Okabe & Ito, 2008).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def shadow_curve(shadow: Shadow, start: float, end: float, step: float) -> Curve:
    """Scan angles (deg) start, start + step … below end, and the shadowed fraction of the detector (0 to 1) at each."""
    n = max(int(np.ceil((end - start) / step - 1e-9)), 1)
    angles = start + step * np.arange(n)
    return angles, np.array([shadow.fraction(float(angle)) for angle in angles])


def write_plot(path: Path, curves: Mapping[str, Curve], axis: str, y_max: float | None) -> None:
    """One curve per sweep as a self-contained html page; ``y_max`` in percent."""
    from bokeh.embed import file_html
    from bokeh.models import HoverTool
    from bokeh.plotting import figure
    from bokeh.resources import INLINE

    plot = figure(
        title="Shadow of the goniometer", x_axis_label=f"{axis} (°)", y_axis_label="Shadowed area (%)",
        width=900, height=420, tools="pan,wheel_zoom,box_zoom,reset,save",
    )  # fmt: skip
    plot.toolbar.logo = None
    for k, (name, (angles, fractions)) in enumerate(curves.items()):
        colour = _COLOURS[k % len(_COLOURS)]
        plot.line(angles, 100 * fractions, color=colour, line_width=2, legend_label=name)
        if len(angles) == 1:
            plot.scatter(angles, 100 * fractions, color=colour, size=8)
    plot.add_tools(HoverTool(tooltips=[(axis, "@x{0.00}°"), ("shadowed", "@y{0.00} %")], mode="mouse"))
    plot.y_range.start = 0
    if y_max is not None:
        plot.y_range.end = y_max
    plot.legend.click_policy = "hide"
    plot.legend.background_fill_alpha = 0.6
    with replacing(path) as temporary:
        temporary.write_text(file_html(plot, resources=INLINE, title="Shadow of the goniometer"))
