"""Polygons as runs of pixels: even-odd rule on pixel centres (front.md 5.1), convex hulls, clipping."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Runs:
    """Pixels start ≤ fast < stop of rows; (n,) integers each, no run empty, no pixel twice."""

    row: np.ndarray
    start: np.ndarray
    stop: np.ndarray

    @property
    def n_pixels(self) -> int:
        """Pixels in all runs."""
        return int((self.stop - self.start).sum())

    def fill(self, array: np.ndarray, value: object) -> None:
        """Set these pixels of a (slow, fast) array."""
        for row, start, stop in zip(self.row.tolist(), self.start.tolist(), self.stop.tolist(), strict=True):
            array[row, start:stop] = value


def polygon_runs(corners: np.ndarray, shape: tuple[int, int]) -> Runs:
    """The pixels of a panel whose centre (i + ½, j + ½) is inside a polygon.

    Parameters
    ----------
    corners : (n, 2) x (fast), y (slow) in pixels; closed by itself. It may cross itself (even-odd rule).
    shape : (slow, fast) of the panel.
    """
    height, width = shape
    corners = np.asarray(corners, dtype=np.float64)
    a, b = corners, np.roll(corners, 1, axis=0)
    # Rows whose centre lies between the ends of an edge: (y_a > j + ½) ≠ (y_b > j + ½).
    low, high = np.minimum(a[:, 1], b[:, 1]), np.maximum(a[:, 1], b[:, 1])
    first = np.clip(np.ceil(low - 0.5), 0, height).astype(np.int64)
    end = np.clip(np.ceil(high - 0.5), 0, height).astype(np.int64)
    n_rows = np.maximum(end - first, 0)
    edge = np.repeat(np.arange(len(a)), n_rows)
    row = np.arange(n_rows.sum()) - np.repeat(np.cumsum(n_rows) - n_rows, n_rows) + first[edge]
    y = row + 0.5
    slope = (b[edge, 0] - a[edge, 0]) * (y - a[edge, 1]) / (b[edge, 1] - a[edge, 1])
    # The pixels left of a crossing, i + ½ < x, are those below this column.
    column = np.clip(np.ceil(slope + a[edge, 0] - 0.5), 0, width).astype(np.int64)
    order = np.lexsort((column, row))
    row, column = row[order], column[order]  # every row has an even number of crossings
    row, start, stop = row[::2], column[::2], column[1::2]
    some = stop > start
    return Runs(row[some], start[some], stop[some])


def convex_hull(points: np.ndarray) -> np.ndarray:
    """(m, 2) corners of the convex hull of (n, 2) points, counter-clockwise; fewer than three if they are in line.

    Monotone chain: A. M. Andrew (1979) Inf. Process. Lett. 9, 216-219.
    """
    ordered = np.unique(np.asarray(points, dtype=np.float64), axis=0).tolist()
    if len(ordered) < 3:
        return np.array(ordered).reshape(-1, 2)
    halves = []
    for chain in (ordered, ordered[::-1]):
        half: list[list[float]] = []
        for x, y in chain:
            while len(half) > 1:
                (x0, y0), (x1, y1) = half[-2], half[-1]
                if (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) > 0:
                    break
                half.pop()
            half.append([x, y])
        halves += half[:-1]
    return np.array(halves)


def clip_to_rectangle(corners: np.ndarray, width: float, height: float) -> np.ndarray:
    """(m, 2) corners of the part of a convex polygon within 0 ≤ x ≤ width, 0 ≤ y ≤ height; (0, 2) if there is none.

    Sutherland & Hodgman (1974) Commun. ACM 17, 32-42.
    """
    for axis, limit, sign in ((0, 0.0, 1.0), (0, width, -1.0), (1, 0.0, 1.0), (1, height, -1.0)):
        if len(corners) == 0:
            break
        inside = sign * (corners[:, axis] - limit)  # how far inside this edge
        following, inside_next = np.roll(corners, -1, axis=0), np.roll(inside, -1)
        kept = []
        for p, q, dp, dq in zip(corners, following, inside, inside_next, strict=True):
            if dp >= 0:
                kept.append(p)
            if (dp > 0 > dq) or (dp < 0 < dq):
                crossing = p + (q - p) * (dp / (dp - dq))
                crossing[axis] = limit
                kept.append(crossing)
        corners = np.array(kept).reshape(-1, 2)
    return corners


def polygon_area(corners: np.ndarray) -> float:
    """Area by the shoelace formula, in the unit of the corners squared."""
    if len(corners) < 3:
        return 0.0
    x, y = corners[:, 0], corners[:, 1]
    return 0.5 * abs(float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)))
