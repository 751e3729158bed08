# mypy: allow-untyped-defs, allow-untyped-calls
"""Kernels of the reference profile: a cubic B-spline surface over scaled positions in Kabsch's frame."""

import math

import numpy as np

from mxdask._jit import jit


@jit
def cubic_weights(t, out):
    """The four cubic B-splines that are not zero at fraction ``t`` of an interval."""
    s = 1.0 - t
    out[0] = s * s * s / 6.0
    out[1] = (3.0 * t * t * t - 6.0 * t * t + 4.0) / 6.0
    out[2] = (3.0 * s * s * s - 6.0 * s * s + 4.0) / 6.0
    out[3] = t * t * t / 6.0


@jit
def surface_value(coefficients, reach, step, u, v, wu, wv):
    """Value of the surface at (u, v); 0 outside ±reach. wu, wv : (4,) scratch."""
    if abs(u) >= reach or abs(v) >= reach:
        return 0.0
    x = (u + reach) / step
    y = (v + reach) / step
    i = int(x)
    j = int(y)
    cubic_weights(x - i, wu)
    cubic_weights(y - j, wv)
    total = 0.0
    for a in range(4):
        row = 0.0
        for b in range(4):
            row += wv[b] * coefficients[i + a, j + b]
        total += wu[a] * row
    return total


@jit
def spot_moments(pixel_start, uv, count_start, counts, background, out):
    """Counts above background and their moments in Kabsch's frame of n reflections, images added up.

    out : (n, 6) S, <u>, <v>, <u²>, <uv>, <v²> about the prediction (radians); S = 0 where a pixel is unusable.
    """
    for i in range(len(pixel_start) - 1):
        a = pixel_start[i]
        m = pixel_start[i + 1] - a
        total = 0.0
        u1 = v1 = uu = cross = vv = 0.0
        usable = m > 0
        depth = (count_start[i + 1] - count_start[i]) // m if m > 0 else 0
        for k in range(m):
            w = -background[i] * depth
            for j in range(depth):
                value = counts[count_start[i] + j * m + k]
                if value < 0:
                    usable = False
                w += value
            u = uv[a + k, 0]
            v = uv[a + k, 1]
            total += w
            u1 += w * u
            v1 += w * v
            uu += w * u * u
            cross += w * u * v
            vv += w * v * v
        for c in range(6):
            out[i, c] = 0.0
        if usable and total > 0.0:
            out[i, 0] = total
            out[i, 1] = u1 / total
            out[i, 2] = v1 / total
            out[i, 3] = uu / total
            out[i, 4] = cross / total
            out[i, 5] = vv / total


@jit
def weighted_moments(rows, pixel_start, uv, count_start, counts, background, out):
    """Sum and first moments of the counts above background near the predictions of chosen reflections.

    Pixels, their images added up, are weighted with w, a Gaussian about the prediction of a variance h² of 2/9 of the
    mean square of the foreground along one axis: that of a spot of σ_b in a disc of 3σ_b.

    rows : (n,) which, without unusable pixels. out : (n, 6) Σ(c − b)w, Σ(c − b)wu, Σ(c − b)wv, the variances Σbw²u² and
    Σbw²v² that the background gives them, h².
    """
    for r in range(len(rows)):
        i = rows[r]
        a = pixel_start[i]
        m = pixel_start[i + 1] - a
        for c in range(6):
            out[r, c] = 0.0
        if m == 0:
            continue
        depth = (count_start[i + 1] - count_start[i]) // m
        b = background[i] * depth
        square = 0.0
        for k in range(m):
            square += uv[a + k, 0] ** 2 + uv[a + k, 1] ** 2
        h2 = square / m / 9.0
        for k in range(m):
            u = uv[a + k, 0]
            v = uv[a + k, 1]
            w = math.exp(-0.5 * (u * u + v * v) / h2)
            excess = -b
            for j in range(depth):
                excess += counts[count_start[i] + j * m + k]
            out[r, 0] += excess * w
            out[r, 1] += excess * w * u
            out[r, 2] += excess * w * v
            out[r, 3] += b * (w * u) ** 2
            out[r, 4] += b * (w * v) ** 2
        out[r, 5] = h2


@jit
def accumulate_surface(
    pixel_start, uv, count_start, counts, background, intensity, centre, width, area, prior, mismatch, reach, step,
    matrix, vector,
):  # fmt: skip
    """Normal equations of the surface that fits the pixels of n reference reflections, in reflection order.

    Model: counts of a pixel, images added up = background + I·area·surface((u − centre)/width).
    centre, width : (n, 2) radians; area : (n,) a pixel's solid angle over width_u·width_v.
    prior : (k, k) coefficients from which the expected counts, so the weights, are taken; ``mismatch`` is the part of
        the expected counts by which single reflections differ from their mean profile (position, shape).
    matrix : (k², k²), vector : (k²,), added to.
    """
    k = prior.shape[0]
    wu = np.empty(4)
    wv = np.empty(4)
    index = np.empty(16, np.int64)
    value = np.empty(16)
    for i in range(len(pixel_start) - 1):
        a = pixel_start[i]
        m = pixel_start[i + 1] - a
        depth = (count_start[i + 1] - count_start[i]) // m
        height = intensity[i] * area[i]
        for p in range(m):
            u = (uv[a + p, 0] - centre[i, 0]) / width[i, 0]
            v = (uv[a + p, 1] - centre[i, 1]) / width[i, 1]
            if abs(u) >= reach or abs(v) >= reach:
                continue
            total = 0.0
            for j in range(depth):
                total += counts[count_start[i] + j * m + p]
            expected = max(0.0, height * surface_value(prior, reach, step, u, v, wu, wv))
            excess = total - background[i] * depth
            weight = 1.0 / (background[i] * depth + expected + (mismatch * expected) ** 2 + 0.1)
            x = (u + reach) / step
            y = (v + reach) / step
            ix = int(x)
            iy = int(y)
            cubic_weights(x - ix, wu)
            cubic_weights(y - iy, wv)
            for c in range(4):
                for d in range(4):
                    index[4 * c + d] = (ix + c) * k + iy + d
                    value[4 * c + d] = wu[c] * wv[d] * height
            for c in range(16):
                vector[index[c]] += weight * value[c] * excess
                for d in range(16):
                    matrix[index[c], index[d]] += weight * value[c] * value[d]


@jit
def rocking_fractions(phi_0, width, z0, z1, phi, zeta, sigma_m, out):
    """Part of a Gaussian rocking curve on each of the images z0 … z1 − 1 (radians; phi_0 at frame coordinate 0)."""
    c = abs(zeta) / (math.sqrt(2.0) * sigma_m)
    before = math.erf(c * (phi_0 + z0 * width - phi))
    for j in range(z1 - z0):
        after = math.erf(c * (phi_0 + (z0 + j + 1) * width - phi))
        out[j] = 0.5 * abs(after - before)
        before = after
