"""Numbers as cctbx spells them in pickles: a byte for sign and length, then digits to base 256."""

from __future__ import annotations

import math

from mxdask._jit import jit


@jit
def decode_integers(content, out):
    """Integers: sign bit 0x80 and total length, then digits, least significant first; a single 0 byte is zero.

    Parameters
    ----------
    content : (n,) uint8.
    out : (m,) int64, overwritten.

    Returns
    -------
    Number of bytes used, or -1 when ``content`` ends too early.
    """
    p = 0
    for i in range(out.size):
        if p >= content.size:
            return -1
        head = int(content[p])
        length = max(head & 0x7F, 1)
        if p + length > content.size or length > 9:
            return -1
        value = 0
        for k in range(length - 1, 0, -1):
            value = value * 256 + int(content[p + k])
        out[i] = -value if head & 0x80 else value
        p += length
    return p


@jit
def decode_floats(content, out):
    """Floating-point numbers: sign bit and length, digits of the mantissa in [0.5, 1) most significant first, then
    the exponent to base 2 as an integer; a single 0 byte is zero.

    Parameters and result as for :func:`decode_integers`, ``out`` (m,) float64.
    """
    p = 0
    for i in range(out.size):
        if p >= content.size:
            return -1
        head = int(content[p])
        length = head & 0x7F
        if length == 0:
            out[i] = 0.0
            p += 1
            continue
        if p + length >= content.size or length > 9:
            return -1
        mantissa = 0.0
        for k in range(length - 1, 0, -1):
            mantissa = (mantissa + content[p + k]) / 256.0
        p += length
        head_exponent = int(content[p])
        length = max(head_exponent & 0x7F, 1)
        if p + length > content.size or length > 5:
            return -1
        exponent = 0
        for k in range(length - 1, 0, -1):
            exponent = exponent * 256 + int(content[p + k])
        if head_exponent & 0x80:
            exponent = -exponent
        p += length
        value = math.ldexp(mantissa, exponent)
        out[i] = -value if head & 0x80 else value
    return p
