# mypy: allow-untyped-defs, allow-untyped-calls
"""Second half of *dispersion_extended*: the background without the dispersed areas, and pixels strong against it."""

from __future__ import annotations

import numpy as np

from mxdask._jit import jit
from mxdask.spots.threshold_kernels import list_set


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
def add_row(raw, background, sign, number, total):
    """Add (sign 1) or take away (−1) the background pixels of one row to or from the sums of the columns."""
    for i in range(raw.size):
        weight = np.int32(sign * np.int32(background[i]))
        number[i] = np.int32(number[i] + weight)
        total[i] = np.int32(total[i] + np.int32(weight * np.int32(raw[i])))


@jit()
def move_window(raw, background, held_first, held_end, first, end, number, total):
    """Make the column sums, which hold rows held_first..held_end − 1, hold rows first..end − 1."""
    if first >= held_end:
        number[:] = 0
        total[:] = 0
        held_first = held_end = first
    for j in range(held_first, first):
        add_row(raw[j], background[j], -1, number, total)
    for j in range(held_end, end):
        add_row(raw[j], background[j], 1, number, total)


@jit()
def separate_background(dispersed, valid, unusable, eroded, kept, background, rows):
    """Tell the pixels to be tested (``kept``) from the background.

    A dispersed pixel is kept if no pixel within r of it is not dispersed, where r is the width of the frame of ones
    round ``dispersed``: pixels outside the panel count as dispersed. The flat indices ``unusable`` are no background.
    ``rows`` tells which rows have kept pixels.
    """
    height, width = background.shape
    size = dispersed.shape[0] - height + 1
    for row in range(dispersed.shape[0]):
        erode_row(dispersed[row], size, eroded[row])
    for row in range(height):
        rows[row] = keep_row(eroded[row : row + size], size, valid[row], kept[row, :width], background[row])
    for i in unusable:
        background[i // width, i % width] = 0


@jit()
def test_row(raw, kept, rule, number, total, listed, row, strong, n):
    """Test the kept pixels of a row against the background around them; the new length of the list of strong pixels."""
    width = raw.size
    kx = rule.kx + 2
    for k in range(list_set(kept, width, listed)):
        i = listed[k]
        v = np.int64(raw[i])
        if v <= rule.floor or v < rule.low or v > rule.high:
            continue
        m, x = 0, 0
        for c in range(max(i - kx, 0), min(i + kx + 1, width)):
            m += number[c]
            x += total[c]
        net = x - m * rule.pedestal
        mean = net / m if m >= 2 else 0.0
        if net >= 0 and v - rule.pedestal >= mean + rule.n_strong * np.sqrt(rule.gain * mean):
            strong[n] = row * width + i
            n += 1
    return n


@jit()
def strong_above_background(raw, rule, kept, background, rows, number, total, listed, strong):
    """List the kept pixels that stand out of the background around them; their number.

    Parameters
    ----------
    raw : (slow, fast) integers. kept, background, rows : see separate_background.
    number, total, listed : (fast,) i4 scratch. strong : (slow·fast,) i4 flat indices, output.
    """
    n, held_first, held_end = 0, 0, 0
    for row in range(raw.shape[0]):
        if rows[row] != 0:
            first, end = max(row - rule.ky - 2, 0), min(row + rule.ky + 3, raw.shape[0])
            move_window(raw, background, held_first, held_end, first, end, number, total)
            held_first, held_end = first, end
            n = test_row(raw[row], kept[row], rule, number, total, listed, row, strong, n)
    return n
