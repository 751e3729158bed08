"""How much a lattice says about the spots, and how much one would say about spots at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Closer than this (σ in units of an index) is not counted as better: errors of the geometry are not known so well.
_FINEST = 0.01
_WIDEST = 0.2
_STARTS = (0.02, 0.06, 0.15)
_STEPS = 12


@dataclass(frozen=True)
class Explanation:
    """What a lattice says about the spots.

    Attributes
    ----------
    bits : information gained per spot over spots that lie anywhere.
    fraction : of the spots that belong to the lattice (those that are near a node by chance not counted).
    spread : r.m.s. distance of these from whole-number indices.
    """

    bits: float
    fraction: float
    spread: float


NOTHING = Explanation(0.0, 0.0, float("inf"))


def explain(distance: np.ndarray) -> Explanation:
    """Judge a lattice by the distances (n,) of all spots from the nearest whole-number indices.

    A fraction g of the spots is taken to lie about the nodes with a three-dimensional Gaussian distribution, the rest
    anywhere in the reciprocal unit cell; g and σ are found by maximum likelihood. The gain over no lattice at all is
    the mean of log₂(1 − g + g·N(δ; σ)), in units of the cell. A cell that is too large catches spots by chance, all
    over the tolerance, and gains nothing from them; a cell that is too small loses half of the spots.
    """
    if len(distance) == 0:
        return NOTHING
    squared = np.minimum(distance, 1.0) ** 2
    best = NOTHING
    for sigma in _STARTS:
        g = 0.5
        for _ in range(_STEPS):
            density = g * (2 * np.pi * sigma**2) ** -1.5 * np.exp(-0.5 * squared / sigma**2)
            belongs = density / (density + 1.0 - g)
            total = float(belongs.sum())
            g = min(max(total / len(squared), 1e-4), 1 - 1e-3)
            sigma = float(np.clip(np.sqrt(belongs @ squared / (3.0 * max(total, 1e-9))), _FINEST, _WIDEST))
        density = g * (2 * np.pi * sigma**2) ** -1.5 * np.exp(-0.5 * squared / sigma**2)
        bits = float(np.mean(np.log2(density + 1.0 - g)))
        if bits > best.bits:
            best = Explanation(bits, g, float(np.sqrt(3.0) * sigma))
    return best


def chance_bits(n_parameters: int) -> float:
    """Bits (over all spots) that the best of many candidate lattices gains on spots without any lattice, with margin.

    Nine free parameters adapt to about nine coordinates of the spots; choosing the best of a thousand adds ten bits.
    """
    return 10.0 * n_parameters + 10.0
