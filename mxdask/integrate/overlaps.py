"""Reflections whose foregrounds touch, in one lattice or in several on the same sweep.

A pixel of the foreground that is nearer to a neighbour's centre than to the reflection's own, and inside the
neighbour's foreground, on the images that record the neighbour, is not used for the profile fit. Which pixels these
are follows from the predictions alone, so it is the same however the sweep is cut into blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from mxdask.geometry.kabsch import local_axes
from mxdask.integrate.foreground import ForegroundPixels, ranges, starts
from mxdask.integrate.overlap_kernels import mark_neighbours


@dataclass(frozen=True)
class Extent:
    """Where the foregrounds of n reflections lie: wave vectors s1 (n, 3) Å⁻¹, images (n, 2), radius δb (radians)."""

    s1: np.ndarray
    images: np.ndarray
    delta_b: float


@dataclass(frozen=True)
class Neighbours:
    """Neighbours of n reflections, flat.

    Attributes
    ----------
    start : (n + 1,) i8, reflection i owns rows start[i]:start[i + 1].
    uv : (m, 2) radians, the neighbour's centre in the reflection's Kabsch frame. images : (m, 2) its images.
    reach : (m,) radius of its foreground, radians.
    """

    start: np.ndarray
    uv: np.ndarray
    images: np.ndarray
    reach: np.ndarray

    def select(self, rows: np.ndarray) -> Neighbours:
        start, index = ranges(self.start, rows)
        return Neighbours(start, self.uv[index], self.images[index], self.reach[index])


def find_neighbours(own: Extent, s0: np.ndarray, others: Sequence[Extent]) -> Neighbours:
    """Neighbours of every reflection of ``own`` among themselves and among ``others`` on the same images."""
    unit = own.s1 / np.linalg.norm(own.s1, axis=1, keepdims=True)
    tree = cKDTree(unit)
    e1, e2 = local_axes(s0, own.s1)
    row, uv, images, reach = [], [], [], []
    for position, other in enumerate([own, *others]):
        there = other.s1 / np.linalg.norm(other.s1, axis=1, keepdims=True)
        near = tree.sparse_distance_matrix(cKDTree(there), own.delta_b + other.delta_b, output_type="coo_matrix")
        i, j = near.row.astype(np.int64), near.col.astype(np.int64)
        meet = np.minimum(own.images[i, 1], other.images[j, 1]) > np.maximum(own.images[i, 0], other.images[j, 0])
        if position == 0:
            meet &= i != j
        i, j = i[meet], j[meet]
        row.append(i)
        uv.append(np.column_stack([np.sum(e1[i] * there[j], axis=1), np.sum(e2[i] * there[j], axis=1)]))
        images.append(other.images[j])
        reach.append(np.full(len(j), other.delta_b))
    rows = np.concatenate(row)
    where = np.concatenate(uv)
    order = np.lexsort((where[:, 1], where[:, 0], rows))
    start = starts(np.bincount(rows, minlength=len(own.s1)))
    return Neighbours(start, where[order], np.concatenate(images)[order], np.concatenate(reach)[order])


def leave_out_neighbours(pixels: ForegroundPixels, z0: np.ndarray, neighbours: Neighbours) -> np.ndarray:
    """Mark shared pixels as not usable (in place); (n,) bool says which reflections lost some."""
    touched = np.zeros(len(z0), dtype=bool)
    mark_neighbours(
        pixels.pixel_start, pixels.uv, pixels.count_start, pixels.counts, z0, neighbours.start, neighbours.uv,
        neighbours.images, neighbours.reach, touched,
    )  # fmt: skip
    return touched
