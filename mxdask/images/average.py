"""Average, scatter and maximum of all images of a sweep: sums over blocks, added up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from mxdask.errors import FileError, MxdaskError, ParameterError
from mxdask.flow import Failed, Flow
from mxdask.images.stack import ImageStack, open_stack
from mxdask.models import Experiment


@dataclass(frozen=True, eq=False)
class PixelSums:
    """Sums over images of one panel, (slow, fast) each: of usable values, their squares, their number, the largest.

    Integers, so that the order of adding does not matter.
    """

    total: np.ndarray
    square: np.ndarray
    count: np.ndarray
    largest: np.ndarray

    def __add__(self, other: PixelSums) -> PixelSums:
        return PixelSums(
            self.total + other.total, self.square + other.square, self.count + other.count,
            np.maximum(self.largest, other.largest),
        )  # fmt: skip

    @property
    def mean(self) -> np.ndarray:
        """(slow, fast) mean raw counts; NaN where no image has a usable value."""
        with np.errstate(invalid="ignore"):
            return self.total / self.count

    @property
    def sigma(self) -> np.ndarray:
        """(slow, fast) standard deviation between images (n - 1 degrees of freedom); NaN for fewer than two values."""
        with np.errstate(invalid="ignore", divide="ignore"):
            n = self.count.astype(np.float64)
            spread = np.maximum(self.square - self.total.astype(np.float64) ** 2 / n, 0.0) / (n - 1)
            return np.where(self.count > 1, np.sqrt(spread), np.nan)


def sum_images(
    experiment: Experiment, *, flow: Flow, block: int = 20, image_range: tuple[int, int] | None = None
) -> tuple[PixelSums, ...]:
    """Per panel the sums over all images that can be read; pixels that are masked or not trusted do not count.

    Parameters
    ----------
    block : fewest images per task. image_range : first and last image number; None: all.

    Raises
    ------
    MxdaskError : no image can be read. ParameterError : no image lies in the range.
    """
    assert experiment.detector is not None
    stack = open_stack(experiment)
    limits = tuple(p.trusted_range for p in experiment.detector.panels)
    first, end = stack.array_range
    if image_range is not None:
        first, end = max(first, image_range[0] - 1), min(end, image_range[1])
        if first >= end:
            raise ParameterError(f"image_range={image_range[0]},{image_range[1]}: {experiment.name} has no such images")
    # One task per worker and stretch: full frames travel, so there should be few of them.
    size = max(block, -(-(end - first) // flow.n_workers))
    items = [(stack, limits, z, min(z + size, end)) for z in range(first, end, size)]
    results = flow.map(_sum_block, items, name="sum-images")
    good: list[tuple[PixelSums, ...]] = [r for r in results if not isinstance(r, Failed)]
    if not good:
        raise MxdaskError(f"{experiment.name}: no image can be read: {results[0].reason}")
    return reduce(lambda a, b: tuple(x + y for x, y in zip(a, b, strict=True)), good)


def _sum_block(stack: ImageStack, limits: Sequence[tuple[float, float]], first: int, end: int) -> tuple[PixelSums, ...]:
    shapes = stack.shapes
    sums = [[np.zeros(s, np.int64) for _ in range(4)] for s in shapes]
    n_read, problem = 0, ""
    with stack.reader() as reader:
        for z in range(first, end):
            try:
                frames = reader.read(z)
            except FileError as error:
                problem = str(error)
                continue
            n_read += 1
            for (total, square, count, largest), frame, mask, (low, high) in zip(
                sums, frames, stack.mask_of(z), limits, strict=True
            ):
                usable = mask & (frame >= low) & (frame <= high)
                values = np.where(usable, frame, 0).astype(np.int64)
                total += values
                square += values * values
                count += usable
                np.maximum(largest, values, out=largest)
    if n_read == 0:
        raise FileError(problem)
    return tuple(PixelSums(*s) for s in sums)
