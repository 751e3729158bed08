"""How much crystals decay while they are measured, from the scales they were given."""

from __future__ import annotations

import itertools

import numpy as np

from mxdask.table import ReflectionTable

_FEWEST = 50


def sweep_decay(scaled: ReflectionTable, n_crystals: int) -> np.ndarray:
    """(n_crystals,) growth of B from the first to the last image in Å²; NaN where the data cannot tell.

    Whatever the scaling model is called, a crystal that decays has inverse scales g ∝ exp(-2 B(z) s²), s = 1/(2 d):
    ln g is fitted by c + α z + β s² + γ z s² with z from 0 to 1 over the crystal's own reflections; the growth is -γ/2.
    """
    growth = np.full(n_crystals, np.nan)
    if "inverse_scale_factor" not in scaled or "d" not in scaled or "xyzobs.px.value" not in scaled:
        return growth
    g, d, z = scaled["inverse_scale_factor"], scaled["d"], scaled["xyzobs.px.value"][:, 2]
    good = np.flatnonzero((g > 0) & (d > 0) & np.isfinite(z))
    order = good[np.argsort(scaled["id"][good], kind="stable")]
    ends = np.searchsorted(scaled["id"][order], np.arange(n_crystals + 1))
    for crystal, (begin, end) in enumerate(itertools.pairwise(ends)):
        rows = order[begin:end]
        if len(rows) < _FEWEST or np.ptp(z[rows]) == 0:
            continue
        s2 = 0.25 / d[rows] ** 2
        t = (z[rows] - z[rows].min()) / np.ptp(z[rows])
        design = np.stack([np.ones(len(rows)), t, s2, t * s2], axis=1)
        growth[crystal] = -0.5 * np.linalg.lstsq(design, np.log(g[rows]), rcond=None)[0][3]
    return growth
