"""From connected components to the rows of strong.refl (front.md 6.3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.models import Panel
from mxdask.spots.components import Block, Components, Pixels
from mxdask.table import Flag, ReflectionTable, Shoeboxes

STRONG_COLUMNS = (
    "bbox", "flags", "id", "intensity.sum.value", "intensity.sum.variance", "n_signal", "panel",
    "xyzobs.px.value", "xyzobs.px.variance",
)  # fmt: skip

# Pixel centres are half a pixel from its corner; a position inside a pixel is uniformly distributed: variance 1/12.
_HALF, _UNIFORM = 0.5, 1.0 / 12.0

# DIALS' codes for a pixel that is valid (1) and foreground (4).
_STRONG_PIXEL = 5

# Fixed-point counts for pedestals that are not whole numbers.
_FRACTIONS = 256


@dataclass(frozen=True)
class CountScale:
    """Raw counts → integers that can be summed exactly, and back: corrected = integer·unit."""

    factor: int
    offset: int
    unit: float

    @classmethod
    def of(cls, panel: Panel) -> CountScale:
        """For corrected = (raw − pedestal)/gain of a panel."""
        gain = panel.gain if panel.gain > 0 else 1.0
        factor = 1 if float(panel.pedestal).is_integer() else _FRACTIONS
        return cls(factor, round(panel.pedestal * factor), 1.0 / (gain * factor))

    def integers(self, raw: np.ndarray) -> np.ndarray:
        """(n,) i8 of raw counts."""
        return raw.astype(np.int64) * self.factor - self.offset


@dataclass(frozen=True)
class Counted:
    """How many components there were, and what became of them."""

    extracted: int
    too_small: int
    too_large: int
    off_centre: int

    def __add__(self, other: Counted) -> Counted:
        return Counted(
            self.extracted + other.extracted, self.too_small + other.too_small,
            self.too_large + other.too_large, self.off_centre + other.off_centre,
        )  # fmt: skip


def centroids(c: Components, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) centre of mass (px, px, image) and its variance.

    Without enough counts to weight with, the middle of the box with variance 0.
    """
    total = c.total.astype(np.float64)[:, None]
    square = c.sum_of_squares[:, None]
    usable = (total > 0) & (total * total > square)
    with np.errstate(divide="ignore", invalid="ignore"):
        offset = c.moment / total
        spread = (c.moment2 - offset * c.moment) * total / (total * total - square)
        variance = spread / (total * unit) + _UNIFORM
    middle = 0.5 * (c.lower + c.upper)
    return np.where(usable, c.origin + _HALF + offset, middle), np.where(usable, variance, 0.0)


def make_table(
    joined: Block,
    panel_number: int,
    panel: Panel,
    *,
    smallest: int,
    largest: int,
    max_separation: float,
    shoeboxes: bool,
) -> tuple[ReflectionTable, Counted]:
    """Spots of one panel of one sweep, ordered by their first pixel; ``id`` is 0.

    Parameters
    ----------
    joined : all components of the sweep on this panel.
    smallest, largest : number of pixels a spot may have. max_separation : px from peak to centroid.
    shoeboxes : keep the pixels.
    """
    c = joined.components
    scale = CountScale.of(panel)
    small, large = c.size < smallest, c.size > largest
    position, variance = centroids(c, scale.unit)
    off_centre = ~small & ~large & (np.linalg.norm(c.peak_at + _HALF - position, axis=1) > max_separation)
    keep = ~(small | large | off_centre)
    counted = Counted(
        len(c) + joined.n_small + joined.n_large, int(small.sum()) + joined.n_small,
        int(large.sum()) + joined.n_large, int(off_centre.sum()),
    )  # fmt: skip
    kept = c.select(keep)
    intensity = kept.total * scale.unit
    flags = np.full(len(kept), int(Flag.STRONG), np.uint64)
    highest = (panel.trusted_range[1] * scale.factor) - scale.offset
    flags[kept.peak > highest] |= np.uint64(Flag.OVERLOADED)
    table = ReflectionTable({
        "bbox": np.stack([kept.lower, kept.upper], axis=2).reshape(len(kept), 6),
        "flags": flags,
        "id": np.zeros(len(kept), np.int32),
        "intensity.sum.value": intensity,
        "intensity.sum.variance": np.abs(intensity),
        "n_signal": kept.size,
        "panel": np.full(len(kept), panel_number, np.uint64),
        "xyzobs.px.value": position[keep],
        "xyzobs.px.variance": variance[keep],
    })  # fmt: skip
    if shoeboxes:
        new_row = np.cumsum(keep) - 1
        pixels = joined.pixels.select(keep[joined.pixels.label])
        table.shoeboxes = make_shoeboxes(
            table["bbox"], table["panel"], pixels, new_row[pixels.label], scale, panel.image_size[0]
        )
    return table, counted


def make_shoeboxes(
    bbox: np.ndarray, panel: np.ndarray, pixels: Pixels, row: np.ndarray, scale: CountScale, width: int
) -> Shoeboxes:
    """Boxes that hold the strong pixels and zeros elsewhere.

    Parameters
    ----------
    row : (n,) which row of ``bbox`` each pixel belongs to.
    width : fast size of the panel.
    """
    box = bbox.astype(np.int64)
    nx, ny, nz = (box[:, 2 * k + 1] - box[:, 2 * k] for k in range(3))
    offset = np.concatenate([[0], np.cumsum(nx * ny * nz)]).astype(np.int64)
    x, y, z = pixels.index % width - box[row, 0], pixels.index // width - box[row, 2], pixels.z - box[row, 4]
    place = offset[row] + (z * ny[row] + y) * nx[row] + x
    data, mask = np.zeros(offset[-1], np.float32), np.zeros(offset[-1], np.int32)
    data[place] = pixels.value * scale.unit
    mask[place] = _STRONG_PIXEL
    return Shoeboxes(panel.astype(np.uint32), bbox, offset, data, mask, np.zeros(offset[-1], np.float32))
