# mypy: allow-untyped-defs, allow-untyped-calls
"""Pixels of one frame whose neighbourhood is dispersed: a SIMD pass tells most, the few it leaves are tested exactly.

Notation of front.md 6.1: over the usable pixels of a window m is their number, x = ΣI, y = ΣI². I is the raw integer
value; the pedestal p enters only where it does not cancel (m·y − x² is the same with and without it).

The pass keeps the sums of the last 2·ky + 1 rows of every column in 16 (or, with much background, 32) bits. Values too
large for that, negative ones and those outside the trusted range are *special*: they stay out of these sums, and what
they contribute to the windows around them is kept in 64-bit side sums. Adding both gives m, x, y of any window
exactly, so the result does not depend on the width that was used.

In 32-bit floating point, with a margin far above the rounding errors, a window is surely not dispersed, or (if all its
pixels are usable and none is special) surely dispersed, or unsure.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mxdask._jit import jit
from mxdask.spots.lanes_kernels import LANES, enter_lanes, lowest_bit, window_lanes

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
    least_excess : smallest e(m) = g·(m − 1 + n_b·√(2(m − 1)))/m of all m > 1: a window is dispersed if
        y > x²/m + (x − m·p)·e(m).
    sure : 1 if ``least_excess`` is that of a full window and p is 0, else 0.
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
    least_excess: float
    sure: int


class Tables(NamedTuple):
    """What depends on the mask alone.

    Attributes
    ----------
    valid : (slow, fast) u1, 1 = usable.
    n_window : (slow, fast) u1 or u2, usable pixels in the window, 0 where no test is wanted.
    root : (window + 1,) f8, √(2(m − 1)) by m.
    valid_bits : (slow, words) u8, ``valid`` with column i in bit i % 64 of word i // 64; the rest of the last
        word is 0.
    start_bits : likewise, the pixels that count as dispersed whatever their value; the rest of the last word is 1.
    full_bits : likewise, the pixels to be tested whose window has no unusable pixel and lies on the panel.
    """

    valid: np.ndarray
    n_window: np.ndarray
    root: np.ndarray
    valid_bits: np.ndarray
    start_bits: np.ndarray
    full_bits: np.ndarray


class Sums(NamedTuple):
    """Sums over the rows in the window, in the width (u2 or u4) that holds a whole window of values up to ``small``.

    Attributes
    ----------
    memory : (2·ky + 1, fast), values of these rows.
    column_x, column_y : (64·words + 2·kx,), sums of value and square; column i at i + kx, zeros elsewhere.
    box_x, box_y : (64·words,), the same over the window.
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
    near, unsure : (words,) u8, the pixels of one row that have special pixels in their window, that need the exact
        test.
    special : (2·ky + 1, fast + 1) i4, columns of the special pixels of the rows in the window.
    n_special : (2·ky + 1,) i8, how many.
    extra_m, extra_x, extra_y : (fast,) i8, over the special pixels in the window: the usable ones less all, Σ, Σ².
    strong, unusable : (slow·fast,) i4, flat indices.
    dispersed : (slow + 2r, words + 2) u8, one bit per pixel; round it r = min(ky, kx) − 1 rows and one word
        of ones.
    """

    near: np.ndarray
    unsure: np.ndarray
    special: np.ndarray
    n_special: np.ndarray
    extra_m: np.ndarray
    extra_x: np.ndarray
    extra_y: np.ndarray
    strong: np.ndarray
    unusable: np.ndarray
    dispersed: np.ndarray


@jit()
def enter_row(raw, valid, row, low, high, memory, slot, column_x, column_y, kx, special):
    """Let a row take the place of the one in ``slot`` that leaves the window.

    Lists the columns of the special pixels (valid, but not within low..high) and returns their number. Whole arrays
    and the number of the row: every slice of an array made for a row would count references, which takes as long as
    a tenth of the row.
    """
    width, n = raw.shape[1], 0
    lowest, highest = np.uint32(low), np.uint32(high)
    if width < LANES:
        return enter_few(raw, valid, row, lowest, highest, memory, slot, column_x, column_y, kx, special)
    for first in range(0, width, LANES):
        # The last vector overlaps the one before: what has entered does not enter again.
        i = min(first, width - LANES)
        outside = np.uint64(
            enter_lanes(
                raw, valid, row * width + i, lowest, highest, memory, slot * width + i, column_x, column_y, i + kx
            )
        )
        outside = outside >> np.uint64(first - i)
        while outside != 0:
            special[slot, n] = first + lowest_bit(outside)
            outside &= outside - np.uint64(1)
            n += 1
    return n


@jit()
def enter_few(raw, valid, row, lowest, highest, memory, slot, column_x, column_y, kx, special):
    """The same for panels narrower than a vector."""
    n = 0
    for i in range(raw.shape[1]):
        v = np.uint32(raw[row, i])
        inside = (v >= lowest) & (v <= highest)
        new, old = np.int64(v if inside and valid[row, i] != 0 else 0), np.int64(memory[slot, i])
        column_x[i + kx] = column_x[i + kx] + new - old
        column_y[i + kx] = column_y[i + kx] + new * new - old * old
        memory[slot, i] = new
        if valid[row, i] != 0 and not inside:
            special[slot, n] = i
            n += 1
    return n


@jit()
def sum_row(values):
    """Sum of a row of counts."""
    total = np.uint32(0)
    for i in range(values.size):
        total = np.uint32(total + np.uint32(values[i]))
    return np.int64(total)


@jit()
def leave_row(memory, slot, column_x, column_y, kx):
    """Take the row in ``slot`` out of the column sums when no row follows."""
    for i in range(memory.shape[1]):
        old = np.int32(memory[slot, i])
        column_x[i + kx] = column_x[i + kx] - old
        column_y[i + kx] = column_y[i + kx] - np.int32(old * old)
        memory[slot, i] = 0


@jit()
def sum_columns(columns, kx, box):
    """Sums of 2·kx + 1 neighbouring column sums."""
    box[:] = 0
    for k in range(2 * kx + 1):
        shifted = columns[k:]
        for i in range(box.size):
            box[i] = box[i] + shifted[i]


@jit()
def mark_near(special, n_special, kx, width, near):
    """Mark the pixels whose window has special pixels: the fast sums lack these."""
    near[:] = 0
    for slot in range(n_special.size):
        for k in range(n_special[slot]):
            c = special[slot, k]
            first, end = max(c - kx, 0), min(c + kx + 1, width)
            bits = (np.uint64(1) << np.uint64(end - first)) - np.uint64(1)
            word, shift = first >> 6, np.uint64(first & 63)
            near[word] |= bits << shift
            if (end - 1) >> 6 > word:
                near[word + 1] |= bits >> (np.uint64(64) - shift)


@jit()
def add_special(raw, columns, rule, sign, extra):
    """Add (sign 1) or take away (−1) the special pixels of one row to or from the side sums."""
    extra_m, extra_x, extra_y = extra
    for c in columns:
        v = np.int64(raw[c])
        usable = v >= rule.low and v <= rule.high and v < HUGE
        for i in range(max(c - rule.kx, 0), min(c + rule.kx + 1, raw.size)):
            if usable:
                extra_x[i] += sign * v
                extra_y[i] += sign * v * v
            else:
                extra_m[i] -= sign


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
    excess = float(m) * float(y) - float(x) * float(x) - rule.gain * net * (m - 1)
    return (m >= rule.min_local) & (net >= 0) & (excess > rule.gain * net * rule.n_background * root[max(m, 0)])


@jit()
def is_peak(value, m, x, rule):
    """Whether a pixel is above the mean of its window by n_s·√(g·mean)."""
    net = x - m * rule.pedestal
    return m * (value - rule.pedestal) - net > rule.n_strong * np.sqrt(rule.gain * net * m)


@jit()
def flag_row(sums_x, sums_y, box_x, box_y, rule, valid, start, full, row, near, dispersed, border, unsure):
    """Set ``dispersed`` where the fast sums tell, and ``unsure`` where the exact test must; returns how many words
    have either."""
    kx = rule.kx
    window = (2 * rule.ky + 1) * (2 * kx + 1)
    inverse, excess = np.float32(1.0 / window), np.float32(rule.least_excess)
    offset = np.float32(max(rule.pedestal, 0.0) * rule.least_excess * window * 1.0001)
    margin = np.float32(2e-5)
    low_half = np.uint64(0xFFFFFFFF)
    sure = ~np.uint64(0) if rule.sure != 0 else np.uint64(0)
    if kx != 3:
        sum_columns(sums_x, kx, box_x)
        sum_columns(sums_y, kx, box_y)
    n = 0
    for w in range(unsure.size):
        i = 64 * w
        if kx == 3:
            a = window_lanes(7, sums_x, sums_y, box_x, box_y, i, inverse, excess, offset, margin)
            b = window_lanes(7, sums_x, sums_y, box_x, box_y, i + LANES, inverse, excess, offset, margin)
        else:
            a = window_lanes(1, box_x, box_y, box_x, box_y, i, inverse, excess, offset, margin)
            b = window_lanes(1, box_x, box_y, box_x, box_y, i + LANES, inverse, excess, offset, margin)
        half = np.uint64(LANES)
        maybe = ((a & low_half) | (b << half) | near[w]) & valid[row, w]
        surely = ((a >> half) | (b & ~low_half)) & maybe & full[row, w] & ~near[w] & sure
        dispersed[row + border, w + 1] = start[row, w] | surely
        unsure[w] = maybe & ~surely
        n += maybe != 0
    return n


@jit()
def test_unsure(raw, n_window, row, root, rule, box_x, box_y, extra_m, extra_x, extra_y, unsure, dispersed, border):
    """Set ``dispersed`` for the pixels of one row that need the exact test.

    Arrays come one by one: taking them out of tuples for every pixel would count references.
    """
    for w in range(unsure.size):
        word = unsure[w]
        found = np.uint64(0)
        while word != 0:
            bit = lowest_bit(word)
            word &= word - np.uint64(1)
            i = 64 * w + bit
            v = np.int64(raw[row, i])
            if v < rule.low or v > rule.high:
                yes = rule.masked_dispersed != 0
            else:
                m = np.int64(n_window[row, i]) + extra_m[i]
                x = np.int64(box_x[i]) + extra_x[i]
                y = np.int64(box_y[i]) + extra_y[i]
                yes = is_dispersed(m, x, y, rule, root)
            found |= np.uint64(yes) << np.uint64(bit)
        dispersed[row + border, w + 1] |= found


@jit()
def list_peaks(raw, valid, n_window, row, rule, box_x, extra_m, extra_x, dispersed, border, strong, n):
    """List the dispersed pixels of one row that are peaks too; the new length of the list."""
    width = raw.shape[1]
    for w in range(valid.shape[1]):
        word = dispersed[row + border, w + 1] & valid[row, w]
        while word != 0:
            i = 64 * w + lowest_bit(word)
            word &= word - np.uint64(1)
            v = np.int64(raw[row, i])
            if v < rule.low or v > rule.high or v <= rule.floor:
                continue
            m, x = np.int64(n_window[row, i]) + extra_m[i], np.int64(box_x[i]) + extra_x[i]
            # Most pixels around a spot are below the mean; that is told without a root.
            if (m * v > x or rule.n_strong < 0) and is_peak(v, m, x, rule):
                strong[n] = row * width + i
                n += 1
    return n


@jit()
def reset(sums, scratch):
    """Start a frame: nothing in the window."""
    for array in (sums.column_x, sums.column_y):
        array[:] = 0
    for array in (scratch.n_special, scratch.extra_m, scratch.extra_x, scratch.extra_y):
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
    low, high = min(max(rule.low, 0), small + 1), max(min(rule.high, small), 0)
    n_strong, n_unusable, n_above, total = 0, 0, 0, 0
    reset(sums, scratch)
    extra_m, extra_x, extra_y = scratch.extra_m, scratch.extra_x, scratch.extra_y
    special, n_special, near, unsure = scratch.special, scratch.n_special, scratch.near, scratch.unsure
    strong, unusable, dispersed = scratch.strong, scratch.unusable, scratch.dispersed
    memory, column_x, column_y, box_x, box_y = sums.memory, sums.column_x, sums.column_y, sums.box_x, sums.box_y
    valid, n_window, root = tables.valid, tables.n_window, tables.root
    valid_bits, start_bits, full_bits = tables.valid_bits, tables.start_bits, tables.full_bits
    n_near, some_near = 0, False
    near[:] = 0
    for entering in range(height + rule.ky):
        slot = entering % depth
        if n_special[slot] > 0:
            columns = special[slot, : n_special[slot]]
            add_special(raw[entering - depth], columns, rule, -1, (extra_m, extra_x, extra_y))
            n_near -= n_special[slot]
            n_special[slot] = 0
        if entering < height:
            n = enter_row(raw, valid, entering, low, high, memory, slot, column_x, column_y, rule.kx, special)
            if n > 0:
                n_special[slot] = n
                n_near += n
                columns = special[slot, :n]
                add_special(raw[entering], columns, rule, 1, (extra_m, extra_x, extra_y))
                n_unusable, above, more = count_special(
                    raw[entering], columns, rule, entering * width, unusable, n_unusable
                )
                n_above, total = n_above + above, total + more
            # The column sums hold every row once when the last slot has been filled.
            if slot == depth - 1:
                total += sum_row(column_x)
            elif entering == height - 1:
                for filled in range(slot + 1):
                    total += sum_row(memory[filled])
        else:
            leave_row(memory, slot, column_x, column_y, rule.kx)
        row = entering - rule.ky
        if row < 0:
            continue
        if n_near > 0 or some_near:
            mark_near(special, n_special, rule.kx, width, near)
            some_near = n_near > 0
        n_words = flag_row(
            column_x, column_y, box_x, box_y, rule, valid_bits, start_bits, full_bits, row, near, dispersed, border,
            unsure,
        )  # fmt: skip
        if n_words == 0:
            continue
        test_unsure(raw, n_window, row, root, rule, box_x, box_y, extra_m, extra_x, extra_y, unsure, dispersed, border)
        if peaks:
            n_strong = list_peaks(
                raw, valid_bits, n_window, row, rule, box_x, extra_m, extra_x, dispersed, border, strong, n_strong
            )
    return n_strong, n_unusable, n_above, total
