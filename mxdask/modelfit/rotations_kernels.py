# mypy: allow-untyped-defs, allow-untyped-calls
"""Products of rotations about fixed axes, compiled: a fit asks for them thousands of times."""

from __future__ import annotations

import numpy as np

from mxdask._jit import jit


@jit()
def compose(axes, radians, total, derivative):
    """R = R_k … R_2·R_1 and dR/dangle (per radian).

    axes (k, 3) unit vectors, radians (n, k) → total (n, 3, 3), derivative (n, k, 3, 3).
    """
    count = len(axes)
    single, turned, cross = np.empty((3, 3)), np.empty((3, 3)), np.zeros((3, 3))
    for i in range(len(radians)):
        total[i] = np.eye(3)
        for q in range(count):
            x, y, z = axes[q]
            s, c = np.sin(radians[i, q]), np.cos(radians[i, q])
            cross[0, 1], cross[0, 2], cross[1, 0], cross[1, 2], cross[2, 0], cross[2, 1] = -z, y, z, -x, -y, x
            for a in range(3):
                for b in range(3):
                    outer = axes[q, a] * axes[q, b]
                    across = (1.0 if a == b else 0.0) - outer
                    single[a, b] = outer + c * across + s * cross[a, b]
                    turned[a, b] = c * cross[a, b] - s * across
            for p in range(q):
                derivative[i, p] = single @ derivative[i, p]
            derivative[i, q] = turned @ total[i]
            total[i] = single @ total[i]
