"""What the integrated variances leave out: σ'² = a²(σ² + (b⟨I⟩)²) (back.md 13.7; Evans & Murshudov 2013).

a comes from the normal probability plot of the deviations (Howell & Smith 1992, J. Appl. Cryst. 25, 81), b from
their variance in intensity bins. The instability term takes the mean of the equivalents, not the observation
itself: an intensity that came out high must not get a larger σ for it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from mxdask.scale.params import ErrorModel as ErrorModelParams

_log = logging.getLogger(__name__)

START = (1.0, 0.02)
_MIN_REFLECTIONS = 250
_CENTRAL = 1.5
_CYCLES = 50
_MIN_A = 0.1
# An observation that is nearly all of its mean says nothing about its own error.
_MIN_INDEPENDENCE = 0.1
_MAX_B = 0.5


@dataclass(frozen=True, eq=False)
class ErrorModel:
    """Refined a and b, and how well they do.

    Attributes
    ----------
    bins : per intensity bin: limits of ⟨I⟩, number, variance of the deviations before and after.
    reason : why it was not refined, or "".
    """

    a: float = START[0]
    b: float = START[1]
    n_reflections: int = 0
    bins: tuple[dict[str, float], ...] = ()
    reason: str = ""

    @property
    def i_over_sigma_limit(self) -> float | None:
        """ISa, the largest I/σ(I) one observation can have: 1/(a·b)."""
        return 1.0 / (self.a * self.b) if self.b > 0 else None

    def variance(self, variance: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """(n,) σ'² of observations with variances σ² and expected intensities g⟨I⟩."""
        return self.a**2 * (variance + (self.b * expected) ** 2)

    def summary(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "a": self.a, "b": self.b, "ISa": self.i_over_sigma_limit, "n_reflections": self.n_reflections,
            "bins": list(self.bins), "reason": self.reason,
        }  # fmt: skip


@dataclass(frozen=True)
class Deviations:
    """Observations an error model is refined on: intensity and variance (n,), g⟨I⟩, and √(1 - leverage).

    An observation pulls the mean it is compared with by its leverage w g²/Σw g² (1/n_h for equals), so the
    difference has variance σ²(1 - leverage). Without this, pairs would make σ look √2 too large.
    """

    intensity: np.ndarray
    variance: np.ndarray
    expected: np.ndarray
    independence: np.ndarray

    def delta(self, a: float, b: float) -> np.ndarray:
        """(n,) normalised deviations, N(0, 1) for the right a and b."""
        sigma = a * np.sqrt(self.variance + (b * self.expected) ** 2)
        return (self.intensity - self.expected) / (self.independence * sigma)


def select_deviations(
    group: np.ndarray, intensity: np.ndarray, variance: np.ndarray, g: np.ndarray, min_expected: float
) -> Deviations:
    """Observations of reflections measured twice or more that are strong enough and not grossly inconsistent.

    Parameters
    ----------
    group : (n,) rising group numbers.
    min_expected : least g⟨I⟩, counts.
    """
    m = int(group[-1]) + 1 if len(group) else 0
    weight = 1.0 / variance
    n = np.bincount(group, minlength=m)
    with np.errstate(divide="ignore", invalid="ignore"):
        norm = np.bincount(group, weight * g * g, m)
        mean = np.bincount(group, weight * g * intensity, m) / norm
        expected = g * mean[group]
        independence = 1.0 - weight * g * g / norm[group]
        spread = np.bincount(group, (intensity - expected) ** 2 * weight, m) / (n - 1)
    # A group whose spread is many times its errors holds mis-measured reflections that nothing models.
    limit = np.maximum(50.0, np.nan_to_num(mean) / 40.0)
    keep = (n[group] > 1) & (expected > min_expected) & (spread[group] < limit[group])
    keep &= independence > _MIN_INDEPENDENCE
    return Deviations(intensity[keep], variance[keep], expected[keep], np.sqrt(independence[keep]))


def refine_error_model(
    group: np.ndarray, intensity: np.ndarray, variance: np.ndarray, g: np.ndarray, params: ErrorModelParams
) -> ErrorModel:
    """a and b for a set of observations (ordered by group); those fixed by the user stay."""
    a, b = params.a or START[0], START[1] if params.b is None else params.b
    if params.error_model == "none":
        return ErrorModel(1.0, 0.0, reason="no error model asked for")
    data = select_deviations(group, intensity, variance, g, params.min_Ih)
    if len(data.intensity) < _MIN_REFLECTIONS:  # weak data: what is clearly measured must do
        noise = float(np.median(np.sqrt(variance))) if len(variance) else 0.0
        data = select_deviations(group, intensity, variance, g, min(params.min_Ih, 3.0 * noise))
    n = len(data.intensity)
    if n < _MIN_REFLECTIONS:
        reason = f"{n} suitable observations, {_MIN_REFLECTIONS} needed: a = {a:.2f}, b = {b:.3f} taken"
        return ErrorModel(a, b, n, reason=reason)
    bins = intensity_bins(data.expected, params.n_bins)
    for _ in range(_CYCLES):
        previous = a, b
        if params.a is None:
            a = max(probability_plot_slope(data.delta(1.0, b)), _MIN_A)
        if params.b is None:
            b = _best_b(data, bins, a)
        if abs(a - previous[0]) < 0.01 * previous[0] and abs(b - previous[1]) <= 0.01 * max(previous[1], 1e-4):
            break
    return ErrorModel(a, b, n, tuple(_bin_rows(data, bins, a, b)))


def probability_plot_slope(delta: np.ndarray) -> float:
    """Slope of sorted deviations against normal quantiles over the central part, |x| < 1.5."""
    n = len(delta)
    x = norm.ppf((np.arange(n) + 0.5) / n)
    y = np.sort(delta)
    central = np.abs(x) < _CENTRAL
    x, y = x[central], y[central]
    x, y = x - x.mean(), y - y.mean()
    return float((x @ y) / (x @ x))


def intensity_bins(expected: np.ndarray, n_bins: int) -> np.ndarray:
    """(n,) bin of each observation, 0 strongest: edges even in the logarithm, but no bin nearly empty."""
    n = len(expected)
    order = np.argsort(-expected, kind="stable")
    least = max(min(max(_MIN_REFLECTIONS, n // 100), n // (3 * n_bins)), 1)
    edges = np.exp(np.linspace(np.log(expected.max()), np.log(max(expected.min(), 1e-3)), n_bins + 1))[1:-1]
    ranks = np.searchsorted(-expected[order], -edges, side="right")
    cuts, at = [], 0
    for rank in ranks:
        at = min(max(int(rank), at + least), n)
        if n - at < least:
            break
        cuts.append(at)
    bins = np.empty(n, dtype=np.int64)
    bins[order] = np.searchsorted(cuts, np.arange(n), side="right")
    return bins


def _bin_variances(delta: np.ndarray, bins: np.ndarray) -> np.ndarray:
    n = np.bincount(bins)
    return np.bincount(bins, delta**2) / n - (np.bincount(bins, delta) / n) ** 2


def _best_b(data: Deviations, bins: np.ndarray, a: float) -> float:
    """b that brings the variances v of the bins nearest to one: Σ⟨I⟩[(½ - v)² + 1/v - 1¼] is least."""
    weight = np.bincount(bins, data.expected) / np.bincount(bins)

    def cost(b: float) -> float:
        v = np.maximum(_bin_variances(data.delta(a, b), bins), 1e-6)
        return float(weight @ ((0.5 - v) ** 2 + 1.0 / v - 1.25))

    return float(minimize_scalar(cost, bounds=(0.0, _MAX_B), method="bounded", options={"xatol": 1e-5}).x)


def _bin_rows(data: Deviations, bins: np.ndarray, a: float, b: float) -> list[dict[str, float]]:
    before, after = _bin_variances(data.delta(1.0, 0.0), bins), _bin_variances(data.delta(a, b), bins)
    rows = []
    for i in range(int(bins.max()) + 1):
        inside = data.expected[bins == i]
        rows.append(
            {
                "I_max": float(inside.max()), "I_min": float(inside.min()), "n": len(inside),
                "variance_before": float(before[i]), "variance_after": float(after[i]),
            }
        )  # fmt: skip
    return rows
