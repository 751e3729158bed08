"""How centre and width of the spots vary over the detector: smooth fields fitted to single reflections."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np

from mxdask.models import Experiment

# What is known beforehand counts as much as this many counts of one reflection: squared widths to 20 % (σ_b is taken
# from strong pixels, about predictions), which n counts tell to √(2/n); centres to a fifth of a width, since a model
# refined against few spots may predict others a good part of a width away from where they are.
_KNOWN_WIDTHS, _KNOWN_CENTRES = 50.0, 25.0
# Terms of :func:`field_terms` in which widths may vary, given so many reflections.
_TERMS_FOR = ((0, 1), (40, 2), (200, 6))
# Counts beyond which a stronger reflection says no more about the mean profile.
_SATURATION = 1000.0
_CLIP, _ROUNDS = 4.0, 4


@dataclass(frozen=True)
class MomentFields:
    """Centre and second moments of spots in Kabsch's frame as functions of the direction on the detector.

    Attributes
    ----------
    centre : (10,) radians, of <ε1>, <ε2> about the predictions in the displacements of :func:`_displacements`.
    width : (6, 2) radians², of the second moments about the centre, <ε1²>, <ε2²>, in the terms of :func:`field_terms`.
    limits : (2, 4) lowest and highest centre and moments accepted, for positions beyond the reference reflections.
    """

    centre: np.ndarray
    width: np.ndarray
    limits: np.ndarray

    def at(self, terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centres (n, 2) and widths (n, 2), the square roots of the moments, in radians, for terms (n, 6)."""
        low, high = self.limits
        centre = np.clip(_times(_displacements(terms), self.centre), low[:2], high[:2])
        return centre, np.sqrt(np.clip(_times(terms, self.width), low[2:], high[2:]))

    def scaled(self, factor: float) -> MomentFields:
        """The fields of a crystal whose spots are ``factor`` times as wide."""
        factors = np.array([factor, factor, factor**2, factor**2])
        return MomentFields(self.centre * factor, self.width * factor**2, self.limits * factors)


@dataclass(frozen=True)
class Centres:
    """Centres that n reflections have been measured to have.

    Attributes
    ----------
    uv : (n, 2) radians. counts : (n,) how many counts without background would tell as much.
    terms : (n, 6) of :func:`field_terms`.
    """

    uv: np.ndarray
    counts: np.ndarray
    terms: np.ndarray


def constant_fields(variance: float) -> MomentFields:
    """Spots centred on their predictions, <ε1²> = <ε2²> = ``variance`` (radians²) everywhere."""
    width = np.zeros((6, 2))
    width[0] = variance
    reach = np.sqrt(variance)
    limits = np.array([[-reach, -reach, variance / 4, variance / 4], [reach, reach, 4 * variance, 4 * variance]])
    return MomentFields(np.zeros(10), width, limits)


def mean_fields(fields: list[MomentFields]) -> MomentFields:
    """Mean of the fields of several crystals."""
    return MomentFields(
        *(np.mean([getattr(f, name) for f in fields], axis=0) for name in ("centre", "width", "limits"))
    )


def field_terms(experiment: Experiment, s1: np.ndarray) -> np.ndarray:
    """(n, 6) 1, ρ², a, b, a² − b², ab of the direction of s1: a and b are its components across the beam."""
    assert experiment.beam is not None and experiment.goniometer is not None
    s0 = experiment.beam.s0 / np.linalg.norm(experiment.beam.s0)
    axis = experiment.goniometer.lab_axis
    across = axis - (axis @ s0) * s0
    across = across / np.linalg.norm(across)
    unit = s1 / np.linalg.norm(s1, axis=1, keepdims=True)
    a, b = _times(unit, across), _times(unit, np.cross(s0, across))
    return np.column_stack([np.ones(len(a)), a * a + b * b, a, b, a * a - b * b, a * b])


def _times(values: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """``values @ coefficients``, added up term by term.

    BLAS rounds in another way where there is a single row, or few: what a reflection gets would depend on how many
    others are in its block.
    """
    return reduce(np.add, (np.multiply.outer(values[..., k], c) for k, c in enumerate(coefficients)))


def _displacements(terms: np.ndarray) -> np.ndarray:
    """(n, 2, 10) components along ε1 and ε2 of the smooth displacements that errors of models lead to.

    In the plane across the beam, where ε1 is along (b, −a)/ρ and ε2 along (a, b)/ρ: a shift in two directions (beam
    centre), growth (distance, cell) and turn about the beam, the two pure shears (axes of the cell), growth and turn in
    third order (distance against cell), growth to either side (tilt of the detector).
    """
    square, a, b, difference, product = terms[:, 1:].T
    rho = np.sqrt(np.maximum(square, 1e-12))
    nothing = np.zeros_like(rho)
    along_1 = (b / rho, -a / rho, nothing, rho, 2 * product / rho, -difference / rho, nothing, square * rho, nothing,
               nothing)  # fmt: skip
    along_2 = (a / rho, b / rho, rho, nothing, difference / rho, 2 * product / rho, square * rho, nothing, a * rho,
               b * rho)  # fmt: skip
    return np.stack([np.column_stack(along_1), np.column_stack(along_2)], axis=1)


def fit_fields(
    moments: np.ndarray, intensity: np.ndarray, terms: np.ndarray, prior: MomentFields, weak: Centres
) -> tuple[MomentFields, np.ndarray]:
    """Fields nearest to the moments of single reflections, by weighted least squares about ``prior``.

    Parameters
    ----------
    moments : (n, 6) counts, <ε1>, <ε2>, <ε1²>, <ε1ε2>, <ε2²> about the prediction, as ``spot_moments`` gives them.
    intensity : (n,) counts. terms : (n, 6) of :func:`field_terms`.
    weak : centres of other reflections, too weak to say anything about widths.

    Returns
    -------
    The fields, and (n,) which reflections agree with them: those that do not were left out.
    """
    n = len(intensity)
    good = (moments[:, 0] > 0) & (moments[:, 3] > 0) & (moments[:, 5] > 0)
    counts = np.concatenate([intensity, weak.counts])
    weight = counts / (1.0 + counts / _SATURATION)
    everywhere = np.concatenate([terms, weak.terms])
    design = _displacements(everywhere)
    centre, used = _robust_fit(
        np.concatenate([moments[:, 1:3], weak.uv]), design, weight, np.concatenate([good, weak.counts > 0]), n,
        prior.centre, _KNOWN_CENTRES,
    )  # fmt: skip
    at = design @ centre
    second = moments[:, [3, 5]] - 2 * at[:n] * moments[:, 1:3] + at[:n] ** 2
    width, good = _fit_widths(second, terms, weight[:n], used[:n], _about_centres(prior.width, at[used], weight[used]))
    limits = prior.limits.copy()
    if used.any():
        limits[:, :2] = _range(at[used])
    if good.any():
        limits[:, 2:] = _range(terms[good] @ width) * np.array([[0.9], [1.1]])
    return MomentFields(centre, width, limits), good


def _about_centres(width: np.ndarray, centre: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Widths known beforehand (6, 2): σ_b is taken about predictions, so their distance from the spots is in it."""
    out = width.copy()
    if weight.sum() > 0:
        out[0] = np.maximum(width[0] - 0.5 * np.average(np.sum(centre**2, axis=1), weights=weight), 0.25 * width[0])
    return out


def _fit_widths(
    second: np.ndarray, terms: np.ndarray, weight: np.ndarray, good: np.ndarray, prior: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (6, 2) of the second moments."""
    n_terms = max(k for least, k in _TERMS_FOR if good.sum() >= least)
    design = np.zeros((len(terms), 2, 2 * n_terms))
    design[:, 0, :n_terms] = design[:, 1, n_terms:] = terms[:, :n_terms]
    start = prior.copy()
    rest = second - terms[:, n_terms:] @ prior[n_terms:]
    found, good = _robust_fit(rest, design, weight, good, len(terms), prior[:n_terms].T.ravel(), _KNOWN_WIDTHS)
    start[:n_terms] = found.reshape(2, n_terms).T
    return start, good


def _range(values: np.ndarray) -> np.ndarray:
    """(2, k) range of fields (n, k) where they are known.

    A few reflections at the rim steer the higher terms: beyond what the others see the field is not trusted.
    """
    edge = min(0.05, 5.0 / len(values))
    return np.quantile(values, [edge, 1 - edge], axis=0)


def _robust_fit(
    observed: np.ndarray, design: np.ndarray, weight: np.ndarray, good: np.ndarray, n_strong: int, prior: np.ndarray,
    known: float,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Coefficients (k,) fitted to observed (n, 2); reflections far from the fit are dropped from ``good``.

    ``prior`` counts as ``known`` counts in every term. The first ``n_strong`` reflections scatter in another way than
    the rest.
    """
    found = prior
    for _ in range(_ROUNDS):
        if not good.any():
            break
        size = np.sqrt(np.mean(np.sum(design[good] ** 2, axis=1), axis=0)) + 1e-12
        root = np.sqrt(weight[good])[:, None]
        rows = (design[good] * root[:, :, None]).reshape(-1, len(prior))
        rest = ((observed[good] - design[good] @ prior) * root).ravel()
        covariance = np.linalg.inv(rows.T @ rows + known * np.diag(size**2))
        found = prior + covariance @ (rows.T @ rest)
        # what a reflection's own part in the fit hides of its distance: those at the rim draw the field to themselves
        scaled = design * np.sqrt(weight)[:, None, None]
        own_part = np.einsum("nik,kl,nil->ni", scaled, covariance, scaled, optimize=True) * good[:, None]
        residual = np.abs(observed - design @ found) * np.sqrt(weight)[:, None] / np.maximum(1.0 - own_part, 1e-3)
        for group in (slice(0, n_strong), slice(n_strong, None)):
            own = good[group]
            if own.sum() >= 5:
                spread = 1.4826 * np.median(residual[group][own], axis=0)
                own &= np.all(residual[group] <= _CLIP * spread + 1e-15, axis=1)  # a view: changes ``good``
    return found, good
