"""Second half of *dispersion_extended*: the background without the dispersed areas, and pixels strong against it."""

from __future__ import annotations

import numpy as np

from mxdask._jit import jit
from mxdask.spots.threshold_kernels import HUGE


@jit()
def erode_row(padded, n, out):
    """1 where n neighbouring elements of ``padded``, from this one on, are all 1."""
    if n == 5:
        p0, p1, p2, p3, p4 = padded[0:], padded[1:], padded[2:], padded[3:], padded[4:]
        for i in range(out.size):
            out[i] = p0[i] & p1[i] & p2[i] & p3[i] & p4[i]
        return
    out[:] = padded[: out.size]
    for k in range(1, n):
        shifted = padded[k:]
        for i in range(out.size):
            out[i] &= shifted[i]


@jit()
def keep_row(eroded, n, valid, kept, background):
    """``kept``: the n rows of ``eroded`` are 1 and the pixel is valid. ``background``: valid and not kept."""
    if n == 5:
        e0, e1, e2, e3, e4 = eroded[0], eroded[1], eroded[2], eroded[3], eroded[4]
        for i in range(kept.size):
            kept[i] = e0[i] & e1[i] & e2[i] & e3[i] & e4[i] & valid[i]
    else:
        kept[:] = valid
        for k in range(n):
            line = eroded[k]
            for i in range(kept.size):
                kept[i] &= line[i]
    some = np.uint8(0)
    for i in range(kept.size):
        background[i] = valid[i] ^ kept[i]
        some |= kept[i]
    return some


@jit()
def sum_around(raw, background, rule, row, left, right, number, total):
    """Number and sum of the usable background pixels of columns left..right − 1, over the rows around ``row``."""
    low, high = rule.low, min(rule.high, HUGE - 1)
    for i in range(right - left):
        number[i] = 0
        total[i] = 0
    for j in range(max(row - rule.ky - 2, 0), min(row + rule.ky + 3, raw.shape[0])):
        for i in range(left, right):
            v = np.int64(raw[j, i])
            good = np.int64((background[j, i] != 0) & (v >= low) & (v <= high))
            number[i - left] += good
            total[i - left] += good * v


@jit()
def test_run(raw, rule, scratch, row, first, last, n):
    """Test the kept pixels first..last − 1 of a row against the background around them; the new length of the list."""
    width = raw.shape[1]
    kx = rule.kx + 2
    left, right = max(first - kx, 0), min(last + kx, width)
    sum_around(raw, scratch.background, rule, row, left, right, scratch.around_n, scratch.around_x)
    for i in range(first, last):
        v = np.int64(raw[row, i])
        if v <= rule.floor or v < rule.low or v > rule.high:
            continue
        m, x = 0, 0
        for k in range(max(i - kx, 0) - left, min(i + kx + 1, width) - left):
            m += scratch.around_n[k]
            x += scratch.around_x[k]
        net = x - m * rule.pedestal
        mean = net / m if m >= 2 else 0.0
        if net >= 0 and v - rule.pedestal >= mean + rule.n_strong * np.sqrt(rule.gain * mean):
            scratch.strong[n] = row * width + i
            n += 1
    return n


@jit()
def test_row(raw, rule, scratch, row, n):
    """Test all runs of kept pixels of a row; the new length of the list."""
    kept = scratch.kept[row]
    n_kept = 0
    for i in range(kept.size):
        scratch.listed[n_kept] = i
        n_kept += kept[i]
    k = 0
    while k < n_kept:
        first = scratch.listed[k]
        last = first + 1
        k += 1
        while k < n_kept and scratch.listed[k] == last:
            last += 1
            k += 1
        n = test_run(raw, rule, scratch, row, first, last, n)
    return n


@jit()
def strong_above_background(raw, tables, rule, scratch):
    """Erode ``scratch.dispersed`` and list the kept pixels that stand out of the remaining background.

    A dispersed pixel is kept if no pixel within r = min(ky, kx) − 1 of it is not dispersed; pixels outside the panel
    count as dispersed. Returns the number of strong pixels.
    """
    height = raw.shape[0]
    size = scratch.dispersed.shape[0] - height + 1
    for row in range(scratch.dispersed.shape[0]):
        erode_row(scratch.dispersed[row], size, scratch.eroded[row])
    for row in range(height):
        scratch.rows[row] = keep_row(
            scratch.eroded[row : row + size], size, tables.valid[row], scratch.kept[row], scratch.background[row]
        )
    n = 0
    for row in range(height):
        if scratch.rows[row] != 0:
            n = test_row(raw, rule, scratch, row, n)
    return n
