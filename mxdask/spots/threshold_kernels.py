# mypy: allow-untyped-defs, allow-untyped-calls
"""Pixels of one frame whose neighbourhood is dispersed: one SIMD pass, exact tests where that pass is in doubt.

Notation of front.md 6.1: over the usable pixels of a window m is their number, x = ΣI, y = ΣI². I is the raw integer
value; the pedestal p enters only where it does not cancel (m·y − x² is the same with and without it).

The pass keeps the sums of the last 2·ky + 1 rows of every column in 16 (or, with much background, 32) bits. Values too
large for that, negative ones and those outside the trusted range are *special*: they stay out of these sums, and what
they contribute to the windows around them is kept in 64-bit side sums. Adding both gives m, x, y of any window
exactly, so the result does not depend on the width that was used.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mxdask._jit import jit

# Larger values count as artefacts of the detector: DIALS leaves them out of the sums, yet tests them.
HUGE = 1 << 24


class Rule(NamedTuple):
    """The numbers of a threshold, in raw counts.

    Attributes
    ----------
    low, high : trusted range, both included.
    ky, kx : half sizes of the window. min_local : fewest usable pixels in it.
    gain, pedestal : counts per photon (all gains multiplied), and counts at zero photons.
    n_background, n_strong : n_b and n_s. floor : strong pixels are above this value.
    masked_dispersed : 1 if unusable pixels count as dispersed, else 0.
    limit_step : unit of Tables.limit.
    """

    low: int
    high: int
    ky: int
    kx: int
    min_local: int
    gain: float
    pedestal: float
    n_background: float
    n_strong: float
    floor: float
    masked_dispersed: int
    limit_step: float


class Tables(NamedTuple):
    """What depends on the mask alone.

    Attributes
    ----------
    valid : (slow, fast) u1, 1 = usable.
    n_window : (slow, fast) u1 or u2, usable pixels in the window, 0 where no test is wanted.
    limit : (slow, fast) u2, g·(m − 1 + n_b·√(2(m − 1))) in units of Rule.limit_step, rounded down. Two bytes, because
        the tables have to come from memory for every frame.
    root : (window + 1,) f8, √(2(m − 1)) by m.
    """

    valid: np.ndarray
    n_window: np.ndarray
    limit: np.ndarray
    root: np.ndarray


class Sums(NamedTuple):
    """Sums over the rows in the window, in the width (u2 or u4) that holds a whole window of values up to ``small``.

    Attributes
    ----------
    memory : (2·ky + 1, fast), values of these rows.
    column_x, column_y : (fast + 2·kx,), sums of value and square; kx zeros at either end.
    box_x, box_y : (fast,), the same over the window.
    """

    memory: np.ndarray
    column_x: np.ndarray
    column_y: np.ndarray
    box_x: np.ndarray
    box_y: np.ndarray


class Scratch(NamedTuple):
    """Memory reused from frame to frame.

    Attributes
    ----------
    outside, doubt : (fast rounded up to 8,) u1, flags of one row.
    special : (2·ky + 1, fast) i4, columns of the special pixels of the rows in the window; n_special : (2·ky + 1,) i8.
    extra_n, extra_m, extra_x, extra_y : (fast,) i8, over the special pixels in the window: their number, the usable
        ones less all, Σ, Σ².
    listed : (fast,) i4. strong, unusable : (slow·fast,) i4, flat indices.
    dispersed : (slow + 2r, fast + 2r) u1 with a frame of ones r = min(ky, kx) − 1 wide.
    """

    outside: np.ndarray
    doubt: np.ndarray
    special: np.ndarray
    n_special: np.ndarray
    extra_n: np.ndarray
    extra_m: np.ndarray
    extra_x: np.ndarray
    extra_y: np.ndarray
    listed: np.ndarray
    strong: np.ndarray
    unusable: np.ndarray
    dispersed: np.ndarray


@jit()
def list_set(flags, size, out):
    """Positions of the flags that are set among the first ``size``, and how many; eight at a time are skipped."""
    n = 0
    words = flags.view(np.uint64)
    for w in range(words.size):
        if words[w] != 0:
            for i in range(8 * w, min(8 * w + 8, size)):
                if flags[i] != 0:
                    out[n] = i
                    n += 1
    return n


@jit()
def any_set(flags):
    """Whether any flag is set."""
    words = flags.view(np.uint64)
    found = np.uint64(0)
    for w in range(words.size):
        found |= words[w]
    return found != 0


@jit()
def enter_row(raw, valid, low, high, memory, column_x, column_y, outside):
    """Let a row take the place of the one that leaves the window.

    Flags the special pixels (valid, but not within low..high); returns their number and the sum of the others.
    """
    n_special = np.int32(0)
    total = np.int32(0)
    for i in range(raw.size):
        good = valid[i] != 0
        inside = (raw[i] >= low) & (raw[i] <= high)
        new = np.int32(np.int32(raw[i]) if good & inside else 0)
        special = good & (not inside)
        outside[i] = np.uint8(special)
        n_special = np.int32(n_special + np.int32(special))
        total = np.int32(total + new)
        old = np.int32(memory[i])
        change = np.int32(new - old)
        column_x[i] = column_x[i] + change
        column_y[i] = column_y[i] + np.int32(change * np.int32(new + old))
        memory[i] = new
    return n_special, total


@jit()
def leave_row(memory, column_x, column_y):
    """Take the oldest row out of the column sums when no row follows."""
    for i in range(memory.size):
        old = np.int32(memory[i])
        column_x[i] = column_x[i] - old
        column_y[i] = column_y[i] - np.int32(old * old)
        memory[i] = 0


@jit()
def sum_columns(columns, kx, box):
    """Sums of 2·kx + 1 neighbouring column sums."""
    if kx == 3:
        c0, c1, c2, c3 = columns[0:], columns[1:], columns[2:], columns[3:]
        c4, c5, c6 = columns[4:], columns[5:], columns[6:]
        for i in range(box.size):
            box[i] = c0[i] + c1[i] + c2[i] + c3[i] + c4[i] + c5[i] + c6[i]
        return
    box[:] = 0
    for k in range(2 * kx + 1):
        shifted = columns[k:]
        for i in range(box.size):
            box[i] = box[i] + shifted[i]


@jit()
def dispersed_row(valid, n_window, limit, limit_step, box_x, box_y, pedestal, masked_dispersed, dispersed, doubt):
    """The test m·y − x² > (x − m·p)·limit in float32; ``doubt`` where rounding might change the answer."""
    offset = np.float32(pedestal)
    margin = np.float32(1e-5)
    step = np.float32(limit_step)
    otherwise = np.uint8(masked_dispersed)
    for i in range(n_window.size):
        m = np.float32(n_window[i])
        x = np.float32(box_x[i])
        left = m * np.float32(box_y[i])
        net = (x - m * offset) * step
        difference = left - x * x - net * np.float32(limit[i])
        dispersed[i] = np.uint8(difference > 0) | (otherwise & (valid[i] ^ np.uint8(1)))
        doubt[i] = np.uint8((abs(difference) < left * margin + abs(net)) | (net < x * margin))


@jit()
def add_special(raw, columns, rule, sign, scratch):
    """Add (sign 1) or take away (−1) the special pixels of one row to or from the side sums."""
    for c in columns:
        v = np.int64(raw[c])
        usable = v >= rule.low and v <= rule.high and v < HUGE
        for i in range(max(c - rule.kx, 0), min(c + rule.kx + 1, raw.size)):
            scratch.extra_n[i] += sign
            if usable:
                scratch.extra_x[i] += sign * v
                scratch.extra_y[i] += sign * v * v
            else:
                scratch.extra_m[i] -= sign


@jit()
def count_special(raw, columns, rule, first, unusable, n):
    """List the unusable ones among the special pixels of a row whose flat index starts at ``first``.

    Returns the new length of the list, the number above the trusted range, and the sum of the usable ones.
    """
    n_above, total = 0, np.int64(0)
    for c in columns:
        v = np.int64(raw[c])
        if v >= rule.low and v <= rule.high and v < HUGE:
            total += v
        else:
            unusable[n] = first + c
            n += 1
            n_above += v > rule.high
    return n, n_above, total


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
def settle_doubts(raw, tables, rule, sums, scratch, row, dispersed):
    """Decide the doubtful pixels of one row in double precision."""
    n_window = tables.n_window[row]
    for k in range(list_set(scratch.doubt, n_window.size, scratch.listed)):
        i = scratch.listed[k]
        if tables.valid[row, i] == 0:
            continue
        if raw[row, i] < rule.low or raw[row, i] > rule.high:
            dispersed[i] = rule.masked_dispersed
        else:
            m = np.int64(n_window[i]) + scratch.extra_m[i]
            x = np.int64(sums.box_x[i]) + scratch.extra_x[i]
            y = np.int64(sums.box_y[i]) + scratch.extra_y[i]
            dispersed[i] = is_dispersed(m, x, y, rule, tables.root)


@jit()
def append_peaks(raw, tables, rule, sums, scratch, row, dispersed, n):
    """Append the dispersed pixels of a row that are peaks of their own window; the new length of the list."""
    for i in range(dispersed.size):
        if dispersed[i] == 0 or tables.valid[row, i] == 0:
            continue
        v = np.int64(raw[row, i])
        m = np.int64(tables.n_window[row, i]) + scratch.extra_m[i]
        x = np.int64(sums.box_x[i]) + scratch.extra_x[i]
        if v > rule.floor and v >= rule.low and v <= rule.high and is_peak(v, m, x, rule):
            scratch.strong[n] = row * dispersed.size + i
            n += 1
    return n


@jit()
def reset(sums, scratch):
    """Start a frame: nothing in the window."""
    for array in (sums.column_x, sums.column_y):
        array[:] = 0
    for array in (scratch.n_special, scratch.extra_n, scratch.extra_m, scratch.extra_x, scratch.extra_y):
        array[:] = 0
    sums.memory[:] = 0


@jit()
def find_dispersed(raw, tables, rule, sums, small, scratch, peaks):
    """Fill ``scratch.dispersed``; with ``peaks`` also list the pixels that pass both tests of *dispersion*.

    Parameters
    ----------
    raw : (slow, fast) u2, u4 or i4.
    small : largest value that goes through the fast sums.

    Returns
    -------
    Number of strong pixels listed; number of valid pixels that are unusable; how many of these lie above the trusted
    range; sum of the usable pixels.
    """
    height, width = raw.shape
    depth = 2 * rule.ky + 1
    border = (scratch.dispersed.shape[0] - height) // 2
    low, high = max(rule.low, 0), min(rule.high, small)
    n_strong, n_unusable, n_above, total = 0, 0, 0, 0
    reset(sums, scratch)
    inner_x, inner_y = sums.column_x[rule.kx : rule.kx + width], sums.column_y[rule.kx : rule.kx + width]
    for entering in range(height + rule.ky):
        slot = entering % depth
        if scratch.n_special[slot] > 0:
            add_special(raw[entering - depth], scratch.special[slot, : scratch.n_special[slot]], rule, -1, scratch)
            scratch.n_special[slot] = 0
        if entering < height:
            n, row_sum = enter_row(
                raw[entering], tables.valid[entering], low, high, sums.memory[slot], inner_x, inner_y, scratch.outside
            )
            total += row_sum
            if n > 0:
                scratch.n_special[slot] = list_set(scratch.outside, width, scratch.special[slot])
                columns = scratch.special[slot, :n]
                add_special(raw[entering], columns, rule, 1, scratch)
                n_unusable, above, more = count_special(
                    raw[entering], columns, rule, entering * width, scratch.unusable, n_unusable
                )
                n_above, total = n_above + above, total + more
        else:
            leave_row(sums.memory[slot], inner_x, inner_y)
        row = entering - rule.ky
        if row < 0:
            continue
        sum_columns(sums.column_x, rule.kx, sums.box_x)
        sum_columns(sums.column_y, rule.kx, sums.box_y)
        dispersed = scratch.dispersed[row + border, border : border + width]
        dispersed_row(
            tables.valid[row], tables.n_window[row], tables.limit[row], rule.limit_step, sums.box_x, sums.box_y,
            rule.pedestal, rule.masked_dispersed, dispersed, scratch.doubt,
        )  # fmt: skip
        if scratch.n_special.max() > 0:
            for i in range(width):
                scratch.doubt[i] |= np.uint8(scratch.extra_n[i] > 0)
        if any_set(scratch.doubt):
            settle_doubts(raw, tables, rule, sums, scratch, row, dispersed)
        if peaks:
            n_strong = append_peaks(raw, tables, rule, sums, scratch, row, dispersed, n_strong)
    return n_strong, n_unusable, n_above, total
