"""Spots in areas of the detector that are far too crowded to be diffraction (the ``spot_density`` filter)."""

from __future__ import annotations

import numpy as np

from mxdask.spots.params import SpotDensity
from mxdask.table import ReflectionTable


def crowded(table: ReflectionTable, params: SpotDensity) -> np.ndarray:
    """(n,) bool, True for spots in bins of the (fast, slow) map that hold too many.

    The sorted bin contents make a cumulative histogram; where its slope, as a fraction of all bins, has fallen below
    the cutoff, what lies beyond are outliers (front.md 6.3).
    """
    x, y = table["xyzobs.px.value"][:, 0], table["xyzobs.px.value"][:, 1]
    contents, x_edges, y_edges = np.histogram2d(x, y, bins=params.nbins)
    counts = np.bincount(contents.astype(np.int64).ravel())
    cumulative = np.cumsum(counts) / contents.size
    slope = np.diff(cumulative, prepend=0.0)
    flat = np.flatnonzero(slope[1:] < params.gradient_cutoff)
    if len(flat) == 0:
        return np.zeros(len(table), bool)
    most = flat[0] + 1
    column = np.clip(np.searchsorted(x_edges, x, side="right") - 1, 0, params.nbins - 1)
    row = np.clip(np.searchsorted(y_edges, y, side="right") - 1, 0, params.nbins - 1)
    return contents[column, row] > most
