# mypy: allow-untyped-defs, allow-untyped-calls
"""Kernel of the distances between unit cells."""

import numpy as np

from mxdask._jit import jit


@jit
def nearest_images(cells, images, offset):
    """Condensed (n(n-1)/2,) distances: the nearest of one cell's images to the other cell, either way.

    Parameters
    ----------
    cells : (n, 6) G6 vectors. images : (m, 6) those of all equivalent cells; cell i owns offset[i]:offset[i + 1].
    """
    n = cells.shape[0]
    out = np.empty(n * (n - 1) // 2)
    k = 0
    for i in range(n):
        for j in range(i + 1, n):
            best = np.inf
            for source, target in ((i, j), (j, i)):
                for m in range(offset[source], offset[source + 1]):
                    total = 0.0
                    for c in range(6):
                        d = images[m, c] - cells[target, c]
                        total += d * d
                        if total >= best:
                            break
                    if total < best:
                        best = total
            out[k] = np.sqrt(best)
            k += 1
    return out
