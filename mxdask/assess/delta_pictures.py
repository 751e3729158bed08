"""The page of compute_delta_cchalf."""

from __future__ import annotations

import numpy as np

from mxdask.assess.delta_cchalf import Judgement, log_text, order
from mxdask.assess.svg import Plot, Series, page


def delta_page(judgement: Judgement) -> str:
    """ΔCC½ of every group, and how many groups have which."""
    delta, cutoff = 100 * judgement.found.delta, 100 * judgement.cutoff.value
    shown = order(judgement)
    tips = [f"{judgement.name(int(g))}: ΔCC½ {delta[g]:.3f} %" for g in shown]
    kept = np.where(judgement.removed[shown], np.nan, delta[shown])
    gone = np.where(judgement.removed[shown], delta[shown], np.nan)
    each = Plot(
        "ΔCC½ of each group (negative: the rest is better without it)", "group", "ΔCC½ / %",
        [Series("kept", shown.astype(float), kept, points=True, tips=tips),
         Series("removed", shown.astype(float), gone, points=True, tips=tips)],
        horizontals=[(cutoff, f"cutoff {cutoff:.2f}")],
    )  # fmt: skip
    counts, edges = np.histogram(delta[shown], min(50, max(10, len(shown) // 5)))
    steps = Series("groups", np.repeat(edges, 2), np.r_[0, np.repeat(counts, 2), 0].astype(float))
    spread = Plot("Histogram", "ΔCC½ / %", "groups", [steps], verticals=[(cutoff, f"cutoff {cutoff:.2f}")])
    return page("ΔCC½", [each, spread], log_text(judgement))
