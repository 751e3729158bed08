# mypy: allow-untyped-defs, allow-untyped-calls
"""Second half of *dispersion_extended*: the background without the dispersed areas, and pixels strong against it."""

from __future__ import annotations

import numpy as np

from mxdask._jit import jit


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
        start = first + 64 * w
        while word != 0:
            if (word & np.uint64(255)) == 0:
                word = word >> np.uint64(8)
                start += 8
                continue
            out[n] = start
            n += np.int64(word & np.uint64(1))
            word = word >> np.uint64(1)
            start += 1
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
def sum_background(raw, background, first, n_rows, step, n, number, total):
    """Number and sum of the background pixels in each of n columns, over n_rows rows.

    Parameters
    ----------
    raw, background : (slow·fast,), read from flat index ``first`` on, ``step`` apart from row to row. Flat, because
        every slice of an array in this loop would count references, which takes longer than the sums.
    """
    for i in range(n):
        m, x = np.int32(0), np.int32(0)
        # Unsigned, so that no index can count from the end of the array.
        at, apart = np.uint64(first + i), np.uint64(step)
        for _ in range(n_rows):
            used = np.int32(background[at])
            m = np.int32(m + used)
            x = np.int32(x + np.int32(used * np.int32(raw[at])))
            at = at + apart
        number[i], total[i] = m, x


@jit()
def test_run(raw, background, shape, rule, row, first, end, number, total, strong, n):
    """Test the pixels first..end − 1 of a row against the background; the new length of the list of strong pixels."""
    height, width = shape
    ky, kx = rule.ky + 2, rule.kx + 2
    left, right = max(first - kx, 0), min(end + kx, width)
    above, below = max(row - ky, 0), min(row + ky + 1, height)
    sum_background(raw, background, above * width + left, below - above, width, right - left, number, total)
    for i in range(first, end):
        v = np.int64(raw[row * width + i])
        if v <= rule.floor or v < rule.low or v > rule.high:
            continue
        m, x = 0, 0
        for c in range(max(i - kx, 0) - left, min(i + kx + 1, width) - left):
            m += number[c]
            x += total[c]
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
