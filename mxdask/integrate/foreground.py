"""Foreground pixels of many reflections as flat arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.integrate.foreground_kernels import copy_pieces


@dataclass(frozen=True)
class ForegroundPixels:
    """Foreground pixels of n reflections, flat.

    Attributes
    ----------
    pixel_start : (n + 1,) i8; reflection i owns uv[pixel_start[i]:pixel_start[i + 1]].
    uv : (m, 2) f4, (ε1, ε2) of the pixels' centres in Kabsch's frame, radians.
    count_start : (n + 1,) i8; counts[count_start[i]:count_start[i + 1]] image by image, -1 = not usable, i4.
    """

    pixel_start: np.ndarray
    uv: np.ndarray
    count_start: np.ndarray
    counts: np.ndarray

    def select(self, rows: np.ndarray) -> ForegroundPixels:
        pixel_start, uv = _pieces(self.uv, self.pixel_start, rows)
        count_start, counts = _pieces(self.counts, self.count_start, rows)
        return ForegroundPixels(pixel_start, uv, count_start, counts)

    @staticmethod
    def concat(parts: list[ForegroundPixels]) -> ForegroundPixels:
        def join(name: str) -> np.ndarray:
            sizes = np.concatenate([np.diff(getattr(p, name)) for p in parts])
            return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

        return ForegroundPixels(
            join("pixel_start"), np.concatenate([p.uv for p in parts]),
            join("count_start"), np.concatenate([p.counts for p in parts]),
        )  # fmt: skip


def starts(sizes: np.ndarray) -> np.ndarray:
    """(n + 1,) i8 offsets of n consecutive pieces."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _pieces(values: np.ndarray, start: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """New starts, and the values, of the chosen rows."""
    rows = np.asarray(rows, dtype=np.int64)
    new = starts(np.diff(start)[rows])
    out = np.empty((new[-1], *values.shape[1:]), dtype=values.dtype)
    copy_pieces(values, start, rows, new, out)
    return new, out


def ranges(start: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """New starts, and the elements, of the chosen rows."""
    sizes = np.diff(start)[rows]
    new = starts(sizes)
    return new, np.repeat(start[:-1][rows] - new[:-1], sizes) + np.arange(new[-1])
