"""Groups of successive images: the smallest parts of a sweep that filtering looks at (back.md 14.2, 16.4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ImageGroups:
    """Groups of images of all sweeps, numbered through.

    Attributes
    ----------
    group : (n,) group of each observation.
    sweep : (g,) which sweep a group belongs to.
    first, last : (g,) numbers of its first and last image.
    """

    group: np.ndarray
    sweep: np.ndarray
    first: np.ndarray
    last: np.ndarray

    def __len__(self) -> int:
        return len(self.sweep)


def group_images(sweep: np.ndarray, image: np.ndarray, size: int) -> ImageGroups:
    """Cut each sweep, from its first to its last observed image, into groups of ``size`` images.

    What is left over at the end belongs to the last group, so that no group is smaller than ``size`` unless its
    sweep is.

    Parameters
    ----------
    sweep, image : (n,) of each observation.
    """
    sweeps, place = np.unique(sweep, return_inverse=True)
    low = np.full(len(sweeps), np.iinfo(np.int64).max)
    high = np.full(len(sweeps), np.iinfo(np.int64).min)
    np.minimum.at(low, place, image)
    np.maximum.at(high, place, image)
    count = np.maximum((high - low + 1) // size, 1)
    offset = np.cumsum(count) - count
    group = offset[place] + np.minimum((image - low[place]) // size, count[place] - 1)
    owner = np.repeat(np.arange(len(sweeps)), count)
    rank = np.arange(len(owner)) - offset[owner]
    first = low[owner] + rank * size
    last = np.where(rank == count[owner] - 1, high[owner], first + size - 1)
    return ImageGroups(group, sweeps[owner], first, last)


def removable(groups: ImageGroups, bad: np.ndarray) -> np.ndarray:
    """(g,) bad groups at the ends of their sweeps, and those that come to lie there when these are gone.

    A gap in the middle of a sweep would break the smooth corrections of scaling.
    """
    bad = np.asarray(bad, dtype=bool)
    out = np.zeros(len(groups), dtype=bool)
    for sweep in np.unique(groups.sweep):
        mine = np.flatnonzero(groups.sweep == sweep)
        good = np.flatnonzero(~bad[mine])
        end = [*range(good[0]), *range(good[-1] + 1, len(mine))] if len(good) else range(len(mine))
        out[mine[list(end)]] = True
    return out
