"""Boxes of pixels that are held only while the images they lie on pass by.

A box is four times as large as its foreground, and its pixels are needed only until its background and sum are known.
So boxes are handled in waves of reflections that end on nearly the same image: a wave's pixels are allocated at its
first image and given up after its last. What is held at a time depends on the depth of reflections, not on the number
of images.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np

from mxdask.integrate.foreground import starts
from mxdask.integrate.gather_kernels import copy_frame

# Pixels of one wave: few enough to be held in dozens, enough to make calls of kernels cheap.
WAVE_PIXELS = 100_000


def order_of_waves(box: np.ndarray) -> np.ndarray:
    """(n,) rows so that neighbours end on nearly the same image and are of similar depth."""
    depth = box[:, 5] - box[:, 4]
    return np.lexsort((box[:, 4], box[:, 5], np.ceil(np.log2(np.maximum(depth, 1))).astype(np.int64)))


@dataclass
class Wave:
    """Reflections ``rows`` (a slice) of a table ordered by :func:`order_of_waves`.

    Attributes
    ----------
    lattice : which of the tables measured together. begin, end : half-open range of images.
    box : (n, 6); panel : (n,); plane, offset : (n + 1,) places of their planes and pixels, from 0.
    values : pixels of all boxes while they are held, flat i4.
    """

    lattice: int
    rows: slice
    begin: int
    end: int
    box: np.ndarray
    panel: np.ndarray
    plane: np.ndarray
    offset: np.ndarray
    values: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int32))

    def start(self) -> None:
        self.values = np.empty(self.offset[-1], dtype=np.int32)

    def copy(self, z: int, panel: int, frame: np.ndarray, good: np.ndarray, trusted: tuple[int, int]) -> None:
        """Take over what frame ``z`` of a panel holds of the boxes; ``trusted`` is inclusive."""
        copy_frame(frame, good, *trusted, z, panel, self.panel, self.box, self.offset, self.values)


def plan_waves(lattice: int, box: np.ndarray, panel: np.ndarray) -> list[Wave]:
    """Cut a table ordered by :func:`order_of_waves` into waves of about :data:`WAVE_PIXELS` pixels."""
    area = (box[:, 1] - box[:, 0]).astype(np.int64) * (box[:, 3] - box[:, 2])
    depth = (box[:, 5] - box[:, 4]).astype(np.int64)
    number = (np.cumsum(area * depth) - 1) // WAVE_PIXELS
    kind = np.ceil(np.log2(np.maximum(depth, 1))).astype(np.int64)
    edges = np.flatnonzero(np.diff(number, prepend=-1) | np.diff(kind, prepend=-1))
    waves = []
    for a, b in itertools.pairwise([*edges.tolist(), len(box)]):
        own = box[a:b]
        waves.append(
            Wave(
                lattice, slice(a, b), int(own[:, 4].min()), int(own[:, 5].max()), own, panel[a:b],
                starts(area[a:b]), starts(area[a:b] * depth[a:b]),
            )
        )  # fmt: skip
    return waves
