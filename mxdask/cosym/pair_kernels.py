# mypy: allow-untyped-defs, allow-untyped-calls
"""Sums over common reflections of pairs of crystals."""

from __future__ import annotations

import numpy as np

from mxdask._jit import jit


@jit
def pair_sums(first_start, first_crystal, first_value, second_start, second_crystal, second_value, image, lo, hi, sums):
    """Add, for crystals lo ≤ i < hi of the first list and all j of the second, the six sums of a correlation.

    Lists are by reflection: rows start[y]:start[y + 1] hold the crystals that observed reflection y and their values,
    crystals ascending. ``image[y]`` is the reflection of the second list compared with y of the first, or -1.
    ``sums`` (hi - lo, n, 6): number, Σa, Σb, Σa², Σb², Σab.
    """
    for y in range(len(image)):
        g = image[y]
        if g < 0:
            continue
        s0, s1 = second_start[g], second_start[g + 1]
        if s0 == s1:
            continue
        for p in range(first_start[y], first_start[y + 1]):
            i = first_crystal[p]
            if i < lo or i >= hi:
                continue
            a = first_value[p]
            row = sums[i - lo]
            for q in range(s0, s1):
                b = second_value[q]
                cell = row[second_crystal[q]]
                cell[0] += 1.0
                cell[1] += a
                cell[2] += b
                cell[3] += a * a
                cell[4] += b * b
                cell[5] += a * b


@jit
def correlations(sums, min_pairs, r, n):
    """Pearson coefficients and numbers of pairs from ``sums`` (a, b, 6); r = 0 where n < min_pairs or undefined."""
    for i in range(sums.shape[0]):
        for j in range(sums.shape[1]):
            count, a, b, aa, bb, ab = sums[i, j]
            n[i, j] = np.int32(count)
            r[i, j] = 0.0
            if count >= min_pairs and count > 1.0:
                va = aa - a * a / count
                vb = bb - b * b / count
                if va > 0.0 and vb > 0.0:
                    value = (ab - a * b / count) / np.sqrt(va * vb)
                    r[i, j] = min(1.0, max(-1.0, value))


@jit
def weighted_pair_sums(
    first_start, first_crystal, first_value, second_start, second_crystal, second_value, image, lo, hi,
    first_variance, second_variance, sums,
):  # fmt: skip
    """As :func:`pair_sums`, pairs weighted by w = 1/(variance of a + variance of b).

    ``sums`` (hi - lo, n, 8): number, Σw, Σwa, Σwb, Σwa², Σwb², Σwab, Σw².
    """
    for y in range(len(image)):
        g = image[y]
        if g < 0:
            continue
        s0, s1 = second_start[g], second_start[g + 1]
        for p in range(first_start[y], first_start[y + 1]):
            i = first_crystal[p]
            if i < lo or i >= hi:
                continue
            a = first_value[p]
            row = sums[i - lo]
            for q in range(s0, s1):
                b = second_value[q]
                w = 1.0 / (first_variance[p] + second_variance[q])
                cell = row[second_crystal[q]]
                cell[0] += 1.0
                cell[1] += w
                cell[2] += w * a
                cell[3] += w * b
                cell[4] += w * a * a
                cell[5] += w * b * b
                cell[6] += w * a * b
                cell[7] += w * w


@jit
def weighted_correlations(sums, min_pairs, r, n, effective):
    """Weighted coefficients, numbers of pairs, and (Σw)²/Σw², from the ``sums`` (a, b, 8) of weighted pairs."""
    for i in range(sums.shape[0]):
        for j in range(sums.shape[1]):
            count, w, a, b, aa, bb, ab, ww = sums[i, j]
            n[i, j] = np.int32(count)
            r[i, j] = 0.0
            effective[i, j] = w * w / ww if ww > 0.0 else 0.0
            if count >= min_pairs and count > 1.0:
                va = aa - a * a / w
                vb = bb - b * b / w
                if va > 0.0 and vb > 0.0:
                    value = (ab - a * b / w) / np.sqrt(va * vb)
                    r[i, j] = min(1.0, max(-1.0, value))
