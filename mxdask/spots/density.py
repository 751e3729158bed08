"""Spots in areas of the detector that are far too crowded to be diffraction (the ``spot_density`` filter)."""

from __future__ import annotations

import numpy as np

from mxdask.spots.params import SpotDensity
from mxdask.table import ReflectionTable

_MOST_CLASSES = 30


def crowded(table: ReflectionTable, params: SpotDensity) -> np.ndarray:
    """(n,) bool, True for spots in bins of the (fast, slow) map that hold too many spots.

    The bins are put into at most 30 classes by their contents. Where the cumulative fraction of bins has all but
    stopped growing (twice in a row less than ``gradient_cutoff`` per spot), fuller bins are outliers. (DIALS cuts one
    class lower, which rejects every spot when one bin is very full.)
    """
    x, y = table["xyzobs.px.value"][:, 0], table["xyzobs.px.value"][:, 1]
    contents, x_edges, y_edges = np.histogram2d(x, y, bins=params.nbins)
    classes, edges = np.histogram(contents, bins=max(min(int(contents.max()), _MOST_CLASSES), 1))
    slope = np.diff(np.cumsum(classes) / contents.size) / (edges[1] - edges[0])
    flat = slope < params.gradient_cutoff
    twice = np.flatnonzero(flat[1:] & flat[:-1])
    if len(twice) == 0:
        return np.zeros(len(table), bool)
    column = np.clip(np.searchsorted(x_edges, x, side="right") - 1, 0, params.nbins - 1)
    row = np.clip(np.searchsorted(y_edges, y, side="right") - 1, 0, params.nbins - 1)
    return contents[column, row] > edges[twice[0] + 1]
