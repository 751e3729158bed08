"""How wide the rocking curve is, learnt from the counts of reference reflections image by image.

σ_m of the profile model comes from strong pixels alone, which are fewer on a spot's first and last images: it is too
small by a few per cent. A profile fit loses half of that of a weak reflection's intensity. Here all foreground
pixels count, above a background that is known.
"""

from __future__ import annotations

import numpy as np
from scipy.special import erf

from mxdask.integrate.foreground import ForegroundPixels
from mxdask.models import Scan

# The logarithm of the factor is known beforehand to this much; what it may be.
_PRIOR = 0.1
_GRID = np.linspace(-0.5, 0.5, 41)
# Counts beyond which a stronger reflection says no more: its own position errs, too.
_SATURATION = 1000.0
# A reflection that contradicts the others by so much (half a χ² of 16) is not alone on its pixels.
_CONTRADICTS = 8.0
MOST_REFLECTIONS = 1000


def rocking_factor(
    pixels: ForegroundPixels,
    background: np.ndarray,
    images: np.ndarray,
    phi: np.ndarray,
    zeta: np.ndarray,
    sigma_m: np.ndarray,
    scan: Scan,
    prior: float = 1.0,
) -> float:
    """Width of the rocking curves of n complete reflections, in units of ``sigma_m``.

    The counts N_j on image j are Poisson with mean B_j + S·z_j/Σz, z_j the part of a Gaussian rocking curve on it and S
    the counts above background. The factor maximises the likelihood times a log-normal prior about ``prior``;
    reflections that contradict the rest are left out.

    Parameters
    ----------
    pixels : their foreground. background : (n,) counts per pixel and image. images : (n, 2) half-open range of images.
    phi, zeta, sigma_m : (n,) predicted angle (radians), Kabsch's ζ, and width of the rocking curve (radians).
    """
    if len(phi) > MOST_REFLECTIONS:
        rows = np.linspace(0, len(phi) - 1, MOST_REFLECTIONS).astype(np.int64)
        pixels, background, images = pixels.select(rows), background[rows], images[rows]
        phi, zeta, sigma_m = phi[rows], zeta[rows], sigma_m[rows]
    depth = images[:, 1] - images[:, 0]
    area = np.diff(pixels.pixel_start)
    known = (depth > 1) & (area > 0)
    owner = np.repeat(np.arange(len(depth)), depth)
    first = np.repeat(pixels.count_start[:-1], depth)
    image = np.arange(len(owner)) - np.repeat(np.cumsum(depth) - depth, depth)
    begin = first + image * area[owner]
    if not known.any() or not len(pixels.counts):
        return prior
    rows = known[owner]
    owner, image, begin = owner[rows], image[rows], begin[rows]
    totals = np.concatenate([[0], np.cumsum(np.maximum(pixels.counts, 0), dtype=np.int64)])
    counts = (totals[begin + area[owner]] - totals[begin]).astype(np.float64)
    level = background[owner] * area[owner] + 0.1
    signal = np.maximum(np.bincount(owner, counts - level, len(depth)), 0.0)
    weight = (1.0 / (1.0 + signal / _SATURATION))[owner]
    low = (scan.angle((images[owner, 0] + image).astype(np.float64)) - phi[owner]) * np.abs(zeta[owner])
    high = low + np.deg2rad(scan.width) * np.abs(zeta[owner])
    scale = 1.0 / (np.sqrt(2.0) * sigma_m[owner] * prior)

    log_likelihood = np.empty((len(depth), len(_GRID)))
    for k, log_factor in enumerate(_GRID):
        part = np.abs(erf(high * scale / np.exp(log_factor)) - erf(low * scale / np.exp(log_factor)))
        whole = np.maximum(np.bincount(owner, part, len(depth)), 1e-300)
        terms = weight * counts * np.log(level + (signal / whole)[owner] * part)
        log_likelihood[:, k] = np.bincount(owner, terms, len(depth))
    return float(prior * np.exp(_peak(log_likelihood - log_likelihood.max(axis=1, keepdims=True))))


def _peak(log_likelihood: np.ndarray) -> float:
    """Position on the grid where the sum of (n, grid) and the prior is largest, without contradicting reflections."""
    before = -0.5 * (_GRID / _PRIOR) ** 2
    # the median curve is not drawn away by a few that contradict
    best = int(np.argmax(np.median(log_likelihood, axis=0) * len(log_likelihood) + before))
    for _ in range(5):
        agree = log_likelihood[:, best] > -_CONTRADICTS
        total = log_likelihood[agree].sum(axis=0) + before
        if best == int(np.argmax(total)):
            break
        best = int(np.argmax(total))
    if not 0 < best < len(_GRID) - 1:
        return float(_GRID[best])
    left, middle, right = total[best - 1 : best + 2]
    return float(_GRID[best] + 0.5 * (_GRID[1] - _GRID[0]) * (left - right) / (left - 2 * middle + right))
