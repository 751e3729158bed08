"""Spots as connected sets of strong pixels, found block by block and joined without regard to where blocks were cut.

What a component contributes is kept as sums of integers relative to its first pixel (front.md 6.2). Such sums add up
exactly, so a component cut in any way gives the same bits as one that was never cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from mxdask.spots.components_kernels import join_labels, label_pixels, sum_components


@dataclass(frozen=True)
class Components:
    """n connected components of one panel: axes (fast, slow, frame), v the value of a pixel, u its offset from origin.

    Attributes
    ----------
    size : (n,) number of pixels. total : (n,) Σv.
    square : (n, 2) Σv², as the sums of v² // 2³² and v² % 2³²; 64 bits would not hold saturated pixels.
    moment, moment2 : (n, 3) Σv·u and Σv·u².
    origin : (n, 3) the first pixel in (frame, slow, fast) order.
    lower, upper : (n, 3) half-open bounding box.
    peak, peak_at : (n,) largest value and (n, 3) the first pixel that has it.
    """

    size: np.ndarray
    total: np.ndarray
    square: np.ndarray
    moment: np.ndarray
    moment2: np.ndarray
    origin: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    peak: np.ndarray
    peak_at: np.ndarray

    def __len__(self) -> int:
        return len(self.size)

    @classmethod
    def zeros(cls, n: int) -> Components:
        """Room for n components."""
        integers = {name: np.zeros(n, np.int64) for name in ("size", "total", "peak")}
        vectors = ("moment", "moment2", "origin", "lower", "upper", "peak_at")
        return cls(
            square=np.zeros((n, 2), np.int64), **integers, **{name: np.zeros((n, 3), np.int64) for name in vectors}
        )

    @property
    def sum_of_squares(self) -> np.ndarray:
        """(n,) f8 Σv²."""
        return self.square[:, 0] * 2.0**32 + self.square[:, 1]

    def select(self, rows: np.ndarray) -> Components:
        return Components(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @staticmethod
    def concat(parts: Sequence[Components]) -> Components:
        """The components of all parts, in order."""
        return Components(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Components)})


@dataclass(frozen=True)
class Pixels:
    """Strong pixels in (frame, index) order with the component each belongs to.

    Attributes
    ----------
    z : (n,) i4 frame. index : (n,) i4 slow·width + fast. value : (n,) i8. label : (n,) i4 row of the components.
    """

    z: np.ndarray
    index: np.ndarray
    value: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.z)

    def select(self, rows: np.ndarray) -> Pixels:
        return Pixels(self.z[rows], self.index[rows], self.value[rows], self.label[rows])


@dataclass(frozen=True)
class Block:
    """Components of consecutive frames of one panel.

    Attributes
    ----------
    z_range : frames looked at, half-open.
    components, pixels : of those still needed; without shoeboxes the pixels are only those of open components on the
        block's first and last frame.
    n_small, n_large : components already known to be too small or too large, which have been dropped.
    """

    z_range: tuple[int, int]
    components: Components
    pixels: Pixels
    n_small: int
    n_large: int


def label_block(
    z_range: tuple[int, int], frames: Sequence[tuple[np.ndarray, np.ndarray]], width: int, *, flat: bool, largest: int
) -> Block:
    """All components of a block.

    Parameters
    ----------
    frames : per frame of ``z_range`` the (index, value) of its strong pixels, ascending index.
    width : fast size of the panel.
    flat : components do not continue on the next frame.
    largest : sums of components with more pixels are not needed.
    """
    counts = [len(index) for index, _ in frames]
    start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    index = np.concatenate([i for i, _ in frames]).astype(np.int32)
    value = np.concatenate([v for _, v in frames]).astype(np.int64)
    z = np.repeat(np.arange(*z_range, dtype=np.int32), counts)
    labels, n = label_pixels(index, start, width, flat)
    c = Components.zeros(n)
    sum_components(
        z, index, value, labels, width, largest, c.size, c.total, c.square, c.moment, c.moment2, c.origin,
        c.lower, c.upper, c.peak, c.peak_at,
    )  # fmt: skip
    return Block(z_range, c, Pixels(z, index, value, labels), 0, 0)


def drop_closed(
    block: Block, sweep_range: tuple[int, int], smallest: int, largest: int, *, flat: bool, keep_pixels: bool
) -> Block:
    """Forget what can no longer matter: components of wrong size that cannot continue in a neighbouring block.

    Parameters
    ----------
    sweep_range : frames of the whole sweep, beyond which nothing continues.
    keep_pixels : whether the pixels of spots are wanted in the end (shoeboxes).
    """
    c = block.components
    first, end = block.z_range
    opens_down = (c.lower[:, 2] == first) & (first > sweep_range[0]) & (not flat)
    opens_up = (c.upper[:, 2] == end) & (end < sweep_range[1]) & (not flat)
    is_open = opens_down | opens_up
    small, large = ~is_open & (c.size < smallest), ~is_open & (c.size > largest)
    keep = ~(small | large)
    new_label = np.cumsum(keep, dtype=np.int32) - 1
    p = block.pixels
    wanted = keep[p.label]
    if not keep_pixels:
        wanted &= is_open[p.label] & ((p.z == first) | (p.z == end - 1))
    pixels = p.select(wanted)
    pixels = Pixels(pixels.z, pixels.index, pixels.value, new_label[pixels.label])
    return Block(
        block.z_range, c.select(keep), pixels, block.n_small + int(small.sum()), block.n_large + int(large.sum())
    )


def join_blocks(blocks: Sequence[Block], *, flat: bool) -> Block:
    """One block from consecutive ones, whatever their lengths: components that meet at a face become one.

    The operation is associative. Components are ordered by their first pixel.
    """
    offsets = np.concatenate([[0], np.cumsum([len(b.components) for b in blocks])]).astype(np.int64)
    pairs = [np.zeros((0, 2), np.int64)]
    for k in range(len(blocks) - 1 if not flat else 0):
        pairs.append(_meeting(blocks[k], blocks[k + 1]) + offsets[k : k + 2])
    root = join_labels(np.concatenate(pairs), int(offsets[-1]))
    components, row_of_root = _merge(Components.concat([b.components for b in blocks]), root)
    labels = [row_of_root[root[b.pixels.label + o]] for b, o in zip(blocks, offsets, strict=False)]
    pixels = Pixels(
        z=np.concatenate([b.pixels.z for b in blocks]),
        index=np.concatenate([b.pixels.index for b in blocks]),
        value=np.concatenate([b.pixels.value for b in blocks]),
        label=np.concatenate(labels).astype(np.int32),
    )
    return Block(
        (blocks[0].z_range[0], blocks[-1].z_range[1]), components, pixels,
        sum(b.n_small for b in blocks), sum(b.n_large for b in blocks),
    )  # fmt: skip


def _meeting(lower: Block, upper: Block) -> np.ndarray:
    """(m, 2) labels of pixels on the last frame of one block and the first of the next that lie on each other."""
    a = lower.pixels.select(lower.pixels.z == lower.z_range[1] - 1)
    b = upper.pixels.select(upper.pixels.z == upper.z_range[0])
    _, i, j = np.intersect1d(a.index, b.index, assume_unique=True, return_indices=True)
    return np.column_stack([a.label[i], b.label[j]]).astype(np.int64)


def _merge(c: Components, root: np.ndarray) -> tuple[Components, np.ndarray]:
    """Sum components with equal root; also the new row of every root (elsewhere meaningless)."""
    n = len(c)
    is_root = root == np.arange(n)
    row = np.cumsum(is_root) - 1
    if is_root.all():
        return c, row
    # Within a group: brightest pixel first, then by position; the first of each group has the peak.
    x, y, z = c.peak_at.T
    by_peak = np.lexsort((x, y, z, -c.peak, root))
    order = np.argsort(root, kind="stable")
    start = np.flatnonzero(np.diff(root[order], prepend=-1))
    brightest = by_peak[start]
    # Sums of parts above the largest size mean nothing and may wrap; such groups are dropped by size later.
    shift = (c.origin - c.origin[root])[order]
    total, moment, moment2 = c.total[order, None], c.moment[order], c.moment2[order]
    return Components(
        size=np.add.reduceat(c.size[order], start),
        total=np.add.reduceat(c.total[order], start),
        square=np.add.reduceat(c.square[order], start),
        moment=np.add.reduceat(moment + shift * total, start),
        moment2=np.add.reduceat(moment2 + 2 * shift * moment + shift * shift * total, start),
        origin=c.origin[is_root],
        lower=np.minimum.reduceat(c.lower[order], start),
        upper=np.maximum.reduceat(c.upper[order], start),
        peak=c.peak[brightest],
        peak_at=c.peak_at[brightest],
    ), row
