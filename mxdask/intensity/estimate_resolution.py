"""How far merged data carry information: where a curve through CC½, ⟨I/σ⟩ … per bin meets a limit (back.md 14.3).

Definitions as in dials.estimate_resolution: a bin stands for its high-resolution edge, all bins weigh the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from mxdask.intensity.merging import Unmerged
from mxdask.intensity.resolution_bins import cc_half_in_bins, counting_sorted_edges, without_wilson_outliers

MOST_BINS = 100
PER_BIN = 10
# Normalised intensities beyond this are outliers of Wilson's distribution (E ≥ 4).
WILSON_LIMIT = 16.0
# Bins whose CC½ may be chance (Student's t, one-sided) do not take part in the fit.
SIGNIFICANCE = 0.1
_FEWEST_BINS = 4
_ON_EDGE = 1e-9
_DEGREE = 6
_ROUNDS = 200


@dataclass(frozen=True)
class ResolutionEstimate:
    """A quantity against resolution, its fit, and where the fit crosses the limit.

    Attributes
    ----------
    d_min : Å; the edge of the data when the curve never passes the limit.
    limit : the value asked for.
    inverse_d_squared, cc_half, fit : (b,) per bin, from high to low resolution: edge, the quantity (CC½ or another;
        NaN where undefined), the curve.
    """

    d_min: float
    limit: float
    inverse_d_squared: np.ndarray
    cc_half: np.ndarray
    fit: np.ndarray


def estimate_resolution(data: Unmerged, limit: float = 0.3, seed: int = 0) -> ResolutionEstimate | None:
    """Resolution at which a tanh curve through CC½ of random half sets reaches ``limit``.

    All bins take part, with Fisher's weights (docs/decisions/0019-statistics-where-dials-differs.md).

    Returns
    -------
    None when there are too few bins to fit a curve.
    """
    if len(data.inverse_d_squared) == 0:
        return None
    data, _ = without_wilson_outliers(data, WILSON_LIMIT)
    edges = counting_sorted_edges(data.inverse_d_squared, MOST_BINS, PER_BIN)
    cc, pairs = cc_half_in_bins(data, edges, seed=seed)
    return correlation_limit(edges, cc, pairs, limit, significance=None)


def correlation_limit(
    d_edges: np.ndarray, cc: np.ndarray, pairs: np.ndarray, limit: float, significance: float | None = SIGNIFICANCE
) -> ResolutionEstimate | None:
    """Where a tanh curve through correlations of so many pairs per bin meets the limit.

    Without ``significance`` all bins take part, with weights √(n − 3) (Fisher's error of a correlation). With it only
    those that chance would hardly give, all alike, as in DIALS. Where noise prevails, these are the ones that came
    out high: when their curve never meets the limit although there are others, all take part after all.
    """
    known = np.isfinite(cc) & (pairs > 3)
    if significance is not None:
        with np.errstate(invalid="ignore"):
            usable = (cc > critical_correlation(pairs, significance)) & (cc > 0)
        found = _correlation_curve(d_edges, cc, usable, limit, np.ones(len(cc)))
        to_the_edge = found is not None and found.d_min < d_edges[-1] * (1 + _ON_EDGE)
        if not to_the_edge or not (known & ~usable).any():
            return found
    return _correlation_curve(d_edges, cc, known, limit, np.sqrt(np.maximum(pairs - 3.0, 0.0)))


def _correlation_curve(
    d_edges: np.ndarray, cc: np.ndarray, usable: np.ndarray, limit: float, weight: np.ndarray
) -> ResolutionEstimate | None:
    def curve(x: np.ndarray, y: np.ndarray, where: np.ndarray) -> np.ndarray:
        return tanh_curve(x, y, where, weight[usable])

    return fitted_limit(d_edges, cc, usable, limit, curve)


def fitted_limit(
    d_edges: np.ndarray,
    values: np.ndarray,
    usable: np.ndarray,
    limit: float,
    curve: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    *,
    rising: bool = False,
) -> ResolutionEstimate | None:
    """Where a curve through the bins' values meets the limit, coming from high resolution.

    Parameters
    ----------
    d_edges : (b + 1,) falling Å.
    values, usable : (b,) per bin, and whether it takes part.
    curve : (x, y, where) → values of the fit at ``where``.
    rising : the quantity grows towards high resolution (Rmerge).

    Returns
    -------
    None when there are too few bins, or the curve never meets the limit although data are worse than it.
    """
    s = 1.0 / d_edges[1:] ** 2
    usable = usable & np.isfinite(values)
    if usable.sum() < _FEWEST_BINS:
        return None
    fit = curve(s[usable], values[usable], s)
    sign = -1.0 if rising else 1.0
    good, good_fit = (sign * v > sign * limit for v in (values[usable], fit[usable]))
    if good.all() or good_fit.all():
        d_min: float | None = 1.0 / np.sqrt(s[-1])
    else:
        d_min = _crossing(s[usable], fit[usable], limit)
    if d_min is None:
        return None
    return ResolutionEstimate(float(d_min), limit, s[::-1], values[::-1], fit[::-1])


def critical_correlation(n: np.ndarray, significance: float) -> np.ndarray:
    """(b,) correlation of ``n`` pairs of random numbers that is exceeded with probability ``significance``."""
    freedom = np.maximum(n - 2, 1)
    t = stdtrit(freedom, 1.0 - significance)
    return np.where(n > 2, t / np.sqrt(freedom + t**2), 1.0)


def tanh_curve(x: np.ndarray, y: np.ndarray, where: np.ndarray, weight: np.ndarray | float = 1.0) -> np.ndarray:
    """Least-squares fit of ½[1 − tanh((x − s₀)/r)], by Levenberg's and Marquardt's method.

    r is exp(p₀): it stays positive, so that the curve falls.

    Parameters
    ----------
    x, y : (n,) points. where : where the curve is wanted. weight : (n,) what residuals are multiplied by.
    """
    parameters = np.array([np.log(max(np.ptp(x) / 3, 1e-6)), float(x[np.argmin(np.abs(y - 0.5))])])

    def of(p: np.ndarray, at: np.ndarray) -> np.ndarray:
        return np.asarray(0.5 * (1 - np.tanh((at - p[1]) * np.exp(-p[0]))))

    damping, residual = 1e-3, weight * (y - of(parameters, x))
    for _ in range(_ROUNDS):
        z = (x - parameters[1]) * np.exp(-parameters[0])
        slope = weight * 0.5 * (1 - np.tanh(z) ** 2)
        jacobian = np.stack([slope * z, slope * np.exp(-parameters[0])], axis=1)
        normal = jacobian.T @ jacobian
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)) + 1e-14 * np.eye(2), jacobian.T @ residual)
        step = np.clip(step, [-1.0, -np.ptp(x)], [1.0, np.ptp(x)])
        tried = weight * (y - of(parameters + step, x))
        if tried @ tried <= residual @ residual:
            parameters, residual, damping = parameters + step, tried, damping / 5
            if np.abs(step).max() < 1e-9:
                break
        else:
            damping *= 5
            if damping > 1e12:
                break
    return of(parameters, where)


def polynomial_curve(x: np.ndarray, y: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Least-squares polynomial of degree 6 (less for few points)."""
    degree = min(_DEGREE, len(x) - 2)
    return np.asarray(np.polynomial.Polynomial.fit(x, y, degree)(where))


def log_curve(x: np.ndarray, y: np.ndarray, where: np.ndarray) -> np.ndarray:
    """exp of a polynomial through ln y."""
    return np.asarray(np.exp(polynomial_curve(x, np.log(y), where)))


def _crossing(s: np.ndarray, fit: np.ndarray, limit: float) -> float | None:
    """d (Å) of the outermost place where the curve meets the limit, by straight lines between bins."""
    above = fit - limit
    places = np.flatnonzero(above[:-1] * above[1:] < 0)
    if len(places) == 0:
        return None
    j = int(places[-1])
    t = (fit[j] - limit) / (fit[j] - fit[j + 1])
    return float(1.0 / np.sqrt(s[j] + t * (s[j + 1] - s[j])))
