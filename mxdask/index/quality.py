"""How much a lattice says about the spots, and how much one would say about spots at random."""

from __future__ import annotations

import numpy as np

# A ball this many times the r.m.s. distance holds nearly all spots of a three-dimensional Gaussian.
_BALL = 2.0
# Closer than this (in units of an index) is not counted as better: errors of the geometry are not known so well.
_FINEST = 0.01


def bits_per_spot(fraction: float, spread: float) -> float:
    """Information gained per spot when a lattice indexes some of them.

    An indexed spot is told within a ball of radius 2 × ``spread`` of the reciprocal unit cell instead of anywhere in
    it; the rest is background; which spot is which costs the entropy of the fraction. A cell that is too large
    catches spots by chance, with a large spread, and gains nothing; a cell that is too small loses half of the spots.

    Parameters
    ----------
    fraction : of spots indexed. spread : r.m.s. distance from whole-number indices of those.
    """
    if fraction <= 0 or not np.isfinite(spread):
        return 0.0
    ball = min(1.0, 4.0 / 3.0 * np.pi * (_BALL * max(spread, _FINEST)) ** 3)
    f = min(fraction, 1 - 1e-3)
    return float(f * np.log2(1.0 / ball) + f * np.log2(f) + (1 - f) * np.log2(1 - f))


def chance_bits(n_parameters: int) -> float:
    """Bits that the best of many candidate lattices gains on spots without any lattice, with margin.

    Nine free parameters adapt to about nine coordinates of the spots; choosing the best of a thousand adds ten bits.
    """
    return 10.0 * n_parameters + 10.0
