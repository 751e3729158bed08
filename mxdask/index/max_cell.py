"""The longest cell axis to look for, from distances between neighbouring reciprocal lattice points (front.md 9.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from mxdask.errors import MxdaskError
from mxdask.index.params import MaxCellEstimation
from mxdask.lattice.powder import ice_lines, near_lines
from mxdask.table import ReflectionTable

_ICE_HALF_WIDTH = 0.002  # Å⁻², in 1/d²
_ICE_TO = 0.5  # Å: the many lines beyond are not looked at
_MIN_NEIGHBOURS = 10


def on_ice_ring(rlp: np.ndarray) -> np.ndarray:
    """(n,) whether reciprocal lattice points (n, 3), Å⁻¹, lie within ±0.002 Å⁻² of an ice ring."""
    d2 = np.einsum("ij,ij->i", rlp, rlp)
    d_min = max(_ICE_TO, 1 / np.sqrt(d2.max(initial=0.0) + 2 * _ICE_HALF_WIDTH))
    return near_lines(d2, ice_lines(d_min), _ICE_HALF_WIDTH)


def boxes_overlap(bbox: np.ndarray, panel: np.ndarray) -> np.ndarray:
    """(n,) whether the box (n, 6; half-open) of a spot meets that of another spot on the same panel."""
    hit = np.zeros(len(bbox), dtype=bool)
    if len(bbox) < 2:
        return hit
    order = np.lexsort((bbox[:, 4], panel))
    box, plane = bbox[order].astype(np.int64), panel[order].astype(np.int64)
    # Boxes are sorted by their first frame: those that may meet box i start before its last frame.
    key = plane * (1 << 40) + box[:, 4]
    end = np.searchsorted(key, plane * (1 << 40) + box[:, 5], side="left")
    first, second = _pairs(np.arange(len(box)) + 1, end)
    meets = np.ones(len(first), dtype=bool)
    for k in (0, 2):
        meets &= (box[first, k] < box[second, k + 1]) & (box[second, k] < box[first, k + 1])
    hit[order[first[meets]]] = True
    hit[order[second[meets]]] = True
    return hit


def _pairs(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All (i, j) with start[i] <= j < end[i]."""
    count = np.maximum(end - start, 0)
    first = np.repeat(np.arange(len(start)), count)
    offset = np.concatenate([[0], np.cumsum(count)])[:-1]
    return first, np.arange(count.sum()) - np.repeat(offset - start, count)


def neighbour_periods(tables: Sequence[ReflectionTable], params: MaxCellEstimation) -> np.ndarray:
    """1/distance (Å) of every spot to its nearest neighbour, per sweep, stretch of φ, and entering or leaving side."""
    periods = []
    for table in tables:
        if len(table) == 0:
            continue
        keep = np.ones(len(table), dtype=bool)
        if params.filter_ice:
            keep &= ~on_ice_ring(table["rlp"])
        if params.filter_overlaps and "bbox" in table:
            rows = np.flatnonzero(keep)
            keep[rows] = ~boxes_overlap(table["bbox"][rows], table["panel"][rows])
        phi = np.rad2deg(table["xyzobs.mm.value"][:, 2])
        stretch = ((phi - phi.min()) / params.step_size).astype(int)
        for block in np.unique(stretch):
            for side in (False, True):
                rlp = table["rlp"][keep & (stretch == block) & (table["entering"] == side)]
                if len(rlp) > 1:
                    distance = cKDTree(rlp).query(rlp, k=2)[0][:, 1]
                    periods.append(1.0 / np.maximum(distance, 1e-12))
    return np.concatenate(periods) if periods else np.zeros(0)


def estimate_max_cell(tables: Sequence[ReflectionTable], params: MaxCellEstimation) -> float:
    """Longest cell axis (Å) to look for.

    Parameters
    ----------
    tables : spots of the sweeps that are indexed together (columns rlp, entering, xyzobs.mm.value, panel, bbox).

    Raises
    ------
    MxdaskError : ten neighbour distances or fewer.
    """
    periods = neighbour_periods(tables, params)
    periods = np.sort(periods[periods > 1.0])
    # The one per cent of closest pairs are split spots more often than long axes.
    periods = periods[: int(0.99 * len(periods))]
    if len(periods) <= _MIN_NEIGHBOURS:
        raise MxdaskError(
            f"only {len(periods)} neighbouring spots: too few to estimate max_cell; give it, or unit_cell="
        )
    if params.nearest_neighbor_percentile is not None:
        return params.multiplier * float(np.percentile(periods, params.nearest_neighbor_percentile))
    n_slots = max(1, len(periods) // params.nn_per_bin)
    values = np.log10(periods) if params.histogram_binning == "log" else periods
    counts, edges = np.histogram(values, bins=n_slots)
    if params.histogram_binning == "log":
        edges = 10**edges
    density = counts / np.diff(edges)
    last = int(np.nonzero(density > params.max_height_fraction * density.max())[0][-1])
    return params.multiplier * float(edges[last + 1])
