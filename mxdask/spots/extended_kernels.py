"""Second half of *dispersion_extended*: background without the dispersed areas, and pixels strong against it."""

from __future__ import annotations

import numpy as np

from mxdask._jit import jit
from mxdask.spots.threshold_kernels import HUGE


@jit()
def erode_row(padded, n, out):
    """1 where n neighbouring elements of ``padded``, this one being the first, are all 1."""
    out[:] = padded[: out.size]
    for k in range(1, n):
        shifted = padded[k:]
        for i in range(out.size):
            out[i] &= shifted[i]


@jit()
def keep_row(eroded, row, n, valid, kept):
    """1 where n rows of ``eroded`` are 1 and the pixel is valid; whether there is any."""
    kept[:] = valid
    for k in range(n):
        line = eroded[row + k]
        for i in range(kept.size):
            kept[i] &= line[i]
    some = np.uint8(0)
    for i in range(kept.size):
        some |= kept[i]
    return some != 0


@jit()
def add_background_row(raw, valid, kept, low, high, number, total):
    """Add the usable background pixels of a piece of one row to column numbers and column sums."""
    for i in range(raw.size):
        v = raw[i]
        good = (valid[i] != 0) & (kept[i] == 0) & (v >= low) & (v <= high) & (v < HUGE)
        number[i] = np.int32(number[i] + np.int32(good))
        total[i] = np.int32(total[i] + np.int32(np.int32(v) if good else 0))


@jit()
def test_run(raw, tables, rule, scratch, row, first, last, n):
    """Test the kept pixels first..last − 1 of a row against the background around them; the new length of the list."""
    height, width = raw.shape
    ky, kx = rule.ky + 2, rule.kx + 2
    left, right = max(first - kx, 0), min(last + kx, width)
    number, total = scratch.background_n[: right - left], scratch.background_x[: right - left]
    number[:] = 0
    total[:] = 0
    for j in range(max(row - ky, 0), min(row + ky + 1, height)):
        add_background_row(
            raw[j, left:right], tables.valid[j, left:right], scratch.kept[j, left:right],
            rule.low, rule.high, number, total,
        )  # fmt: skip
    for i in range(first, last):
        v = np.int64(raw[row, i])
        if v <= rule.floor or v < rule.low or v > rule.high:
            continue
        m, x = 0, 0
        for k in range(max(i - kx, 0) - left, min(i + kx + 1, width) - left):
            m += number[k]
            x += total[k]
        net = x - m * rule.pedestal
        mean = net / m if m >= 2 else 0.0
        if net >= 0 and v - rule.pedestal >= mean + rule.n_strong * np.sqrt(rule.gain * mean):
            scratch.strong[n] = row * width + i
            n += 1
    return n


@jit()
def strong_above_background(raw, tables, rule, scratch, rows_with_kept):
    """Erode ``scratch.dispersed`` and list the kept pixels that stand out of the remaining background.

    A dispersed pixel is kept if no pixel within r = min(ky, kx) − 1 of it is not dispersed; pixels outside the panel
    count as dispersed. Returns the number of strong pixels.
    """
    height, width = raw.shape
    size = scratch.dispersed.shape[0] - height + 1
    for row in range(scratch.dispersed.shape[0]):
        erode_row(scratch.dispersed[row], size, scratch.eroded[row])
    for row in range(height):
        rows_with_kept[row] = keep_row(scratch.eroded, row, size, tables.valid[row], scratch.kept[row])
    n = 0
    for row in range(height):
        if not rows_with_kept[row]:
            continue
        kept = scratch.kept[row]
        i = 0
        while i < width:
            if kept[i] == 0:
                i += 1
                continue
            first = i
            while i < width and kept[i] != 0:
                i += 1
            n = test_run(raw, tables, rule, scratch, row, first, i, n)
    return n
