"""The page of estimate_resolution."""

from __future__ import annotations

from mxdask.assess.resolution import METRICS, Limits, log_text
from mxdask.assess.svg import Plot, Series, page


def resolution_page(limits: Limits) -> str:
    """A curve per metric, with its fit and limit."""
    plots = []
    for metric, found in limits.found.items():
        if found is None:
            continue
        s, name = found.inverse_d_squared, METRICS[metric]
        tips = [f"{x**-0.5:.2f} Å: {y:.3f}" for x, y in zip(s, found.cc_half, strict=True)]
        plots.append(
            Plot(
                f"{name} against resolution", "resolution / Å", name,
                [Series(name, s, found.cc_half, points=True, tips=tips), Series("fit", s, found.fit)],
                resolution=True, verticals=[(found.d_min**-2, f"{found.d_min:.2f} Å")],
                horizontals=[(found.limit, f"{found.limit:g}")],
            )
        )  # fmt: skip
    return page("Resolution", plots, log_text(limits))
