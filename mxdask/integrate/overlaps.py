"""Reflections whose foregrounds touch, in one lattice or in several on the same sweep.

A reflection is touched by a neighbour when a pixel of its foreground is nearer to the neighbour's centre than to its
own, and inside the neighbour's foreground, on the images that record the neighbour. Such reflections are fitted
together with their neighbours (deconvolution), or these pixels are not used for the fit. Nor do the spots of
neighbours belong to a reflection's background. Which pixels these are follows from the predictions alone, so it is the
same however the sweep is cut into blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from mxdask.geometry.kabsch import local_axes
from mxdask.integrate.foreground import ForegroundPixels, ranges, starts
from mxdask.integrate.overlap_kernels import mark_neighbours, spots_around

# Edge of the cells in which spots are looked up, pixels.
CELL = 16.0
# Reflections whose neighbours are searched together.
AT_A_TIME = 10_000


@dataclass(frozen=True)
class Extent:
    """Where n reflections of a lattice lie.

    Attributes
    ----------
    s1 : (n, 3) Å⁻¹. panel : (n,). xy : (n, 2) px. images : (n, 2) half-open range on which they are recorded.
    phi : (n,) radians. zeta : (n,). delta_b : (n,) radius of their foregrounds, radians. sigma_m : (n,) radians.
    """

    s1: np.ndarray
    panel: np.ndarray
    xy: np.ndarray
    images: np.ndarray
    phi: np.ndarray
    zeta: np.ndarray
    delta_b: np.ndarray
    sigma_m: np.ndarray


@dataclass(frozen=True)
class Neighbours:
    """Neighbours of n reflections, flat.

    Attributes
    ----------
    start : (n + 1,) i8, reflection i owns rows start[i]:start[i + 1].
    uv : (m, 2) radians, the neighbour's centre in the reflection's Kabsch frame. images : (m, 2) its images.
    reach : (m,) radius of its foreground, radians.
    phi, zeta, sigma_m : (m,) what its rocking curve follows from. scale : (m,) its width in units of one's own.
    """

    start: np.ndarray
    uv: np.ndarray
    images: np.ndarray
    reach: np.ndarray
    phi: np.ndarray
    zeta: np.ndarray
    sigma_m: np.ndarray
    scale: np.ndarray

    def select(self, rows: np.ndarray) -> Neighbours:
        start, index = ranges(self.start, rows)
        columns = (self.uv, self.images, self.reach, self.phi, self.zeta, self.sigma_m, self.scale)
        return Neighbours(start, *(column[index] for column in columns))

    @staticmethod
    def none(n: int) -> Neighbours:
        """What n reflections without neighbours have."""
        empty = np.zeros(0)
        start = np.zeros(n + 1, dtype=np.int64)
        return Neighbours(start, np.zeros((0, 2)), np.zeros((0, 2), np.int64), empty, empty, empty, empty, empty)


@dataclass(frozen=True)
class Around:
    """Spots that reach into the boxes of n reflections, out of N on the same sweep.

    Attributes
    ----------
    start : (n + 1,) i8, reflection i owns spots index[start[i]:start[i + 1]]. index : (m,) i4. delta_b : (n,) radians.
    spot_xy : (N, 2) px, centres of the spots. spot_images : (N, 2) their images. spot_delta_b : (N,) radians.
    """

    start: np.ndarray
    index: np.ndarray
    delta_b: np.ndarray
    spot_xy: np.ndarray
    spot_images: np.ndarray
    spot_delta_b: np.ndarray

    def select(self, rows: np.ndarray) -> Around:
        """Some reflections, with the spots around them alone."""
        start, index = ranges(self.start, rows)
        used, place = np.unique(self.index[index], return_inverse=True)
        return Around(
            start, place.astype(np.int32), self.delta_b[rows], self.spot_xy[used], self.spot_images[used],
            self.spot_delta_b[used],
        )  # fmt: skip


@dataclass(frozen=True)
class _Spots:
    """Where n spots lie: what :class:`Extent` says, of several lattices."""

    panel: np.ndarray
    xy: np.ndarray
    images: np.ndarray
    delta_b: np.ndarray

    def select(self, rows: np.ndarray) -> _Spots:
        return _Spots(self.panel[rows], self.xy[rows], self.images[rows], self.delta_b[rows])


def find_around(own: Extent, box: np.ndarray, others: Sequence[Extent], *, wanted: bool = True) -> Around:
    """Spots that reach into the boxes (n, 6) of ``own``, of its own lattice and of ``others``; none if not wanted.

    ``own`` is ordered by frame coordinate and searched as in :func:`find_neighbours`. Spots are numbered through, own
    ones first; those of a box ascend.
    """
    spots = _Spots(
        *(np.concatenate([getattr(e, name) for e in (own, *others)]) for name in ("panel", "xy", "images", "delta_b"))
    )
    sizes = np.zeros(len(box), dtype=np.int64)
    index = [np.zeros(0, dtype=np.int32)]
    recorded = np.flatnonzero(own.images[:, 1] > own.images[:, 0])
    for first in range(0, len(recorded) if wanted else 0, AT_A_TIME):
        rows = recorded[first : first + AT_A_TIME]
        near = _on_images(spots.images, own.images[rows])
        sizes[rows], found = _reaching_into(box[rows], np.searchsorted(near, rows), spots.select(near))
        index.append(near[found].astype(np.int32))
    return Around(starts(sizes), np.concatenate(index), own.delta_b, spots.xy, spots.images, spots.delta_b)


def _on_images(images: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Which of the ranges ``images`` (n, 2) share an image with those from the first to the last of ``wanted``."""
    return np.flatnonzero((images[:, 1] > wanted[:, 0].min()) & (images[:, 0] < wanted[:, 1].max()))


def _reaching_into(box: np.ndarray, itself: np.ndarray, spots: _Spots) -> tuple[np.ndarray, np.ndarray]:
    """How many of the spots reach into each box (n, 6), and which, box by box; ``itself`` (n,): a box's own spot."""
    own = spots.select(itself)
    # a box is twice as large as the foreground
    per_radian = 0.25 * np.max(box[:, [1, 3]] - box[:, [0, 2]], axis=1) / own.delta_b
    widest = float(per_radian.max() * spots.delta_b.max())
    low = spots.xy.min(axis=0)
    cells = np.floor((spots.xy - low) / CELL).astype(np.int64)
    shape = cells.max(axis=0) + 1
    cell = (spots.panel * shape[1] + cells[:, 1]) * shape[0] + cells[:, 0]
    cell_start = starts(np.bincount(cell, minlength=(int(spots.panel.max()) + 1) * int(shape.prod())))
    arguments = (
        box, own.panel, own.images, per_radian, itself, widest, low, CELL, shape, cell_start,
        np.argsort(cell, kind="stable"), spots.xy, spots.images, spots.delta_b,
    )  # fmt: skip
    start = np.zeros(len(box) + 1, dtype=np.int64)
    spots_around(*arguments, start, np.zeros(0, dtype=np.int32))
    sizes = start[1:].copy()
    np.cumsum(start, out=start)
    index = np.empty(start[-1], dtype=np.int32)
    spots_around(*arguments, start, index)
    return sizes, index[np.lexsort((index, np.repeat(np.arange(len(box)), sizes)))]


def find_neighbours(own: Extent, s0: np.ndarray, others: Sequence[Extent]) -> Neighbours:
    """Neighbours of every reflection of ``own`` among themselves and among ``others`` on the same images.

    ``own`` is ordered by frame coordinate: some thousands are searched at a time, among those on their images. Over a
    whole turn many more lie in the same direction.
    """
    row, uv, images, numbers = [], [], [], []
    recorded = np.flatnonzero(own.images[:, 1] > own.images[:, 0])
    for first in range(0, len(recorded), AT_A_TIME):
        rows = recorded[first : first + AT_A_TIME]
        e1, e2 = local_axes(s0, own.s1[rows])
        for position, other in enumerate([own, *others]):
            k, i, j, there = _meeting(own, rows, other, _on_images(other.images, own.images[rows]))
            if position == 0:
                different = i != j
                k, i, j, there = k[different], i[different], j[different], there[different]
            row.append(i)
            uv.append(np.column_stack([np.sum(e1[k] * there, axis=1), np.sum(e2[k] * there, axis=1)]))
            images.append(other.images[j])
            scale = other.delta_b[j] / own.delta_b[i]
            numbers.append(np.column_stack([other.phi[j], other.zeta[j], other.delta_b[j], other.sigma_m[j], scale]))
    if not row:
        return Neighbours.none(len(own.s1))
    rows = np.concatenate(row)
    where = np.concatenate(uv)
    order = np.lexsort((where[:, 1], where[:, 0], rows))
    start = starts(np.bincount(rows, minlength=len(own.s1)))
    phi, zeta, reach, sigma_m, scale = np.ascontiguousarray(np.concatenate(numbers)[order].T)
    return Neighbours(start, where[order], np.concatenate(images)[order], reach, phi, zeta, sigma_m, scale)


def _meeting(
    own: Extent, rows: np.ndarray, other: Extent, near: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pairs whose foregrounds touch on common images: place k in ``rows``, row i of ``own`` and row j of ``other`` (of
    those in ``near``), and the (m, 3) unit vectors to the latter."""
    if not len(near):
        none = np.zeros(0, np.int64)
        return none, none, none, np.zeros((0, 3))
    here, there = (s1 / np.linalg.norm(s1, axis=1, keepdims=True) for s1 in (own.s1[rows], other.s1[near]))
    farthest = float(own.delta_b[rows].max() + other.delta_b[near].max())
    close = cKDTree(here).sparse_distance_matrix(cKDTree(there), farthest, output_type="coo_matrix")
    k, place = close.row.astype(np.int64), close.col.astype(np.int64)
    i, j = rows[k], near[place]
    meet = close.data <= own.delta_b[i] + other.delta_b[j]
    meet &= np.minimum(own.images[i, 1], other.images[j, 1]) > np.maximum(own.images[i, 0], other.images[j, 0])
    return k[meet], i[meet], j[meet], there[place[meet]]


def touched_by_neighbours(
    pixels: ForegroundPixels, z0: np.ndarray, neighbours: Neighbours, *, leave_out: bool
) -> np.ndarray:
    """(n,) bool, which reflections share pixels; with ``leave_out`` these are marked as not usable, in place."""
    touched = np.zeros(len(z0), dtype=bool)
    mark_neighbours(
        pixels.pixel_start, pixels.uv, pixels.count_start, pixels.counts, z0, neighbours.start, neighbours.uv,
        neighbours.images, neighbours.reach, leave_out, touched,
    )  # fmt: skip
    return touched
