# mypy: allow-untyped-defs, allow-untyped-calls
"""CBF byte-offset decompression."""

from __future__ import annotations

from mxdask._jit import jit


@jit
def decode_byte_offset(packed, out):
    """Running sum of deltas: int8, escaped by 0x80 to int16, by 0x8000 to int32, by 0x80000000 to int64, little endian.

    Parameters
    ----------
    packed : (n,) uint8.
    out : (m,) int32, overwritten.

    Returns
    -------
    Number of pixels decoded; less than m when ``packed`` ends too early.
    """
    n, m = packed.size, out.size
    p = 0
    value = 0
    for i in range(m):
        if p >= n:
            return i
        delta = int(packed[p])
        p += 1
        if delta < 128:
            value += delta
        elif delta > 128:
            value += delta - 256
        else:
            if p + 2 > n:
                return i
            delta = int(packed[p]) | (int(packed[p + 1]) << 8)
            p += 2
            if delta != 0x8000:
                value += delta if delta < 0x8000 else delta - 0x10000
            else:
                if p + 4 > n:
                    return i
                delta = 0
                for k in range(4):
                    delta |= int(packed[p + k]) << (8 * k)
                p += 4
                if delta != 0x80000000:
                    value += delta if delta < 0x80000000 else delta - 0x100000000
                else:
                    if p + 8 > n:
                        return i
                    delta = 0
                    for k in range(8):  # the top byte carries the sign into bit 63 of the signed integer
                        delta |= int(packed[p + k]) << (8 * k)
                    p += 8
                    value += delta
        out[i] = value
    return m
