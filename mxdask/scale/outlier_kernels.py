# mypy: allow-untyped-defs, allow-untyped-calls
"""Kernels of outlier rejection: one pass over groups of equivalents, ordered by group."""

import numpy as np

from mxdask._jit import jit

# A weight counts at most this many times the group's median: one tiny variance must not make all others outliers.
_CAP = 10.0


@jit
def reject(starts, intensity, variance, g, zmax, repeat, outlier):
    """Mark outliers (n,) u1 in groups of more than two.

    Each observation is compared with the weighted mean of the others; the worst beyond zmax goes, and with
    ``repeat`` the rest is looked at anew until none goes or two are left.
    """
    for h in range(starts.shape[0] - 1):
        first, last = starts[h], starts[h + 1]
        left = last - first
        if left <= 2:
            continue
        weight = g[first:last] ** 2 / variance[first:last]
        cap = _CAP * np.median(weight)
        for i in range(weight.shape[0]):
            weight[i] = min(weight[i], cap)
        alive = np.ones(weight.shape[0], np.uint8)
        while left > 2:
            total = 0.0
            top = 0.0
            for i in range(weight.shape[0]):
                if alive[i]:
                    total += weight[i]
                    top += weight[i] * intensity[first + i] / g[first + i]
            worst = -1
            worst_z = zmax
            for i in range(weight.shape[0]):
                if not alive[i]:
                    continue
                rest = total - weight[i]
                own = intensity[first + i] / g[first + i]
                mean = (top - weight[i] * own) / rest
                z = abs(own - mean) / np.sqrt(variance[first + i] / g[first + i] ** 2 + 1.0 / rest)
                if z > worst_z:
                    worst, worst_z = i, z
                if z > zmax and not repeat:
                    outlier[first + i] = 1
            if worst < 0 or not repeat:
                break
            alive[worst] = 0
            outlier[first + worst] = 1
            left -= 1
