"""The reference profile of a crystal: how a reflection's counts are spread over the detector.

In Kabsch's frame (ε1 across, ε2 along the radial direction) the spot is described by its second moments, which vary
smoothly over the detector (obliquity, parallax), and by one shape in positions scaled by them: a cubic B-spline
surface, fitted to the pixels of all strong reflections with a Gaussian as the starting point. A wedge of a few degrees
has enough strong spots for that, where separate profiles per detector region (back.md 8.2) would hold a handful each.
Along the rotation the spot is a Gaussian rocking curve, whose width is learnt, too (``rocking.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from mxdask.integrate.foreground import ForegroundPixels
from mxdask.integrate.moment_fields import Centres, MomentFields, constant_fields, fit_fields, mean_fields
from mxdask.integrate.profile_kernels import accumulate_surface, spot_moments
from mxdask.models import Experiment

REACH, STEP = 5.4, 0.6
MOST_REFERENCES = 3000
# A crystal with fewer does not lend its profile to others.
FEW_REFERENCES = 30
# Single reflections depart from their mean profile by about this part of the counts in a pixel (position, shape).
MISMATCH = 0.1
# Prior spread of the surface about the Gaussian: part of the local value, and part of the peak.
_PRIOR_LOCAL, _PRIOR_FLOOR = 0.2, 0.005


@dataclass(frozen=True)
class ReferenceProfile:
    """Profile of one crystal in one part of its scan.

    Attributes
    ----------
    fields : centres and widths of the spots over the detector.
    coefficients : (k, k) of the B-spline surface over ((ε1 − <ε1>)/width1, (ε2 − <ε2>)/width2); its integral is 1.
    sigma_b : radians, of the crystal.
    n_references : reflections it was learnt from.
    rocking : width of the rocking curve in units of the crystal's σ_m.
    """

    fields: MomentFields
    coefficients: np.ndarray
    sigma_b: float
    n_references: int
    rocking: float = 1.0


def pixel_solid_angle(experiment: Experiment, panel: np.ndarray, xy_mm: np.ndarray) -> np.ndarray:
    """(n,) solid angle (sr) of the pixel at each position (mm on the panel)."""
    assert experiment.detector is not None
    out = np.empty(len(panel))
    for index in np.unique(panel):
        p = experiment.detector[int(index)]
        rows = panel == index
        point = p.lab_coord(xy_mm[rows])
        distance = np.linalg.norm(point, axis=1)
        out[rows] = p.pixel_size[0] * p.pixel_size[1] * np.abs(point @ p.normal) / distance**3
    return out


@lru_cache(maxsize=1)
def _gaussian() -> np.ndarray:
    """Coefficients of the surface nearest to a Gaussian of unit widths."""
    n = round(2 * REACH / STEP) + 3
    x = np.linspace(-REACH, REACH, 8 * n + 1)[:-1]
    position = (x + REACH) / STEP
    cell = position.astype(int)
    t, s = position - cell, 1 - (position - cell)
    basis = np.zeros((len(x), n))
    for i, w in enumerate((s**3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (3 * s**3 - 6 * s**2 + 4) / 6, t**3 / 6)):
        basis[np.arange(len(x)), cell + i] = w
    line = np.linalg.lstsq(basis, np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi), rcond=None)[0]
    return np.outer(line, line)


def gaussian_profile(sigma_b: float) -> ReferenceProfile:
    """What stands in when there is nothing to learn from: a round Gaussian, σ_b² = <ε1²> + <ε2²>."""
    return ReferenceProfile(constant_fields(sigma_b**2 / 2), _gaussian(), sigma_b, 0)


def borrowed_profile(lenders: Sequence[ReferenceProfile], sigma_b: float) -> ReferenceProfile:
    """Mean profile of other crystals measured at the same settings, its widths scaled to this crystal's σ_b."""
    taught = [p for p in lenders if p.n_references >= FEW_REFERENCES]
    if not taught:
        return gaussian_profile(sigma_b)
    mean = mean_fields([p.fields.scaled(sigma_b / p.sigma_b) for p in taught])
    rocking = float(np.mean([p.rocking for p in taught]))
    return ReferenceProfile(mean, np.mean([p.coefficients for p in taught], axis=0), sigma_b, 0, rocking)


def learn_profile(
    pixels: ForegroundPixels,
    background: np.ndarray,
    intensity: np.ndarray,
    terms: np.ndarray,
    solid_angle: np.ndarray,
    prior: ReferenceProfile,
    weak: Centres,
) -> ReferenceProfile:
    """Profile from reference reflections that are complete, have no bad pixels, and are strong.

    Parameters
    ----------
    pixels : foreground of n reflections.
    background, intensity : (n,) counts per pixel and image; summed counts.
    terms : (n, 6) of :func:`field_terms`; solid_angle : (n,) sr per pixel.
    prior : where to start from: what few reflections cannot say stays as it is there.
    weak : where reflections lie that are too weak to teach the shape.

    Sums run in the order of the reflections: the result depends on nothing else.
    """
    moments = np.empty((len(intensity), 6))
    spot_moments(pixels.pixel_start, pixels.uv, pixels.count_start, pixels.counts, background, moments)
    fields, good = fit_fields(moments, intensity, terms, prior.fields, weak)
    rows = np.flatnonzero(good)
    if not len(rows):
        return replace(prior, fields=fields)
    centre, width = fields.at(terms[rows])
    area = solid_angle[rows] / (width[:, 0] * width[:, 1])
    surface = _surface(pixels.select(rows), background[rows], intensity[rows], centre, width, area, prior.coefficients)
    return ReferenceProfile(fields, surface, prior.sigma_b, len(rows), prior.rocking)


def _surface(
    pixels: ForegroundPixels,
    background: np.ndarray,
    intensity: np.ndarray,
    centre: np.ndarray,
    width: np.ndarray,
    area: np.ndarray,
    prior: np.ndarray,
) -> np.ndarray:
    """Coefficients of the shape by weighted least squares about ``prior``, scaled to integral 1."""
    k = len(prior)
    spread = _PRIOR_LOCAL * np.abs(prior) + _PRIOR_FLOOR * prior.max()
    matrix, vector = np.diag(spread.ravel() ** -2), prior.ravel() * spread.ravel() ** -2
    accumulate_surface(
        pixels.pixel_start, pixels.uv, pixels.count_start, pixels.counts, background, intensity, centre, width, area,
        prior, MISMATCH, REACH, STEP, matrix, vector,
    )  # fmt: skip
    coefficients = np.linalg.solve(matrix, vector).reshape(k, k)
    return coefficients / (coefficients.sum() * STEP * STEP)
