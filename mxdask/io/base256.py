"""Numbers as cctbx spells them in pickles: a byte for sign and length, then digits to base 256."""

from __future__ import annotations

import math

import numpy as np


def decode_integers(content: bytes, n: int) -> np.ndarray:
    """(n,) int64. Each: sign bit 0x80 and total length, then digits, least significant first; a 0 byte alone is zero.

    Raises
    ------
    ValueError : the bytes do not end with the last number.
    """
    values, at = np.zeros(n, dtype=np.int64), 0
    for i in range(n):
        values[i], at = _integer(content, at)
    if at != len(content):
        raise ValueError(f"{n} integers take {at} of {len(content)} bytes")
    return values


def decode_floats(content: bytes, n: int) -> np.ndarray:
    """(n,) float64. Each: sign bit and length, digits of the mantissa in [0.5, 1) most significant first, then the
    exponent to base 2 as an integer; a 0 byte alone is zero.

    Raises
    ------
    ValueError : the bytes do not end with the last number.
    """
    values, at = np.zeros(n), 0
    for i in range(n):
        head = content[at]
        length = head & 0x7F
        if length == 0:
            at += 1
            continue
        digits = int.from_bytes(content[at + 1 : at + length], "big")
        exponent, at = _integer(content, at + length)
        value = math.ldexp(digits, exponent - 8 * (length - 1))
        values[i] = -value if head & 0x80 else value
    if at != len(content):
        raise ValueError(f"{n} numbers take {at} of {len(content)} bytes")
    return values


def _integer(content: bytes, at: int) -> tuple[int, int]:
    """One integer and where the next begins."""
    head = content[at]
    length = max(head & 0x7F, 1)
    value = int.from_bytes(content[at + 1 : at + length], "little")
    return (-value if head & 0x80 else value), at + length
