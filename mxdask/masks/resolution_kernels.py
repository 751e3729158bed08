# mypy: allow-untyped-defs, allow-untyped-calls
"""Resolution of every pixel of a panel."""

import math

import numpy as np

from mxdask._jit import jit

# Side of the squares, px, that are looked at as a whole first.
TILE = 16


@jit
def mask_intervals(origin, fast, slow, normal, pixel_x, pixel_y, thickness, mu, s0, low, high, mask):
    """Set ``mask`` to False where 1/d² of a pixel's centre lies in one of the closed intervals.

    Parameters
    ----------
    origin, fast, slow, normal : (3,) of the panel, mm; the normal points away from the sample.
    pixel_x, pixel_y : mm. thickness, mu : mm, mm⁻¹ for the parallax correction; thickness 0 is none.
    s0 : (3,) beam, length 1/λ.
    low, high : (n,) Å⁻² ascending, disjoint.
    mask : (slow, fast) u1, changed.

    1/d² = |s1 − s0|². A pixel whose centre the beam hits is taken at its corner. Tiles that are certain to lie within
    one interval, or outside all, are done as a whole.
    """
    height, width = mask.shape
    wave = math.sqrt(s0[0] ** 2 + s0[1] ** 2 + s0[2] ** 2)
    n = low.size
    # Half the diagonal of a tile (mm), with room for the parallax correction's change within it.
    reach = 1.5 * 0.5 * TILE * math.sqrt(pixel_x**2 + pixel_y**2)
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            bottom, right = min(top + TILE, height), min(left + TILE, width)
            middle, distance = _d_star_sq(
                origin, fast, slow, normal, 0.5 * (left + right) * pixel_x, 0.5 * (top + bottom) * pixel_y,
                thickness, mu, s0, wave,
            )  # fmt: skip
            # Moving by x mm at a distance r turns the ray by less than x/(r - x); |d(1/d2)| is at most 2k2 times that.
            spread = 2.0 * wave**2 * reach / (distance - reach) if distance > 2.0 * reach else math.inf
            a = np.searchsorted(high, middle - spread)
            b = np.searchsorted(high, middle + spread)
            if a == b and (a == n or middle + spread < low[a]):
                continue  # no interval is near
            if a == b and low[a] <= middle - spread:
                mask[top:bottom, left:right] = 0  # all within one interval
                continue
            for j in range(top, bottom):
                for i in range(left, right):
                    value, _ = _d_star_sq(
                        origin, fast, slow, normal, (i + 0.5) * pixel_x, (j + 0.5) * pixel_y, thickness, mu, s0, wave
                    )
                    if value < 1e-18 * wave**2:
                        value, _ = _d_star_sq(
                            origin, fast, slow, normal, i * pixel_x, j * pixel_y, thickness, mu, s0, wave
                        )
                    k = np.searchsorted(high, value)
                    if k < n and value >= low[k]:
                        mask[j, i] = 0


@jit
def _d_star_sq(origin, fast, slow, normal, x, y, thickness, mu, s0, wave):
    """1/d² of the point (x, y) mm of the panel, and its distance from the sample."""
    if thickness > 0.0:
        norm = 0.0
        along_fast = 0.0
        along_slow = 0.0
        cosine = 0.0
        for a in range(3):
            c = origin[a] + x * fast[a] + y * slow[a]
            norm += c * c
            along_fast += c * fast[a]
            along_slow += c * slow[a]
            cosine += c * normal[a]
        norm = 1.0 / math.sqrt(norm)
        path = thickness / (cosine * norm)
        length = 1.0 / mu - (path + 1.0 / mu) * math.exp(-mu * path)
        x -= along_fast * norm * length
        y -= along_slow * norm * length
    norm = 0.0
    for a in range(3):
        c = origin[a] + x * fast[a] + y * slow[a]
        norm += c * c
    distance = math.sqrt(norm)
    scale = wave / distance
    total = 0.0
    for a in range(3):
        q = (origin[a] + x * fast[a] + y * slow[a]) * scale - s0[a]
        total += q * q
    return total, distance
