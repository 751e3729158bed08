"""Strong pixels of one frame by local dispersion: one SIMD pass over the frame, exact tests on what survives it.

Notation of front.md 6.1: over the valid pixels of a window m is their number, x = ΣI, y = ΣI²; I is the raw integer
value, the pedestal p enters only where it does not cancel (m·y − x² is the same with and without it).

The fast pass keeps running column sums of the last 2·ky + 1 rows in 32-bit integers. Pixels for which that would not
be exact (large or negative ones, those outside the trusted range) are left out of the sums and called *special*; windows
that hold one are summed again in 64 bits. The result is therefore exact for any input, and fast for usual ones.
"""

from __future__ import annotations

import numpy as np

from mxdask._jit import jit

# Larger values count as detector artefacts: DIALS leaves them out of the sums, yet tests them.
HUGE = 1 << 24

# Scale of the integer table of dispersion limits used by the prefilter.
LIMIT_SCALE = 64


@jit()
def clean_row(raw, valid, low, high, values, squares):
    """Values of a row that may enter the fast sums, zero elsewhere.

    Returns the number of special pixels (valid, but outside low..high) and the sum of the others.
    """
    n_special = np.int32(0)
    total = np.int32(0)
    for i in range(raw.size):
        v = np.int32(raw[i])
        good = valid[i] != 0
        inside = (raw[i] >= low) & (raw[i] <= high)
        kept = np.int32(v if good & inside else 0)
        n_special = np.int32(n_special + np.int32(good & (not inside)))
        total = np.int32(total + kept)
        values[i] = kept
        squares[i] = np.int32(kept * kept)
    return n_special, total


@jit()
def list_special(raw, valid, low, high, columns):
    """Columns of the special pixels of one row."""
    n = 0
    for i in range(raw.size):
        if valid[i] != 0 and not (raw[i] >= low and raw[i] <= high):
            columns[n] = i
            n += 1
    return n


@jit()
def advance(values, kx, stored, running):
    """Sum 2·kx + 1 neighbours of the entering row and put them in place of the row that leaves the window.

    ``values`` has kx zeros on either side of the row.
    """
    width = running.size
    if kx == 3:
        a0, a1, a2, a3, a4, a5, a6 = (
            values[0:], values[1:], values[2:], values[3:], values[4:], values[5:], values[6:]
        )  # fmt: skip
        for i in range(width):
            new = a0[i] + a1[i] + a2[i] + a3[i] + a4[i] + a5[i] + a6[i]
            running[i] = np.int32(running[i] + new - stored[i])
            stored[i] = np.int32(new)
        return
    for i in range(width):
        new = 0
        for k in range(2 * kx + 1):
            new += values[i + k]
        running[i] = np.int32(running[i] + new - stored[i])
        stored[i] = np.int32(new)


@jit()
def prefilter_row(count, limit, box_x, box_y, pedestal, flags):
    """Flag pixels that may pass the dispersion test: float32, with a margin so that none is missed.

    ``count`` is 0 for pixels that are not to be tested, ``limit`` the integer part of LIMIT_SCALE·g·(m − 1 + n_b·√(2(m − 1))).
    """
    slack = np.float32(1.00001)
    step = np.float32(1.0 / LIMIT_SCALE)
    offset = np.float32(pedestal)
    for i in range(count.size):
        m = np.float32(count[i])
        x = np.float32(box_x[i])
        left = m * np.float32(np.uint32(box_y[i])) * slack
        net = x - m * offset
        flags[i] = np.uint8(left > x * x + net * (np.float32(limit[i]) * step))


@jit()
def window_sums(raw, valid, low, high, row, column, ky, kx):
    """m, x, y of one window in 64 bits, whatever the values are."""
    m, x, y = 0, 0, 0
    for j in range(max(row - ky, 0), min(row + ky + 1, raw.shape[0])):
        for i in range(max(column - kx, 0), min(column + kx + 1, raw.shape[1])):
            v = np.int64(raw[j, i])
            if valid[j, i] != 0 and v >= low and v <= high and v < HUGE:
                m += 1
                x += v
                y += v * v
    return m, x, y


@jit()
def is_dispersed(m, x, y, gain, pedestal, min_local, n_background, root):
    """Whether variance/mean of a window is above g·(1 + n_b·√(2/(m − 1))); ``root[m]`` = √(2(m − 1))."""
    net = x - m * pedestal
    if m < min_local or net < 0:
        return False
    excess = float(m) * y - float(x) * x - gain * net * (m - 1)
    return excess > gain * net * n_background * root[m]


@jit()
def mark_tainted(special, n_special, tainted, kx):
    """Count, per column, the special pixels of one row that lie within kx."""
    for k in range(n_special):
        for i in range(max(special[k] - kx, 0), min(special[k] + kx + 1, tainted.size)):
            tainted[i] += 1


@jit()
def dispersed_pixels(
    raw, valid, low, high, small, count, limit, root, ky, kx, gain, pedestal, min_local, n_background,
    values, squares, store_x, store_y, running_x, running_y, flags, special, tainted, found, found_sums,
):  # fmt: skip
    """Pixels that pass the dispersion test, as flat indices in ascending order, with their window sums m, x, y.

    Parameters
    ----------
    raw : (slow, fast) integers. valid : (slow, fast) u1. low, high : trusted range, both included.
    small : largest value for which the 32-bit sums of a whole window cannot overflow.
    count : (slow, fast) u1, m of each window by ``valid`` alone; 0 where no test is wanted. limit : u2, see prefilter_row.
    values … found_sums : scratch, see :class:`mxdask.spots.threshold.Scratch`.

    Returns
    -------
    Number found, sum of all usable values below ``small``, number of special pixels.
    """
    height, width = raw.shape
    depth = 2 * ky + 1
    n_found, n_special, total = 0, 0, np.int64(0)
    fast_low = np.int64(max(low, 0))
    fast_high = np.int64(min(high, small))
    in_row = np.zeros(depth, dtype=np.int64)
    store_x[:] = 0
    store_y[:] = 0
    running_x[:] = 0
    running_y[:] = 0
    words = flags.view(np.uint64)
    for entering in range(height + ky):
        slot = entering % depth
        in_row[slot] = 0
        if entering < height:
            n, row_total = clean_row(
                raw[entering], valid[entering], fast_low, fast_high, values[kx : kx + width], squares[kx : kx + width]
            )
            total += row_total
            if n > 0:
                in_row[slot] = list_special(raw[entering], valid[entering], fast_low, fast_high, special[slot])
                n_special += n
        else:
            values[:] = 0
            squares[:] = 0
        advance(values, kx, store_x[slot], running_x)
        advance(squares, kx, store_y[slot], running_y)
        row = entering - ky
        if row < 0:
            continue
        prefilter_row(count[row], limit[row], running_x, running_y, pedestal, flags)
        is_tainted = in_row.max() > 0
        if is_tainted:
            tainted[:] = 0
            for k in range(depth):
                mark_tainted(special[k], in_row[k], tainted, kx)
            for i in range(width):
                flags[i] |= tainted[i]
        for w in range(words.size):
            if words[w] == 0:
                continue
            for i in range(8 * w, min(8 * w + 8, width)):
                if flags[i] == 0 or count[row, i] == 0 or raw[row, i] < low or raw[row, i] > high:
                    continue
                if is_tainted and tainted[i] > 0:
                    m, x, y = window_sums(raw, valid, low, high, row, i, ky, kx)
                else:
                    m, x, y = np.int64(count[row, i]), np.int64(running_x[i]), np.int64(np.uint32(running_y[i]))
                if is_dispersed(m, x, y, gain, pedestal, min_local, n_background, root):
                    found[n_found] = row * width + i
                    found_sums[n_found, 0] = m
                    found_sums[n_found, 1] = x
                    n_found += 1
    return n_found, total, n_special
