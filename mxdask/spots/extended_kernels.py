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
def test_row(raw, rule, scratch, row, n):
    """Test the kept pixels of a row against the background around them; the new length of the list of strong pixels."""
    width = raw.shape[1]
    kx = rule.kx + 2
    for k in range(list_set(scratch.kept[row], width, scratch.listed)):
        i = scratch.listed[k]
        v = np.int64(raw[row, i])
        if v <= rule.floor or v < rule.low or v > rule.high:
            continue
        m, x = 0, 0
        for c in range(max(i - kx, 0), min(i + kx + 1, width)):
            m += scratch.around_n[c]
            x += scratch.around_x[c]
        net = x - m * rule.pedestal
        mean = net / m if m >= 2 else 0.0
        if net >= 0 and v - rule.pedestal >= mean + rule.n_strong * np.sqrt(rule.gain * mean):
            scratch.strong[n] = row * width + i
            n += 1
    return n


@jit()
def strong_above_background(raw, tables, rule, scratch, n_unusable):
    """Erode ``scratch.dispersed`` and list the kept pixels that stand out of the remaining background.

    A dispersed pixel is kept if no pixel within r = min(ky, kx) − 1 of it is not dispersed; pixels outside the panel
    count as dispersed. Returns the number of strong pixels.
    """
    height, width = raw.shape
    background = scratch.background
    size = scratch.dispersed.shape[0] - height + 1
    for row in range(scratch.dispersed.shape[0]):
        erode_row(scratch.dispersed[row], size, scratch.eroded[row])
    for row in range(height):
        scratch.rows[row] = keep_row(
            scratch.eroded[row : row + size], size, tables.valid[row], scratch.kept[row, :width], background[row]
        )
    for k in range(n_unusable):
        background[scratch.unusable[k] // width, scratch.unusable[k] % width] = 0
    n, held_first, held_end = 0, 0, 0
    for row in range(height):
        if scratch.rows[row] != 0:
            first, end = max(row - rule.ky - 2, 0), min(row + rule.ky + 3, height)
            move_window(raw, background, held_first, held_end, first, end, scratch.around_n, scratch.around_x)
            held_first, held_end = first, end
            n = test_row(raw, rule, scratch, row, n)
    return n
