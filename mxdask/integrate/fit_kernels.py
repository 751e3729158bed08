# mypy: allow-untyped-defs, allow-untyped-calls
"""Profile fitting of single reflections on their pixels."""

import math

import numpy as np

from mxdask._jit import jit
from mxdask.integrate.profile_kernels import rocking_fractions, surface_value

MAX_ITERATIONS = 100
TOLERANCE = 1e-4
MOST_LEFT_OUT = 8

INTENSITY, VARIANCE, CORRELATION, COVERAGE = 0, 1, 2, 3


@jit
def fit_profiles(
    pixel_start, uv, count_start, counts, z0, z1, phi, zeta, phi_0, width, sigma_m, background, n_background,
    centre, spread, coefficients, reach, step, mismatch, outlier, wanted, out
):  # fmt: skip
    """Intensity of n reflections by maximum likelihood, given their profile and background.

    The counts of pixel (x, y) on image j are Poisson with mean b + I·p, p = profile(x, y)·(part of the rocking curve
    on j). With v = b + I·p the maximum is the fixed point of I = Σ(c − b)p/v ÷ Σp²/v; for I ≤ 0 the first step from
    I = 0 is taken. Sums run over usable pixels only and p keeps its absolute scale, so pixels that are masked, or
    images that were not recorded, do not bias I.

    var(I) = 1/Σ(p²/v) + (Σ(p/v)/Σ(p²/v))²·var(b) with v = b + |I|·p, var(b) = b/n_background: noise of the pixels and
    of the background. |I| makes the variance even in the noise, so that weights 1/var do not favour low values.

    A pixel whose counts (images added up) depart from the fit by more than ``outlier`` standard deviations, the
    mismatch between single reflections and their mean profile included, is left out and the fit repeated.

    out : (n, 4) I, variance, correlation of fit and counts, part of the profile on usable pixels. Variance -1: no fit.
    """
    wu = np.empty(4)
    wv = np.empty(4)
    longest = 1
    deepest = 1
    for i in range(len(z0)):
        longest = max(longest, pixel_start[i + 1] - pixel_start[i])
        deepest = max(deepest, z1[i] - z0[i])
    shape = np.empty(longest)
    use = np.empty(longest, np.uint8)
    rocking = np.empty(deepest)
    for i in range(len(z0)):
        out[i, INTENSITY] = 0.0
        out[i, VARIANCE] = -1.0
        out[i, CORRELATION] = 0.0
        out[i, COVERAGE] = 0.0
        if not wanted[i]:
            continue
        start = pixel_start[i]
        m = pixel_start[i + 1] - start
        depth = z1[i] - z0[i]
        rocking_fractions(phi_0, width, z0[i], z1[i], phi[i], zeta[i], sigma_m[i], rocking)
        whole = 0.0
        for k in range(m):
            u = (uv[start + k, 0] - centre[i, 0]) / spread[i, 0]
            v = (uv[start + k, 1] - centre[i, 1]) / spread[i, 1]
            shape[k] = max(0.0, surface_value(coefficients, reach, step, u, v, wu, wv))
            whole += shape[k]
            use[k] = 1
        if not whole > 0.0:
            continue
        for k in range(m):  # the foreground holds the whole spot, as in summation
            shape[k] /= whole
        # without a single count the background is not known to be nothing
        floor = background[i] + 0.5 / max(1.0, n_background[i])
        pixels = counts[count_start[i] : count_start[i + 1]]
        intensity = _maximum(pixels, m, depth, shape, rocking, use, background[i], floor)
        for _ in range(MOST_LEFT_OUT):
            if not _leave_out(
                pixels, m, depth, shape, rocking, use, background[i], floor, intensity, mismatch, outlier
            ):
                break
            intensity = _maximum(pixels, m, depth, shape, rocking, use, background[i], floor)
        if math.isnan(intensity):
            continue
        out[i, INTENSITY] = intensity
        _statistics(pixels, m, depth, shape, rocking, use, background[i], floor, intensity, n_background[i], out[i])


@jit
def _sums(pixels, m, depth, shape, rocking, use, background, floor, intensity):
    """Σ(c − b)p/v and Σp²/v at v = b + I·p."""
    top = 0.0
    bottom = 0.0
    for j in range(depth):
        for k in range(m):
            c = pixels[j * m + k]
            if c < 0 or use[k] == 0:
                continue
            p = shape[k] * rocking[j]
            w = p / (floor + intensity * p)
            top += w * (c - background)
            bottom += w * p
    return top, bottom


@jit
def _maximum(pixels, m, depth, shape, rocking, use, background, floor):
    top, bottom = _sums(pixels, m, depth, shape, rocking, use, background, floor, 0.0)
    if not bottom > 0.0:
        return math.nan
    intensity = top / bottom
    if intensity <= 0.0:
        return intensity
    for _ in range(MAX_ITERATIONS):
        top, bottom = _sums(pixels, m, depth, shape, rocking, use, background, floor, intensity)
        better = max(top / bottom, 0.0)
        change = abs(better - intensity)
        intensity = better
        if change < TOLERANCE * max(1.0, intensity):
            break
    return intensity


@jit
def _leave_out(pixels, m, depth, shape, rocking, use, background, floor, intensity, mismatch, outlier):
    """Take the worst outlying pixel out; False when there is none."""
    worst = -1
    largest = outlier
    for k in range(m):
        if use[k] == 0:
            continue
        total = 0.0
        recorded = 0.0
        n = 0
        for j in range(depth):
            c = pixels[j * m + k]
            if c >= 0:
                total += c
                recorded += rocking[j]
                n += 1
        expected = max(intensity, 0.0) * shape[k] * recorded
        departure = total - background * n - intensity * shape[k] * recorded
        departure /= math.sqrt(floor * n + expected + (mismatch * expected) ** 2 + 1.0)
        if departure > largest:
            largest = departure
            worst = k
    if worst < 0:
        return False
    use[worst] = 0
    return True


@jit
def _statistics(pixels, m, depth, shape, rocking, use, background, floor, intensity, n_background, out):
    """Variance, correlation and coverage of one fit."""
    signal = abs(intensity)
    pp = 0.0
    pb = 0.0
    covered = 0.0
    n = 0.0
    sx = sy = sxx = syy = sxy = 0.0
    for j in range(depth):
        for k in range(m):
            c = pixels[j * m + k]
            if c < 0 or use[k] == 0:
                continue
            p = shape[k] * rocking[j]
            v = floor + signal * p
            pp += p * p / v
            pb += p / v
            covered += p
            model = background + intensity * p
            n += 1.0
            sx += model
            sy += c
            sxx += model * model
            syy += c * c
            sxy += model * c
    out[VARIANCE] = 1.0 / pp + (pb / pp) ** 2 * floor / max(1.0, n_background)
    out[COVERAGE] = covered
    spread = (n * sxx - sx * sx) * (n * syy - sy * sy)
    out[CORRELATION] = (n * sxy - sx * sy) / math.sqrt(spread) if spread > 0.0 else 0.0
