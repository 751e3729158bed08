# mypy: allow-untyped-defs, allow-untyped-calls
"""Connected components of sparse lists of strong pixels, and the additive integer sums of each component."""

from __future__ import annotations

import numpy as np

from mxdask._jit import jit


@jit()
def find_root(parent, i):
    """Smallest pixel of the component of pixel i, with the path halved on the way."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@jit()
def unite(parent, i, j):
    """Join the components of i and j; the smaller root stays root."""
    a, b = find_root(parent, i), find_root(parent, j)
    if a < b:
        parent[b] = a
    elif b < a:
        parent[a] = b


@jit()
def join_shifted(parent, index, first, last, other, other_end, shift):
    """Unite pixels first..last − 1 with those of other..other_end − 1 whose index is smaller by ``shift``."""
    for i in range(first, last):
        wanted = index[i] - shift
        while other < other_end and index[other] < wanted:
            other += 1
        if other < other_end and index[other] == wanted:
            unite(parent, i, other)


@jit()
def label_pixels(index, start, width, flat):
    """Labels 0, 1, … of the components, numbered by their first pixel.

    Two pixels are neighbours if they share a face: next in the row, in the column, or (unless ``flat``) on
    consecutive frames.

    Parameters
    ----------
    index : (n,) i4, slow·width + fast, ascending within each frame. start : (frames + 1,) i8, pixels of each frame.

    Returns
    -------
    (n,) i4 labels and their number.
    """
    n = index.size
    parent = np.arange(n, dtype=np.int32)
    for frame in range(start.size - 1):
        first, last = start[frame], start[frame + 1]
        for i in range(first + 1, last):
            if index[i] == index[i - 1] + 1 and index[i] % width != 0:
                unite(parent, i, i - 1)
        join_shifted(parent, index, first, last, first, last, width)
        if frame > 0 and not flat:
            join_shifted(parent, index, first, last, start[frame - 1], first, 0)
    labels = np.empty(n, dtype=np.int32)
    count = 0
    for i in range(n):
        root = find_root(parent, i)
        if root == i:
            labels[i] = count
            count += 1
        else:
            labels[i] = labels[root]
    return labels, count


@jit()
def sum_components(
    z, index, value, labels, width, largest, size, total, square, moment, moment2, origin, lower, upper, peak, peak_at
):
    """Accumulate the sums of every component (meanings: :class:`mxdask.spots.components.Components`).

    Sums stop growing, the number of pixels does not, once a component has more than ``largest`` pixels.
    """
    for i in range(index.size):
        c = labels[i]
        v = value[i]
        position = (np.int64(index[i]) % width, np.int64(index[i]) // width, np.int64(z[i]))
        size[c] += 1
        if size[c] == 1:
            peak[c] = v
            for k in range(3):
                origin[c, k] = lower[c, k] = peak_at[c, k] = position[k]
                upper[c, k] = position[k] + 1
        elif v > peak[c]:
            peak[c] = v
            for k in range(3):
                peak_at[c, k] = position[k]
        if size[c] <= largest:
            total[c] += v
            square[c, 0] += (v * v) >> 32
            square[c, 1] += (v * v) & 0xFFFFFFFF
        for k in range(3):
            lower[c, k] = min(lower[c, k], position[k])
            upper[c, k] = max(upper[c, k], position[k] + 1)
            if size[c] <= largest:
                u = position[k] - origin[c, k]
                moment[c, k] += v * u
                moment2[c, k] += v * u * u


@jit()
def join_labels(pairs, n):
    """Root of each of n labels after joining the (m, 2) pairs: the smallest label of its group."""
    parent = np.arange(n)
    for k in range(pairs.shape[0]):
        unite(parent, pairs[k, 0], pairs[k, 1])
    for i in range(n):
        parent[i] = find_root(parent, i)
    return parent
