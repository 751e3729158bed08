# mypy: allow-untyped-defs, allow-untyped-calls
"""Pixels of one frame whose neighbourhood is dispersed: a SIMD pass finds suspects, each of which is tested exactly.

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
    least_excess : smallest g·(m − 1 + n_b·√(2(m − 1)))/m of all m > 1: the right side of the test is never below
        m·(x − m·p) times it.
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
    """

    valid: np.ndarray
    n_window: np.ndarray
    root: np.ndarray
    valid_bits: np.ndarray
    start_bits: np.ndarray


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
    outside, suspect : (fast rounded up to 32,) u1, flags of one row.
    special : (2·ky + 1, fast + 1) i4, columns of the special pixels of the rows in the window.
    n_special : (2·ky + 1,) i8, how many.
    extra_m, extra_x, extra_y : (fast,) i8, over the special pixels in the window: the usable ones less all, Σ, Σ².
    listed : (fast + 1,) i4. strong, unusable : (slow·fast,) i4, flat indices.
    dispersed : (slow + 2r, words + 2) u8, one bit per pixel; round it r = min(ky, kx) − 1 rows and one word
        of ones.
    """

    outside: np.ndarray
    suspect: np.ndarray
    special: np.ndarray
    n_special: np.ndarray
    extra_m: np.ndarray
    extra_x: np.ndarray
    extra_y: np.ndarray
    listed: np.ndarray
    strong: np.ndarray
    unusable: np.ndarray
    dispersed: np.ndarray


@jit()
def list_set(flags, out):
    """Positions of the flags (0 or 1) that are set, and how many; 32 at a time, then 8, are skipped.

    Nothing depends on a single flag but how far ``out`` advances: scattered flags would defeat the branch prediction.
    """
    n = 0
    words = flags.view(np.uint64)
    for w in range(0, words.size, 4):
        if (words[w] | words[w + 1] | words[w + 2] | words[w + 3]) != 0:
            for k in range(w, w + 4):
                if words[k] != 0:
                    for i in range(8 * k, 8 * k + 8):
                        out[n] = i
                        n += flags[i]
    return n


@jit()
def enter_row(raw, valid, low, high, memory, column_x, column_y, outside):
    """Let a row take the place of the one that leaves the window.

    Flags the special pixels (valid, but not within low..high); returns whether there are any. As unsigned numbers
    negative values lie above ``high``.
    """
    lowest, highest = np.uint32(low), np.uint32(high)
    some = np.uint8(0)
    for i in range(raw.size):
        good = valid[i] != 0
        v = np.uint32(raw[i])
        inside = (v >= lowest) & (v <= highest)
        new = np.int32(v if good & inside else 0)
        special = np.uint8(good & (not inside))
        outside[i] = special
        some |= special
        old = np.int32(memory[i])
        change = np.int32(new - old)
        column_x[i] = column_x[i] + change
        column_y[i] = column_y[i] + np.int32(change * np.int32(new + old))
        memory[i] = new
    return some


@jit()
def sum_row(values):
    """Sum of a row of counts."""
    total = np.uint32(0)
    for i in range(values.size):
        total = np.uint32(total + np.uint32(values[i]))
    return np.int64(total)


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
def suspect_row(n_window, box_x, box_y, pedestal, least_excess, suspect):
    """Flag the pixels whose window may be dispersed: m·(y − (x − m·p)·least_excess) > x² in float32.

    The factor is far above the rounding errors, and ``n_window`` is 0 where no test is wanted.
    """
    offset = np.float32(max(pedestal, 0.0) * least_excess)
    excess = np.float32(least_excess)
    margin = np.float32(1.00002)
    for i in range(n_window.size):
        m = np.float32(n_window[i])
        x = np.float32(box_x[i])
        suspect[i] = np.uint8(m * (np.float32(box_y[i]) * margin - (x * excess - m * offset)) > x * x)


@jit()
def suspect_special(special, n_special, kx, width, suspect):
    """Flag the pixels whose window has special pixels: the fast sums lack these."""
    for slot in range(n_special.size):
        for k in range(n_special[slot]):
            c = special[slot, k]
            for i in range(max(c - kx, 0), min(c + kx + 1, width)):
                suspect[i] = 1


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
def set_bit(words, i, value):
    """Set bit i if ``value``."""
    words[i >> 6] |= np.uint64(value) << np.uint64(i & 63)


@jit()
def test_suspects(
    raw, valid, n_window, root, rule, box_x, box_y, extra, listed, n_listed, dispersed, peaks, first, strong, n
):
    """Set ``dispersed`` for one row; with ``peaks``, list those that are peaks too. Returns the new length of the list.

    Arrays come one by one: taking them out of tuples for every pixel would count references.
    """
    extra_m, extra_x, extra_y = extra
    for k in range(n_listed):
        i = listed[k]
        v = np.int64(raw[i])
        if valid[i] == 0:
            continue
        if v < rule.low or v > rule.high:
            set_bit(dispersed, i, rule.masked_dispersed != 0)
            continue
        m = np.int64(n_window[i]) + extra_m[i]
        x = np.int64(box_x[i]) + extra_x[i]
        y = np.int64(box_y[i]) + extra_y[i]
        yes = is_dispersed(m, x, y, rule, root)
        set_bit(dispersed, i, yes)
        if peaks and yes and v > rule.floor and is_peak(v, m, x, rule):
            strong[n] = first + i
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
    extra = scratch.extra_m, scratch.extra_x, scratch.extra_y
    special, n_special, strong = scratch.special, scratch.n_special, scratch.strong
    suspect, listed = scratch.suspect, scratch.listed
    inner_x, inner_y = sums.column_x[rule.kx : rule.kx + width], sums.column_y[rule.kx : rule.kx + width]
    for entering in range(height + rule.ky):
        slot = entering % depth
        if n_special[slot] > 0:
            add_special(raw[entering - depth], special[slot, : n_special[slot]], rule, -1, extra)
            n_special[slot] = 0
        if entering < height:
            some = enter_row(
                raw[entering], tables.valid[entering], low, high, sums.memory[slot], inner_x, inner_y, scratch.outside
            )
            if some != 0:
                n = list_set(scratch.outside, special[slot])
                n_special[slot] = n
                columns = special[slot, :n]
                add_special(raw[entering], columns, rule, 1, extra)
                n_unusable, above, more = count_special(
                    raw[entering], columns, rule, entering * width, scratch.unusable, n_unusable
                )
                n_above, total = n_above + above, total + more
            # The column sums hold every row once when the last slot has been filled.
            if slot == depth - 1:
                total += sum_row(inner_x)
            elif entering == height - 1:
                for filled in range(slot + 1):
                    total += sum_row(sums.memory[filled])
        else:
            leave_row(sums.memory[slot], inner_x, inner_y)
        row = entering - rule.ky
        if row < 0:
            continue
        sum_columns(sums.column_x, rule.kx, sums.box_x)
        sum_columns(sums.column_y, rule.kx, sums.box_y)
        dispersed = scratch.dispersed[row + border, 1:-1]
        dispersed[:] = tables.start_bits[row]
        suspect_row(tables.n_window[row], sums.box_x, sums.box_y, rule.pedestal, rule.least_excess, suspect)
        suspect_special(special, n_special, rule.kx, width, suspect)
        n_suspects = list_set(suspect, listed)
        n_strong = test_suspects(
            raw[row], tables.valid[row], tables.n_window[row], tables.root, rule, sums.box_x, sums.box_y, extra, listed,
            n_suspects, dispersed, peaks, row * width, strong, n_strong,
        )  # fmt: skip
    return n_strong, n_unusable, n_above, total
