"""The reference profile of a crystal: how a reflection's counts are spread over the detector.

In Kabsch's frame (ε1 across, ε2 along the radial direction) the spot is described by its second moments, which vary
smoothly over the detector (obliquity, parallax), and by one shape in positions scaled by them: a cubic B-spline
surface, fitted to the pixels of all strong reflections with a Gaussian as the starting point. A wedge of a few degrees
has enough strong spots for that, where separate profiles per detector region (back.md 8.2) would hold a handful each.
Along the rotation the spot is the Gaussian rocking curve of σ_m.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from mxdask.integrate.foreground import ForegroundPixels
from mxdask.integrate.profile_kernels import accumulate_surface, second_moments
from mxdask.models import Experiment

REACH, STEP = 5.4, 0.6
MOST_REFERENCES = 3000
# With fewer of its own, a crystal relies on the profile of others.
FEW_REFERENCES = 30
# Single reflections depart from their mean profile by about this part of the counts in a pixel (position, shape).
MISMATCH = 0.1
# Prior spread of the surface about the Gaussian: part of the local value, and part of the peak.
_PRIOR_LOCAL, _PRIOR_FLOOR = 0.2, 0.005
_TERMS_FOR = ((0, 1), (20, 2), (200, 6))


@dataclass(frozen=True)
class ReferenceProfile:
    """Profile of one crystal in one part of its scan.

    Attributes
    ----------
    moments : (6, 2) f8, coefficients of <ε1²> and <ε2²> (radians²) in the terms of :func:`field_terms`.
    limits : (2, 2) lowest and highest moment accepted, for positions beyond the reference reflections.
    coefficients : (k, k) of the B-spline surface over (ε1/√<ε1²>, ε2/√<ε2²>); its integral is 1.
    sigma_b : radians, of the crystal.
    n_references : reflections it was learnt from.
    """

    moments: np.ndarray
    limits: np.ndarray
    coefficients: np.ndarray
    sigma_b: float
    n_references: int

    def scale(self, terms: np.ndarray) -> np.ndarray:
        """(n, 2) √ of the moments, radians, for positions with the given field terms (n, 6)."""
        return np.sqrt(np.clip(terms @ self.moments, self.limits[0], self.limits[1]))


def field_terms(experiment: Experiment, s1: np.ndarray) -> np.ndarray:
    """(n, 6) 1, ρ², a, b, a² − b², ab of the direction of s1: a and b are its components across the beam."""
    assert experiment.beam is not None and experiment.goniometer is not None
    s0 = experiment.beam.s0 / np.linalg.norm(experiment.beam.s0)
    axis = experiment.goniometer.lab_axis
    across = axis - (axis @ s0) * s0
    across = across / np.linalg.norm(across)
    unit = s1 / np.linalg.norm(s1, axis=1, keepdims=True)
    a, b = unit @ across, unit @ np.cross(s0, across)
    return np.column_stack([np.ones(len(a)), a * a + b * b, a, b, a * a - b * b, a * b])


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
    moments = np.zeros((6, 2))
    moments[0] = sigma_b**2 / 2
    return ReferenceProfile(moments, np.array([moments[0] / 4, moments[0] * 4]), _gaussian(), sigma_b, 0)


def borrowed_profile(donors: Sequence[ReferenceProfile], sigma_b: float) -> ReferenceProfile:
    """Mean profile of other crystals measured at the same settings, its moments scaled to this crystal's σ_b."""
    taught = [d for d in donors if d.n_references >= FEW_REFERENCES]
    if not taught:
        return gaussian_profile(sigma_b)
    ratio = [(sigma_b / d.sigma_b) ** 2 for d in taught]
    return ReferenceProfile(
        np.mean([d.moments * r for d, r in zip(taught, ratio, strict=True)], axis=0),
        np.mean([d.limits * r for d, r in zip(taught, ratio, strict=True)], axis=0),
        np.mean([d.coefficients for d in taught], axis=0), sigma_b, min(d.n_references for d in taught),
    )  # fmt: skip


def learn_profile(
    pixels: ForegroundPixels,
    background: np.ndarray,
    intensity: np.ndarray,
    terms: np.ndarray,
    solid_angle: np.ndarray,
    prior: ReferenceProfile,
) -> ReferenceProfile:
    """Profile from reference reflections that are complete, have no bad pixels, and are strong.

    Parameters
    ----------
    pixels : ForegroundPixels of n reflections.
    background, intensity : (n,) counts per pixel and image; summed counts.
    terms : (n, 6) of :func:`field_terms`; solid_angle : (n,) sr per pixel.
    prior : where to start from, and what stays when there are fewer than five reflections. The moments of a borrowed
        one stay below :data:`FEW_REFERENCES` reflections.

    Sums run in the order of the reflections: the result depends on nothing else.
    """
    if not len(intensity):
        return prior
    moments = np.empty((len(intensity), 6))
    second_moments(pixels.pixel_start, pixels.uv, pixels.count_start, pixels.counts, background, moments)
    weight = intensity / (1.0 + intensity / 1000.0)
    fields, limits, good = _moment_field(moments, terms, weight)
    if good.sum() < 5:
        return prior
    if prior.n_references > 0 and good.sum() < FEW_REFERENCES:
        fields, limits = prior.moments, prior.limits
    rows = np.flatnonzero(good)
    scale = replace(prior, moments=fields, limits=limits).scale(terms[rows])
    surface = _surface(
        pixels.select(rows), background[rows], intensity[rows], scale, solid_angle[rows], prior.coefficients
    )
    return ReferenceProfile(fields, limits, surface, prior.sigma_b, len(rows))


def _moment_field(
    moments: np.ndarray, terms: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smooth <ε1²>, <ε2²> over the detector by weighted least squares; reflections far from it are left out."""
    good = (moments[:, 0] > 0) & (moments[:, 3] > 0) & (moments[:, 5] > 0)
    fields = np.zeros((6, 2))
    observed = moments[:, [3, 5]]
    for _ in range(4):
        n = int(good.sum())
        if n < 5:
            break
        n_terms = max(k for least, k in _TERMS_FOR if n >= least)
        root = np.sqrt(weight[good])[:, None]
        fields[:] = 0
        fields[:n_terms] = np.linalg.lstsq(terms[good, :n_terms] * root, observed[good] * root, rcond=None)[0]
        residual = (observed / np.maximum(terms @ fields, 1e-30) - 1) * np.sqrt(weight)[:, None]
        spread = 1.4826 * np.median(np.abs(residual[good]), axis=0)
        good &= np.all(np.abs(residual) < 4 * spread + 1e-12, axis=1)
    fitted = terms[good] @ fields if good.any() else np.ones((1, 2))
    return fields, np.array([fitted.min(axis=0) * 0.9, fitted.max(axis=0) * 1.1]), good


def _surface(
    pixels: ForegroundPixels,
    background: np.ndarray,
    intensity: np.ndarray,
    scale: np.ndarray,
    solid_angle: np.ndarray,
    prior: np.ndarray,
) -> np.ndarray:
    """Coefficients of the shape by weighted least squares about ``prior``, scaled to integral 1."""
    k = len(prior)
    spread = _PRIOR_LOCAL * np.abs(prior) + _PRIOR_FLOOR * prior.max()
    matrix, vector = np.diag(spread.ravel() ** -2), prior.ravel() * spread.ravel() ** -2
    area = solid_angle / (scale[:, 0] * scale[:, 1])
    accumulate_surface(
        pixels.pixel_start, pixels.uv, pixels.count_start, pixels.counts, background, intensity, scale, area, prior,
        MISMATCH, REACH, STEP, matrix, vector,
    )  # fmt: skip
    coefficients = np.linalg.solve(matrix, vector).reshape(k, k)
    return coefficients / (coefficients.sum() * STEP * STEP)
