# mypy: allow-untyped-defs, allow-untyped-calls
"""Equivalents of many reflections under a group of index operators."""

from __future__ import annotations

import numpy as np

from mxdask._jit import jit

_OFFSET = 1 << 20  # as in mxdask.intensity.asu.pack


@jit
def largest_keys(hkl, ops, keys):
    """``keys`` (n,): the largest packed index among ±W·h of hkl (n, 3) i8 over ops (k, 3, 3) i8."""
    for i in range(len(hkl)):
        h, k, l = hkl[i]
        best = np.int64(-1)
        for op in ops:
            a = op[0, 0] * h + op[0, 1] * k + op[0, 2] * l
            b = op[1, 0] * h + op[1, 1] * k + op[1, 2] * l
            c = op[2, 0] * h + op[2, 1] * k + op[2, 2] * l
            plus = ((a + _OFFSET) << 42) | ((b + _OFFSET) << 21) | (c + _OFFSET)
            minus = ((_OFFSET - a) << 42) | ((_OFFSET - b) << 21) | (_OFFSET - c)
            best = max(best, plus, minus)
        keys[i] = best


@jit
def count_stabilisers(hkl, ops, count):
    """``count`` (n,): how many of the ±W, W in ops (k, 3, 3) i8, leave hkl (n, 3) i8 where they are."""
    for i in range(len(hkl)):
        h, k, l = hkl[i]
        total = 0
        for op in ops:
            a = op[0, 0] * h + op[0, 1] * k + op[0, 2] * l
            b = op[1, 0] * h + op[1, 1] * k + op[1, 2] * l
            c = op[2, 0] * h + op[2, 1] * k + op[2, 2] * l
            if a == h and b == k and c == l:
                total += 1
            if a == -h and b == -k and c == -l:
                total += 1
        count[i] = total
