# mypy: allow-untyped-decorators
"""Sums over all pairs of equivalent observations."""

from __future__ import annotations

import numpy as np

from mxdask._jit import jit


@jit()
def add_pairs(
    start: np.ndarray,
    dose: np.ndarray,
    value: np.ndarray,
    signal: np.ndarray,
    shell: np.ndarray,
    cumulative: np.ndarray,
    by_difference: np.ndarray,
) -> None:
    """Add what every pair within a group gives.

    Parameters
    ----------
    start : (m + 1,) first observation of each group. shell : (m,) of each group.
    dose : (n,) step of each observation, rising within a group. value, signal : (n,) I and I/σ.
    cumulative : (4, shells, steps) by the larger dose: Σ|I - J|, Σ½|I + J|, Σ(I/σ + J/σ), 2 × pairs.
    by_difference : (2, steps) by the difference of doses: Σ|I - J|, Σ½(I + J).
    """
    for g in range(len(shell)):
        s = shell[g]
        for j in range(start[g] + 1, start[g + 1]):
            difference = total = both = 0.0
            for i in range(start[g], j):
                apart = abs(value[i] - value[j])
                together = 0.5 * (value[i] + value[j])
                difference += apart
                total += abs(together)
                both += signal[i] + signal[j]
                by_difference[0, dose[j] - dose[i]] += apart
                by_difference[1, dose[j] - dose[i]] += together
            cumulative[0, s, dose[j]] += difference
            cumulative[1, s, dose[j]] += total
            cumulative[2, s, dose[j]] += both
            cumulative[3, s, dose[j]] += 2.0 * (j - start[g])
