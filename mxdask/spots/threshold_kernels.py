"""Pixels of one frame whose neighbourhood is dispersed: one SIMD pass, exact tests where that pass is in doubt.

Notation of front.md 6.1: over the usable pixels of a window m is their number, x = ΣI, y = ΣI². I is the raw integer
value; the pedestal p enters only where it does not cancel (m·y − x² is the same with and without it).

The pass keeps 32-bit sums of the last 2·ky + 1 rows of every column. Pixels for which that would not be exact (large
or negative ones, those outside the trusted range) are left out of the sums and called *special*; the windows that
hold one are summed again in 64 bits. So the result is exact for any input, and fast for the usual.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mxdask._jit import jit

# Larger values count as artefacts of the detector: DIALS leaves them out of the sums, yet tests them.
HUGE = 1 << 24

# Scale of the integer table of dispersion limits (see dispersed_row).
LIMIT_SCALE = 64


class Rule(NamedTuple):
    """The numbers of a threshold, in raw counts.

    Attributes
    ----------
    low, high : trusted range, both included; ``small``: largest value for which 32-bit window sums cannot overflow.
    ky, kx : half sizes of the window. min_local : fewest usable pixels in it.
    gain, pedestal : counts per photon (all gains multiplied), and counts at zero photons.
    n_background, n_strong : n_b and n_s. floor : strong pixels are above this value.
    masked_dispersed : 1 if unusable pixels count as dispersed, else 0.
    """

    low: int
    high: int
    small: int
    ky: int
    kx: int
    min_local: int
    gain: float
    pedestal: float
    n_background: float
    n_strong: float
    floor: float
    masked_dispersed: int


class Tables(NamedTuple):
    """What depends on the mask alone.

    Attributes
    ----------
    valid : (slow, fast) u1, 1 = usable.
    count : (slow, fast) u1 or u2, usable pixels in the window, 0 where no test is wanted.
    limit : (slow, fast) u2, LIMIT_SCALE·g·(m − 1 + n_b·√(2(m − 1))) rounded down.
    root : (window + 1,) f8, √(2(m − 1)) by m.
    """

    valid: np.ndarray
    count: np.ndarray
    limit: np.ndarray
    root: np.ndarray


class Scratch(NamedTuple):
    """Memory reused from frame to frame; d = 2·ky + 1.

    Attributes
    ----------
    window : (d, fast) u2, values of the rows in the window.
    column_x, column_y : (fast + 2·kx,) i4, sums of value and square over these rows.
    box_x, box_y : (fast,) i4, the same over the window.
    doubt : (fast rounded up to 8,) u1. tainted : (fast,) u1. special : (d, fast) i4.
    dispersed : (slow + 2r, fast + 2r) u1 with a frame of ones r = min(ky, kx) − 1 wide; eroded : (slow + 2r, fast) u1.
    kept : (slow, fast) u1. background_n, background_x : (fast,) i4.
    strong : (slow·fast,) i4.
    """

    window: np.ndarray
    column_x: np.ndarray
    column_y: np.ndarray
    box_x: np.ndarray
    box_y: np.ndarray
    doubt: np.ndarray
    tainted: np.ndarray
    special: np.ndarray
    dispersed: np.ndarray
    eroded: np.ndarray
    kept: np.ndarray
    background_n: np.ndarray
    background_x: np.ndarray
    strong: np.ndarray


@jit()
def enter_row(raw, valid, low, high, window_row, column_x, column_y):
    """Let a row take the place of the one that leaves the window, in the column sums and in the window's memory.

    Returns the number of special pixels (valid, but not within low..high) and the sum of the others.
    """
    n_special = np.int32(0)
    total = np.int32(0)
    for i in range(raw.size):
        good = valid[i] != 0
        inside = (raw[i] >= low) & (raw[i] <= high)
        new = np.int32(np.int32(raw[i]) if good & inside else 0)
        n_special = np.int32(n_special + np.int32(good & (not inside)))
        total = np.int32(total + new)
        old = np.int32(window_row[i])
        change = np.int32(new - old)
        column_x[i] = np.int32(column_x[i] + change)
        column_y[i] = np.int32(column_y[i] + np.int32(change * np.int32(new + old)))
        window_row[i] = np.uint16(new)
    return n_special, total


@jit()
def leave_row(window_row, column_x, column_y):
    """Take the oldest row out of the column sums when no row follows."""
    for i in range(window_row.size):
        old = np.int32(window_row[i])
        column_x[i] = np.int32(column_x[i] - old)
        column_y[i] = np.int32(column_y[i] - np.int32(old * old))
        window_row[i] = 0


@jit()
def sum_columns(columns, kx, box):
    """Sums of 2·kx + 1 neighbouring column sums; ``columns`` has kx zeros at either end."""
    if kx == 3:
        c0, c1, c2, c3 = columns[0:], columns[1:], columns[2:], columns[3:]
        c4, c5, c6 = columns[4:], columns[5:], columns[6:]
        for i in range(box.size):
            box[i] = np.int32(c0[i] + c1[i] + c2[i] + c3[i] + c4[i] + c5[i] + c6[i])
        return
    box[:] = 0
    for k in range(2 * kx + 1):
        shifted = columns[k:]
        for i in range(box.size):
            box[i] = np.int32(box[i] + shifted[i])


@jit()
def dispersed_row(valid, count, limit, box_x, box_y, pedestal, masked_dispersed, dispersed, doubt):
    """The test m·y − x² > (x − m·p)·g·(m − 1 + n_b·√(2(m − 1))) in float32, with a margin on both sides.

    ``dispersed`` becomes 1 where it certainly holds, ``doubt`` where it may hold or not.
    """
    up, down = np.float32(1.00001), np.float32(0.99999)
    step = np.float32(1.0 / LIMIT_SCALE)
    offset = np.float32(pedestal)
    otherwise = np.uint8(masked_dispersed)
    for i in range(count.size):
        m = np.float32(count[i])
        x = np.float32(box_x[i])
        left = m * np.float32(np.uint32(box_y[i]))
        net = x - m * offset
        factor = np.float32(limit[i])
        possible = left * up > x * x + net * (factor * step)
        certain = (left * down > x * x + net * ((factor + np.float32(1.0)) * step)) & (net >= x * np.float32(1e-5))
        dispersed[i] = np.uint8(certain) | (otherwise & (valid[i] ^ np.uint8(1)))
        doubt[i] = np.uint8(possible & (not certain))


@jit()
def window_sums(raw, valid, rule, row, column):
    """m, x, y of one window in 64 bits, whatever the values are."""
    m, x, y = 0, 0, 0
    for j in range(max(row - rule.ky, 0), min(row + rule.ky + 1, raw.shape[0])):
        for i in range(max(column - rule.kx, 0), min(column + rule.kx + 1, raw.shape[1])):
            v = np.int64(raw[j, i])
            if valid[j, i] != 0 and v >= rule.low and v <= rule.high and v < HUGE:
                m += 1
                x += v
                y += v * v
    return m, x, y


@jit()
def is_dispersed(m, x, y, rule, root):
    """Whether variance/mean of a window is above g·(1 + n_b·√(2/(m − 1))); ``root[m]`` = √(2(m − 1))."""
    net = x - m * rule.pedestal
    if m < rule.min_local or net < 0:
        return False
    excess = float(m) * float(y) - float(x) * float(x) - rule.gain * net * (m - 1)
    return excess > rule.gain * net * rule.n_background * root[m]


@jit()
def is_peak(value, m, x, rule):
    """Whether a pixel is above the mean of its window by n_s·√(g·mean)."""
    net = x - m * rule.pedestal
    return m * (value - rule.pedestal) - net > rule.n_strong * np.sqrt(rule.gain * net * m)


@jit()
def note_special(raw, valid, low, high, columns):
    """Columns of the special pixels of one row, and how many."""
    n = 0
    for i in range(raw.size):
        if valid[i] != 0 and not (raw[i] >= low and raw[i] <= high):
            columns[n] = i
            n += 1
    return n


@jit()
def mark_special(columns, n, kx, doubt, tainted):
    """Mark every pixel whose window holds one of the special pixels of a row."""
    for k in range(n):
        for i in range(max(columns[k] - kx, 0), min(columns[k] + kx + 1, tainted.size)):
            tainted[i] = 1
            doubt[i] = 1


@jit()
def settle_doubts(raw, tables, rule, scratch, row, is_tainted, dispersed):
    """Decide the doubtful pixels of one row in double precision."""
    valid, count = tables.valid[row], tables.count[row]
    words = scratch.doubt.view(np.uint64)
    for w in range(words.size):
        if words[w] == 0:
            continue
        for i in range(8 * w, min(8 * w + 8, count.size)):
            if scratch.doubt[i] == 0 or valid[i] == 0:
                continue
            if raw[row, i] < rule.low or raw[row, i] > rule.high:
                dispersed[i] = rule.masked_dispersed
                continue
            if is_tainted and scratch.tainted[i] != 0:
                m, x, y = window_sums(raw, tables.valid, rule, row, i)
            else:
                m, x, y = np.int64(count[i]), np.int64(scratch.box_x[i]), np.int64(np.uint32(scratch.box_y[i]))
            dispersed[i] = is_dispersed(m, x, y, rule, tables.root)


@jit()
def append_peaks(raw, tables, rule, scratch, row, is_tainted, dispersed, n):
    """Append the dispersed pixels of a row that are peaks of their own window; the new length of the list."""
    valid, count = tables.valid[row], tables.count[row]
    for i in range(count.size):
        if dispersed[i] == 0 or valid[i] == 0:
            continue
        v = np.int64(raw[row, i])
        if v <= rule.floor or v < rule.low or v > rule.high:
            continue
        if is_tainted and scratch.tainted[i] != 0:
            m, x, _ = window_sums(raw, tables.valid, rule, row, i)
        else:
            m, x = np.int64(count[i]), np.int64(scratch.box_x[i])
        if is_peak(v, m, x, rule):
            scratch.strong[n] = row * count.size + i
            n += 1
    return n


@jit()
def find_dispersed(raw, tables, rule, scratch, peaks):
    """Fill ``scratch.dispersed``; with ``peaks`` also list the pixels that pass both tests of *dispersion*.

    Parameters
    ----------
    raw : (slow, fast) u2, u4 or i4.

    Returns
    -------
    Number of strong pixels listed; number of special pixels; sum of all usable pixels that are not special.
    """
    height, width = raw.shape
    depth = 2 * rule.ky + 1
    border = (scratch.dispersed.shape[0] - height) // 2
    fast_low, fast_high = max(rule.low, 0), min(rule.high, rule.small)
    n_strong, n_special, total = 0, 0, 0
    in_row = np.zeros(depth, dtype=np.int64)
    scratch.window[:] = 0
    scratch.column_x[:] = 0
    scratch.column_y[:] = 0
    inner_x = scratch.column_x[rule.kx : rule.kx + width]
    inner_y = scratch.column_y[rule.kx : rule.kx + width]
    for entering in range(height + rule.ky):
        slot = entering % depth
        in_row[slot] = 0
        if entering < height:
            values, valid = raw[entering], tables.valid[entering]
            n, row_sum = enter_row(values, valid, fast_low, fast_high, scratch.window[slot], inner_x, inner_y)
            total += row_sum
            if n > 0:
                n_special += n
                in_row[slot] = note_special(values, valid, fast_low, fast_high, scratch.special[slot])
        else:
            leave_row(scratch.window[slot], inner_x, inner_y)
        row = entering - rule.ky
        if row < 0:
            continue
        sum_columns(scratch.column_x, rule.kx, scratch.box_x)
        sum_columns(scratch.column_y, rule.kx, scratch.box_y)
        dispersed = scratch.dispersed[row + border, border : border + width]
        dispersed_row(
            tables.valid[row], tables.count[row], tables.limit[row], scratch.box_x, scratch.box_y,
            rule.pedestal, rule.masked_dispersed, dispersed, scratch.doubt,
        )  # fmt: skip
        is_tainted = in_row.max() > 0
        if is_tainted:
            scratch.tainted[:] = 0
            for k in range(depth):
                mark_special(scratch.special[k], in_row[k], rule.kx, scratch.doubt, scratch.tainted)
        settle_doubts(raw, tables, rule, scratch, row, is_tainted, dispersed)
        if peaks:
            n_strong = append_peaks(raw, tables, rule, scratch, row, is_tainted, dispersed, n_strong)
    return n_strong, n_special, total
