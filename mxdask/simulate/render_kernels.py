# mypy: allow-untyped-defs, allow-untyped-calls
"""Pixels: spot profiles, frames of expected counts, and photon noise."""

from __future__ import annotations

import math

import numpy as np

from mxdask._jit import jit

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)


@jit
def rocking(phi, zeta, half_q2, sigma_m, start, width, factor, decay_b, recorded, fraction):
    """Part of each rocking curve inside the sweep, and the same weighted with the images' factors.

    Image j holds ½[erf(c(φ_{j+1} − φ)) − erf(c(φ_j − φ))], c = |ζ|/(√2·σ_M), times factor_j·exp(−B_j/(2d²)).

    Parameters
    ----------
    phi, zeta, half_q2 : (n,) radians; -; 1/(2d²) in Å⁻². sigma_m, start, width : radians.
    factor, decay_b : (n_images,). recorded, fraction : (n,) filled.
    """
    for i in range(phi.shape[0]):
        c = abs(zeta[i]) / (math.sqrt(2.0) * sigma_m)
        reach = 6.0 / max(c, 1e-12)
        first = max(0, math.floor((phi[i] - reach - start) / width))
        last = min(factor.shape[0], math.ceil((phi[i] + reach - start) / width))
        left = math.erf(c * (start + first * width - phi[i]))
        total, weighted = 0.0, 0.0
        for j in range(first, last):
            right = math.erf(c * (start + (j + 1) * width - phi[i]))
            part = 0.5 * (right - left)
            total += part
            weighted += part * factor[j] * math.exp(-decay_b[j] * half_q2[i])
            left = right
        recorded[i] = weighted
        fraction[i] = total


@jit
def spot_profiles(x, y, covariance, corner, shape, offset, profile):
    """Integrals of two-dimensional Gaussians over pixels, each spot in its own box.

    Rows are cut in four strips; in a strip the marginal in y is exact (erf) and the conditional in x, exact over
    each pixel (erf), is taken at the strip's middle.

    Parameters
    ----------
    x, y : (n,) px; covariance (n, 3) px² (xx, xy, yy).
    corner : (n, 2) int64 (fast, slow) first pixel of the box; shape (n, 2) int64 (fast, slow) its size.
    offset : (n + 1,) int64 into profile (float32, slow-major), filled.
    """
    strips = 4
    for i in range(x.shape[0]):
        xx, xy, yy = covariance[i, 0], covariance[i, 1], covariance[i, 2]
        cy = 1.0 / math.sqrt(2.0 * yy)
        slope = xy / yy
        cx = 1.0 / math.sqrt(2.0 * max(xx - xy * slope, 1e-12))
        nx, ny = shape[i, 0], shape[i, 1]
        for row in range(ny):
            at = offset[i] + row * nx
            for k in range(nx):
                profile[at + k] = 0.0
            for strip in range(strips):
                low = corner[i, 1] + row + strip / strips - y[i]
                high = low + 1.0 / strips
                weight = 0.25 * (math.erf(cy * high) - math.erf(cy * low))
                centre = x[i] + slope * 0.5 * (low + high)
                left = math.erf(cx * (corner[i, 0] - centre))
                for k in range(nx):
                    right = math.erf(cx * (corner[i, 0] + k + 1 - centre))
                    profile[at + k] += weight * (right - left)
                    left = right


@jit
def add_spots(frame, counts, phi, zeta, half_q2, sigma_m, phi_left, phi_right, decay_b, corner, shape, offset, profile):
    """Add what every reflection leaves in one image to ``frame`` (slow, fast) float32.

    ``counts`` (n,) are whole reflections times the image's factor; the rocking curve is cut at phi_left, phi_right.
    """
    for i in range(phi.shape[0]):
        c = abs(zeta[i]) / (math.sqrt(2.0) * sigma_m)
        if c * (phi_left - phi[i]) > 4.0 or c * (phi_right - phi[i]) < -4.0:
            continue
        part = 0.5 * (math.erf(c * (phi_right - phi[i])) - math.erf(c * (phi_left - phi[i])))
        height = counts[i] * part * math.exp(-decay_b * half_q2[i])
        if height <= 0.0:
            continue
        x0, y0, nx = corner[i, 0], corner[i, 1], shape[i, 0]
        for row in range(max(0, -y0), min(shape[i, 1], frame.shape[0] - y0)):
            at = offset[i] + row * nx
            for k in range(max(0, -x0), min(nx, frame.shape[1] - x0)):
                frame[y0 + row, x0 + k] += height * profile[at + k]


@jit
def _uniform(key, counter):
    """A number in (0, 1) for every counter: the SplitMix64 generator (Steele, Lea & Flood, 2014) as a hash."""
    z = key + counter * _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _MIX1
    z = (z ^ (z >> np.uint64(27))) * _MIX2
    z = z ^ (z >> np.uint64(31))
    return (float(z >> np.uint64(11)) + 0.5) * (1.0 / 9007199254740992.0)


@jit
def expose(expected, key, highest, masked, marker, image):
    """Poisson counts of one frame: the noise of a pixel depends on the key and its place alone.

    Means below 50 are drawn by inversion, larger ones as normal deviates with the skewness of Poisson's
    distribution (Cornish & Fisher): k = ⌊λ + z√λ + (z² − 1)/6 + ½⌋.

    Parameters
    ----------
    expected : (slow, fast) float32. key : uint64. highest : largest count that is written.
    masked : (slow, fast) uint32, where not 0 ``marker`` is written. image : (slow, fast) unsigned integers, filled.
    """
    n_slow, n_fast = expected.shape
    for j in range(n_slow):
        for i in range(n_fast):
            if masked[j, i] != 0:
                image[j, i] = marker
                continue
            mean = float(expected[j, i])
            counter = np.uint64(2 * (j * n_fast + i) + 1)
            u = _uniform(key, counter)
            if mean < 50.0:
                probability = math.exp(-mean)
                total = probability
                k = 0
                while u > total and k < 200:
                    k += 1
                    probability *= mean / k
                    total += probability
            else:
                v = _uniform(key, counter + np.uint64(1))
                z = math.sqrt(-2.0 * math.log(u)) * math.cos(2.0 * math.pi * v)
                k = max(0, math.floor(mean + z * math.sqrt(mean) + (z * z - 1.0) / 6.0 + 0.5))
            image[j, i] = min(k, highest)
