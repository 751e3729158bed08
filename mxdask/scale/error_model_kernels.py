# mypy: allow-untyped-defs, allow-untyped-calls
"""Kernel of the error model: one pass over the observations for each trial."""

import numpy as np

from mxdask._jit import jit


@jit
def bin_moments(intensity, variance, expected, independence, bins, a, b, sums, squares):
    """Add up the normalised deviations of each bin, and their squares.

    Parameters
    ----------
    intensity, variance, expected, independence : (n,) f8. bins : (n,) i8.
    a, b : f8, of the error model.
    sums, squares : (n_bins,) f8, zero before.
    """
    for i in range(len(bins)):
        term = b * expected[i]
        sigma = a * np.sqrt(variance[i] + term * term)
        delta = (intensity[i] - expected[i]) / (independence[i] * sigma)
        sums[bins[i]] += delta
        squares[bins[i]] += delta * delta
