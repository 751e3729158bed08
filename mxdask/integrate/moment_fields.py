"""How centre and width of the spots vary over the detector: smooth fields fitted to single reflections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.models import Experiment

# Terms of :func:`field_terms` that a number of reflections can carry.
_TERMS_FOR = ((0, 1), (40, 2), (200, 6))
# What is known beforehand counts as much as this many counts of one reflection: single reflections scatter about the
# field by some 10 % of their width whatever their intensity, the starting values by as much.
_PRIOR_WEIGHT = 500.0
# Counts beyond which a stronger reflection says no more about the mean profile.
_SATURATION = 1000.0
_CLIP, _ROUNDS = 4.0, 4


@dataclass(frozen=True)
class MomentFields:
    """Centre and second moments of spots in Kabsch's frame as functions of the direction on the detector.

    Attributes
    ----------
    coefficients : (6, 4) f8, of <ε1>, <ε2> (radians) and of the second moments about them, <ε1²>, <ε2²> (radians²), in
        the terms of :func:`field_terms`.
    limits : (2, 4) lowest and highest value accepted, for positions beyond the reference reflections.
    """

    coefficients: np.ndarray
    limits: np.ndarray

    def at(self, terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centres (n, 2) and widths (n, 2), the square roots of the moments, in radians, for terms (n, 6)."""
        values = np.clip(terms @ self.coefficients, self.limits[0], self.limits[1])
        return values[:, :2], np.sqrt(values[:, 2:])

    def scaled(self, factor: float) -> MomentFields:
        """The fields of a crystal whose spots are ``factor`` times as wide."""
        factors = np.array([factor, factor, factor**2, factor**2])
        return MomentFields(self.coefficients * factors, self.limits * factors)


def constant_fields(variance: float) -> MomentFields:
    """Spots centred on their predictions, <ε1²> = <ε2²> = ``variance`` (radians²) everywhere."""
    coefficients = np.zeros((6, 4))
    coefficients[0, 2:] = variance
    reach = np.sqrt(variance)
    limits = np.array([[-reach, -reach, variance / 4, variance / 4], [reach, reach, 4 * variance, 4 * variance]])
    return MomentFields(coefficients, limits)


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


def fit_fields(
    moments: np.ndarray, intensity: np.ndarray, terms: np.ndarray, prior: MomentFields
) -> tuple[MomentFields, np.ndarray]:
    """Fields nearest to the moments of single reflections, by weighted least squares about ``prior``.

    Parameters
    ----------
    moments : (n, 6) counts, <ε1>, <ε2>, <ε1²>, <ε1ε2>, <ε2²> about the prediction, as ``spot_moments`` gives them.
    intensity : (n,) counts. terms : (n, 6) of :func:`field_terms`.

    Returns
    -------
    The fields, and (n,) which reflections agree with them: those that do not were left out.
    """
    weight = intensity / (1.0 + intensity / _SATURATION)
    good = (moments[:, 0] > 0) & (moments[:, 3] > 0) & (moments[:, 5] > 0)
    centre, good = _about(moments[:, 1:3], terms, weight, prior.coefficients[:, :2], good)
    at = terms @ centre
    second = moments[:, [3, 5]] - 2 * at * moments[:, 1:3] + at**2
    width, good = _about(second, terms, weight, prior.coefficients[:, 2:], good)
    fields = np.column_stack([centre, width])
    if not good.any():
        return prior, good
    # A few reflections at the rim steer the higher terms: beyond what the others see the field is not trusted.
    edge = min(0.05, 5.0 / good.sum())
    low, high = np.quantile(terms[good] @ fields, [edge, 1 - edge], axis=0)
    low[2:], high[2:] = 0.9 * low[2:], 1.1 * high[2:]
    return MomentFields(fields, np.array([low, high])), good


def _about(
    observed: np.ndarray, terms: np.ndarray, weight: np.ndarray, prior: np.ndarray, good: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (6, 2) fitted to observed (n, 2); reflections far from the fit are dropped from ``good``."""
    fields = prior.copy()
    for _ in range(_ROUNDS):
        n = int(good.sum())
        n_terms = max(k for least, k in _TERMS_FOR if n >= least)
        # the last rows say: no departure from the prior in any term
        size = np.sqrt(np.mean(terms[good, :n_terms] ** 2, axis=0)) if n else np.ones(1)
        design = np.vstack([terms[good, :n_terms], np.diag(size)])
        root = np.sqrt(np.append(weight[good], np.full(n_terms, _PRIOR_WEIGHT)))[:, None]
        departure = np.vstack([observed[good] - terms[good] @ prior, np.zeros((n_terms, 2))])
        fields = prior.copy()
        fields[:n_terms] += np.linalg.lstsq(design * root, departure * root, rcond=None)[0]
        if n < 5:
            break
        residual = np.abs(observed - terms @ fields) * np.sqrt(weight)[:, None]
        spread = 1.4826 * np.median(residual[good], axis=0)
        good = good & np.all(residual <= _CLIP * spread + 1e-15, axis=1)
    return fields, good
