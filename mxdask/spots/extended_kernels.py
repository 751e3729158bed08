# mypy: allow-untyped-defs, allow-untyped-calls
"""Second half of *dispersion_extended*: the background without the dispersed areas, and pixels strong against it."""

from __future__ import annotations

import numpy as np

from mxdask._jit import jit
from mxdask.spots.lanes_kernels import NARROW_LANES, background_lanes, lowest_bit


@jit()
def erode_row(padded, r, out):
    """Bits of ``padded`` (a word longer at both ends) whose r neighbours on either side are set too."""
    before, here, after = padded[:-2], padded[1:-1], padded[2:]
    out[:] = here
    for k in range(1, r + 1):
        shift, rest = np.uint64(k), np.uint64(64 - k)
        for w in range(out.size):
            out[w] &= ((here[w] >> shift) | (after[w] << rest)) & ((here[w] << shift) | (before[w] >> rest))


@jit()
def keep_row(eroded, valid, kept):
    """Bits that are set in all rows of ``eroded`` and valid."""
    kept[:] = valid
    for j in range(eroded.shape[0]):
        line = eroded[j]
        for w in range(kept.size):
            kept[w] &= line[w]


@jit()
def list_bits(words, first, out, n):
    """Append ``first`` plus the positions of the set bits to ``out``; the new length of the list."""
    for w in range(words.size):
        word = words[w]
        while word != 0:
            out[n] = first + 64 * w + lowest_bit(word)
            word &= word - np.uint64(1)
            n += 1
    return n


@jit()
def list_kept(dispersed, valid_bits, width, eroded, kept, out):
    """List the pixels to be tested: no pixel within r of them is not dispersed. Returns their number.

    r is the number of rows of ones above and below ``dispersed``: pixels outside the panel count as dispersed.

    Parameters
    ----------
    dispersed, valid_bits : see Scratch and Tables.
    eroded : (slow + 2r, words) u8, kept : (words,) u8, scratch. out : (slow·fast + 1,) i4 flat indices, output.
    """
    height = valid_bits.shape[0]
    r = (dispersed.shape[0] - height) // 2
    n = 0
    for row in range(dispersed.shape[0]):
        erode_row(dispersed[row], r, eroded[row])
    for row in range(height):
        keep_row(eroded[row : row + 2 * r + 1], valid_bits[row], kept)
        n = list_bits(kept, row * width, out, n)
    return n


@jit()
def sum_background(raw, background, width, above, below, left, right, number, total):
    """Number and sum of the background pixels in the columns left..right − 1, over the rows above..below − 1.

    Parameters
    ----------
    raw, background : (slow·fast,), flat. number, total : (fast,) i4, output.
    """
    if width >= NARROW_LANES:
        for first in range(left, right, NARROW_LANES):
            c = min(first, width - NARROW_LANES)
            background_lanes(raw, background, above * width + c, below - above, width, number, total, c)
        return
    for c in range(left, right):
        number[c] = total[c] = 0
        for row in range(above, below):
            if background[row * width + c] != 0:
                number[c] += 1
                total[c] += np.int64(raw[row * width + c])


@jit()
def test_run(raw, background, shape, rule, row, first, end, number, total, strong, n):
    """Test the pixels first..end − 1 of a row against the background; the new length of the list of strong pixels."""
    height, width = shape
    ky, kx = rule.ky + 2, rule.kx + 2
    above, below = max(row - ky, 0), min(row + ky + 1, height)
    left, right = max(first - kx, 0), min(first + kx + 1, width)
    sum_background(raw, background, width, above, below, left, min(end + kx, width), number, total)
    m, x = 0, 0
    for c in range(left, right - 1):
        m += number[c]
        x += total[c]
    for i in range(first, end):
        # The window of pixel i gains a column on its right, once on the panel, and then loses one on its left.
        if i + kx < width or i == first:
            m += number[min(i + kx, width - 1)]
            x += total[min(i + kx, width - 1)]
        if i > first and i - kx > 0:
            m -= number[i - kx - 1]
            x -= total[i - kx - 1]
        v = np.int64(raw[row * width + i])
        if v <= rule.floor or v < rule.low or v > rule.high:
            continue
        net = x - m * rule.pedestal
        mean = net / m if m >= 2 else 0.0
        if net >= 0 and v - rule.pedestal >= mean + rule.n_strong * np.sqrt(rule.gain * mean):
            strong[n] = row * width + i
            n += 1
    return n


@jit()
def strong_above_background(raw, rule, valid, kept, unusable, background, number, total, strong):
    """List the kept pixels that stand out of the background around them; their number.

    Parameters
    ----------
    raw : (slow, fast) integers. kept, unusable : i4 flat indices of what is not background.
    background : (slow·fast,) u1, a copy of ``valid`` before and after the call.
    number, total : (fast,) i4 scratch. strong : (slow·fast,) i4 flat indices, output.
    """
    for pixels in (kept, unusable):
        for i in pixels:
            background[i] = 0
    n, k, width = 0, 0, raw.shape[1]
    values = raw.ravel()
    while k < kept.size:
        row, first = kept[k] // width, kept[k] % width
        end = first + 1
        k += 1
        while k < kept.size and kept[k] == row * width + end and end < width:
            end += 1
            k += 1
        n = test_run(values, background, raw.shape, rule, row, first, end, number, total, strong, n)
    for pixels in (kept, unusable):
        for i in pixels:
            background[i] = valid[i]
    return n
