"""Strong pixels of one frame by local dispersion: one SIMD pass over the frame, exact tests on what survives it.

Notation of front.md 6.1: over the valid pixels of a window m is their number, x = ΣI, y = ΣI²; I is the raw integer
value, the pedestal p enters only where it does not cancel (m·y − x² is the same with and without it).

The fast pass keeps running column sums of the last 2·ky + 1 rows in 32-bit integers. Pixels for which that would not
be exact (above SMALL, below zero, outside the trusted range) are left out of the sums and called *special*; windows
that hold one are summed again in 64 bits. The result is therefore exact for any input, and fast for usual ones.
"""

from __future__ import annotations

import numpy as np

from mxdask._jit import jit

# 7·SMALL fits 16 bits and 49·SMALL² fits 32 bits: sums over the default 7 × 7 window cannot overflow.
SMALL = 9000
# Larger values count as detector artefacts: DIALS leaves them out of the sums, yet tests them.
HUGE = 1 << 24

# Scale of the integer table of dispersion limits used by the prefilter.
LIMIT_SCALE = 64


@jit()
def clean_row(raw, valid, low, high, out, squares, kx):
    """Values of one row that may enter the fast sums, zero elsewhere; number of special pixels and sum of the rest."""
    width = raw.size
    values, squared = out[kx : kx + width], squares[kx : kx + width]
    n_special = np.int32(0)
    total = np.int32(0)
    for i in range(width):
        v = np.int32(raw[i])
        good = valid[i] != 0
        inside = (raw[i] >= low) & (raw[i] <= high)
        kept = np.int32(v if good & inside else 0)
        n_special = np.int32(n_special + np.int32(good & (not inside)))
        total = np.int32(total + kept)
        values[i] = kept
        squared[i] = np.int32(kept * kept)
    return n_special, total


@jit()
def sum_along_row(values, out, kx):
    """Sums of 2·kx + 1 neighbours; ``values`` has kx zeros on either side of the row."""
    width = out.size
    if kx == 3:
        a0, a1, a2, a3 = values[0:], values[1:], values[2:], values[3:]
        a4, a5, a6 = values[4:], values[5:], values[6:]
        for i in range(width):
            out[i] = np.int32(a0[i] + a1[i] + a2[i] + a3[i] + a4[i] + a5[i] + a6[i])
        return
    out[:] = values[:width]
    for k in range(1, 2 * kx + 1):
        shifted = values[k:]
        for i in range(width):
            out[i] = np.int32(out[i] + shifted[i])


@jit()
def advance(running, entering, leaving):
    """Add the row that enters the window, subtract the one that leaves it."""
    for i in range(running.size):
        running[i] = np.int32(running[i] + entering[i] - leaving[i])


@jit()
def prefilter_row(count, limit, box_x, box_y, pedestal, flags):
    """Flag pixels that may pass the dispersion test: float32, with a margin so that none is missed."""
    slack = np.float32(1.00001)
    step = np.float32(1.0 / LIMIT_SCALE)
    offset = np.float32(pedestal)
    for i in range(flags.size):
        m = np.float32(count[i])
        x = np.float32(box_x[i])
        left = m * np.float32(np.uint32(box_y[i])) * slack
        net = x - m * offset
        flags[i] = np.uint8(left > x * x + net * (np.float32(limit[i]) * step))


@jit()
def window_sums(raw, valid, low, high, row, column, ky, kx):
    """m, x, y of one window, exactly: the number of usable pixels, their sum and their sum of squares."""
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
