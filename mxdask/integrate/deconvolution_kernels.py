# mypy: allow-untyped-defs, allow-untyped-calls
"""Joint fit of a reflection and the neighbours whose spots reach into its foreground."""

import math

import numpy as np

from mxdask._jit import jit
from mxdask.integrate.fit_kernels import (
    CORRELATION,
    COVERAGE,
    INTENSITY,
    MAX_ITERATIONS,
    MOST_LEFT_OUT,
    TOLERANCE,
    VARIANCE,
)
from mxdask.integrate.profile_kernels import rocking_fractions, surface_value

# A neighbour that leaves less than this part of itself on the reflection's pixels has no intensity of its own to fit.
SMALLEST_PART = 1e-4


@jit
def fit_overlapping(
    pixel_start, uv, count_start, counts, z0, z1, phi, zeta, phi_0, width, sigma_m, background, n_background,
    centre, spread, coefficients, reach, step, mismatch, outlier,
    start, other_uv, other_phi, other_zeta, other_sigma_m, other_scale, wanted, out
):  # fmt: skip
    """Intensities of n reflections, each fitted together with its neighbours on its own foreground pixels.

    The counts of a pixel are Poisson with mean v = b + Σ_c I_c·p_c, c = 0 the reflection and c > 0 its neighbours,
    whose profile is the reflection's, moved to their place and ``other_scale`` times as wide. The maximum of the
    likelihood is the fixed point of Σ_d (Σ p_c·p_d/v) I_d = Σ (counts − b)·p_c/v. Neighbours cannot be negative.

    start : (n + 1,); other_uv (m, 2), other_phi, other_zeta, other_sigma_m, other_scale : (m,) the neighbours.
    The other arguments, and ``out``, are those of :func:`mxdask.integrate.fit_kernels.fit_profiles`. The variance is
    that of I_0 whatever the neighbours' intensities are: the element of the inverse of the matrix above.
    """
    wu = np.empty(4)
    wv = np.empty(4)
    for i in range(len(z0)):
        out[i, INTENSITY] = 0.0
        out[i, VARIANCE] = -1.0
        out[i, CORRELATION] = 0.0
        out[i, COVERAGE] = 0.0
        if not wanted[i]:
            continue
        a = pixel_start[i]
        m = pixel_start[i + 1] - a
        depth = z1[i] - z0[i]
        n = 1 + start[i + 1] - start[i]
        shape = np.zeros((n, m))
        rocking = np.zeros((n, depth))
        use = np.ones(m, np.uint8)
        rocking_fractions(phi_0, width, z0[i], z1[i], phi[i], zeta[i], sigma_m[i], rocking[0])
        whole = 0.0
        for k in range(m):
            u = (uv[a + k, 0] - centre[i, 0]) / spread[i, 0]
            v = (uv[a + k, 1] - centre[i, 1]) / spread[i, 1]
            shape[0, k] = max(0.0, surface_value(coefficients, reach, step, u, v, wu, wv))
            whole += shape[0, k]
        if not whole > 0.0:
            continue
        shape[0] /= whole
        for c in range(1, n):
            j = start[i] + c - 1
            scale = other_scale[j]
            rocking_fractions(phi_0, width, z0[i], z1[i], other_phi[j], other_zeta[j], other_sigma_m[j], rocking[c])
            for k in range(m):
                u = (uv[a + k, 0] - other_uv[j, 0] - centre[i, 0]) / (spread[i, 0] * scale)
                v = (uv[a + k, 1] - other_uv[j, 1] - centre[i, 1]) / (spread[i, 1] * scale)
                height = surface_value(coefficients, reach, step, u, v, wu, wv)
                shape[c, k] = max(0.0, height) / (whole * scale * scale)
        floor = background[i] + 0.5 / max(1.0, n_background[i])
        pixels = counts[count_start[i] : count_start[i + 1]]
        parts = np.zeros(n)
        matrix = np.zeros((n, n))
        good = _maximum(pixels, shape, rocking, use, background[i], floor, parts, matrix)
        for _ in range(MOST_LEFT_OUT):
            if not good or not _leave_out(pixels, shape, rocking, use, background[i], floor, parts, mismatch, outlier):
                break
            good = _maximum(pixels, shape, rocking, use, background[i], floor, parts, matrix)
        if good:
            _statistics(pixels, shape, rocking, use, background[i], floor, parts, matrix, n_background[i], out[i])


@jit
def _expected(shape, rocking, parts, j, k):
    """Σ max(I, 0)·p of one pixel."""
    total = 0.0
    for c in range(len(parts)):
        total += max(parts[c], 0.0) * shape[c, k] * rocking[c, j]
    return total


@jit
def _normal_equations(pixels, shape, rocking, use, background, floor, parts, matrix, vector):
    n, m = shape.shape
    matrix[:] = 0.0
    vector[:] = 0.0
    p = np.empty(n)
    for j in range(rocking.shape[1]):
        for k in range(m):
            counted = pixels[j * m + k]
            if counted < 0 or use[k] == 0:
                continue
            v = floor + _expected(shape, rocking, parts, j, k)
            for c in range(n):
                p[c] = shape[c, k] * rocking[c, j]
            for c in range(n):
                if p[c] == 0.0:
                    continue
                vector[c] += (counted - background) * p[c] / v
                for d in range(n):
                    matrix[c, d] += p[c] * p[d] / v


@jit
def _solve(matrix, vector, active, result):
    """Solve for the active unknowns by elimination; the others become 0. False where the equations are singular."""
    n = len(vector)
    rows = np.empty(n, np.int64)
    count = 0
    for c in range(n):
        result[c] = 0.0
        if active[c]:
            rows[count] = c
            count += 1
    a = np.empty((count, count + 1))
    for c in range(count):
        for d in range(count):
            a[c, d] = matrix[rows[c], rows[d]]
        a[c, count] = vector[rows[c]]
    for c in range(count):  # the matrix is symmetric and positive: no pivoting
        if not a[c, c] > 1e-9 * matrix[rows[c], rows[c]]:
            return False
        for r in range(c + 1, count):
            factor = a[r, c] / a[c, c]
            for d in range(c, count + 1):
                a[r, d] -= factor * a[c, d]
    for c in range(count - 1, -1, -1):
        value = a[c, count]
        for d in range(c + 1, count):
            value -= a[c, d] * result[rows[d]]
        result[rows[c]] = value / a[c, c]
    return True


@jit
def _maximum(pixels, shape, rocking, use, background, floor, parts, matrix):
    """Fill ``parts`` with the intensities, ``matrix`` with the normal matrix; False without a solution."""
    n, m = shape.shape
    active = np.zeros(n, np.uint8)
    for c in range(n):
        seen = 0.0
        for j in range(rocking.shape[1]):
            for k in range(m):
                if pixels[j * m + k] >= 0 and use[k]:
                    seen += shape[c, k] * rocking[c, j]
        active[c] = seen > SMALLEST_PART
    if not active[0]:
        return False
    vector = np.zeros(n)
    better = np.zeros(n)
    parts[:] = 0.0
    for _ in range(MAX_ITERATIONS):
        _normal_equations(pixels, shape, rocking, use, background, floor, parts, matrix, vector)
        tried = active.copy()
        while True:
            if not _solve(matrix, vector, tried, better):
                return False
            worst = 0
            for c in range(1, n):
                if tried[c] and better[c] < 0.0 and (worst == 0 or better[c] < better[worst]):
                    worst = c
            if worst == 0:
                break
            tried[worst] = 0
        change = 0.0
        for c in range(n):
            change = max(change, abs(better[c] - parts[c]) / max(1.0, abs(better[c])))
            parts[c] = better[c]
        if change < TOLERANCE:
            break
    return True


@jit
def _leave_out(pixels, shape, rocking, use, background, floor, parts, mismatch, outlier):
    """Take the worst outlying pixel (images added up) out; False when there is none."""
    m = shape.shape[1]
    worst = -1
    largest = outlier
    for k in range(m):
        if use[k] == 0:
            continue
        total = 0.0
        expected = 0.0
        n = 0
        for j in range(rocking.shape[1]):
            if pixels[j * m + k] >= 0:
                total += pixels[j * m + k]
                expected += _expected(shape, rocking, parts, j, k)
                n += 1
        departure = total - background * n - expected
        departure /= math.sqrt(floor * n + expected + (mismatch * expected) ** 2 + 1.0)
        if departure > largest:
            largest = departure
            worst = k
    if worst < 0:
        return False
    use[worst] = 0
    return True


@jit
def _statistics(pixels, shape, rocking, use, background, floor, parts, matrix, n_background, out):
    """Intensity, variance, correlation and coverage of one fit."""
    n, m = shape.shape
    # the weights of |I_0|, as for reflections without neighbours
    size = parts.copy()
    size[0] = abs(size[0])
    unit = np.zeros(n)
    unit[0] = 1.0
    ignored = np.zeros(n)
    _normal_equations(pixels, shape, rocking, use, background, floor, size, matrix, ignored)
    active = np.zeros(n, np.uint8)
    for c in range(n):
        active[c] = c == 0 or (parts[c] > 0.0)
    inverse = np.zeros(n)
    if not _solve(matrix, unit, active, inverse):
        return
    by_background = 0.0
    n_used = sx = sy = sxx = syy = sxy = 0.0
    covered = 0.0
    for j in range(rocking.shape[1]):
        for k in range(m):
            counted = pixels[j * m + k]
            if counted < 0 or use[k] == 0:
                continue
            v = floor + _expected(shape, rocking, size, j, k)
            model = background
            for c in range(n):
                p = shape[c, k] * rocking[c, j]
                by_background += inverse[c] * p / v
                model += parts[c] * p
            covered += shape[0, k] * rocking[0, j]
            n_used += 1.0
            sx += model
            sy += counted
            sxx += model * model
            syy += counted * counted
            sxy += model * counted
    out[INTENSITY] = parts[0]
    out[VARIANCE] = inverse[0] + by_background**2 * floor / max(1.0, n_background)
    out[COVERAGE] = covered
    spread = (n_used * sxx - sx * sx) * (n_used * syy - sy * sy)
    out[CORRELATION] = (n_used * sxy - sx * sy) / math.sqrt(spread) if spread > 0.0 else 0.0
