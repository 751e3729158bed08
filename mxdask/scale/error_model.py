"""What the integrated variances leave out: σ'² = a²(σ² + (b⟨I⟩)²) (back.md 13.7; Evans & Murshudov 2013).

a comes from the normal probability plot of the deviations (Howell & Smith 1992, J. Appl. Cryst. 25, 81), b from
their variance in intensity bins. The instability term takes the mean of the equivalents, not the observation
itself: an intensity that came out high must not get a larger σ for it.

Two more terms, for observations that say nothing about a and b (docs/decisions/0008). σ² = counts + k·background:
a and b come from strong reflections, k from weak ones, whose noise is that of the background. And (c⟨I⟩φ(x)/p)²
for reflections the sweep cut: p is the recorded part, x = Φ⁻¹(p) the place of the cut in units of the rocking
curve's width, so c is the error of that place, φ(x)·c the error of p.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import ndtri

from mxdask.scale.error_model_kernels import bin_moments
from mxdask.scale.expectation import Variances
from mxdask.scale.params import ErrorModel as ErrorModelParams

START = (1.0, 0.02)
_MIN_REFLECTIONS = 250
_CENTRAL = 1.5
_CYCLES = 50
_MIN_A = 0.1
# An observation that is nearly all of its mean says nothing about its own error.
_MIN_INDEPENDENCE = 0.1
_MAX_B = 0.5
_BACKGROUND_CYCLES = 4
_BACKGROUND_LIMITS = (0.01, 10.0)
# Reflections measured well enough for a and b: expected above this many σ.
_MEASURED = 2.0
# … in the basic model, counts.
_BASIC_LEAST, _BASIC_RATIO = 25.0, 0.85
# Reflections whose noise is that of the background: expected below this many σ.
_WEAK = 1.5
# What deviates more than this many σ is a mistake, not noise.
_OUTLYING = 6.0
# Reflections that tell c: cut enough for it to matter, clearly measured; and how many of them.
_CUT, _CLEAR, _MIN_CUT = 0.1, 5.0, 30


@dataclass(frozen=True, eq=False)
class ErrorModel:
    """Refined a and b, and how well they do.

    Attributes
    ----------
    background, cut : k and c.
    bins : per intensity bin: limits of ⟨I⟩, number, variance of the deviations before and after.
    plot : normal probability plot of the deviations with a, b and k: {"expected", "observed"}.
    reason : why it was not refined, or "".
    """

    a: float = START[0]
    b: float = START[1]
    background: float = 1.0
    cut: float = 0.0
    n_reflections: int = 0
    bins: tuple[dict[str, float], ...] = ()
    plot: dict[str, list[float]] = field(default_factory=dict)
    reason: str = ""

    @property
    def i_over_sigma_limit(self) -> float | None:
        """ISa, the largest I/σ(I) one observation can have: 1/(a·b)."""
        return 1.0 / (self.a * self.b) if self.b > 0 else None

    def variance(self, variances: Variances, expected: np.ndarray, partiality: np.ndarray) -> np.ndarray:
        """(n,) σ'² of observations with expected intensities g⟨I⟩ and recorded parts p."""
        inner = variances.counts + self.background * variances.background + (self.b * expected) ** 2
        outer = self.a**2 * inner
        if self.cut > 0:
            outer += (self.cut * cut_effect(partiality) * expected) ** 2
        return outer

    def summary(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "a": self.a, "b": self.b, "ISa": self.i_over_sigma_limit, "n_reflections": self.n_reflections,
            "background": self.background, "cut": self.cut, "bins": list(self.bins), "plot": self.plot,
            "reason": self.reason,
        }  # fmt: skip


@dataclass(frozen=True)
class Deviations:
    """Observations an error model is refined on: row, intensity and variance (n,), g⟨I⟩, and √(1 - leverage).

    An observation pulls the mean it is compared with by its leverage w g²/Σw g² (1/n_h for equals), so the
    difference has variance σ²(1 - leverage). Without this, pairs would make σ look √2 too large.
    """

    row: np.ndarray
    intensity: np.ndarray
    variance: np.ndarray
    expected: np.ndarray
    independence: np.ndarray

    def delta(self, a: float, b: float) -> np.ndarray:
        """(n,) normalised deviations, N(0, 1) for the right a and b."""
        sigma = a * np.sqrt(self.variance + (b * self.expected) ** 2)
        return (self.intensity - self.expected) / (self.independence * sigma)


def select_deviations(
    group: np.ndarray, intensity: np.ndarray, variance: np.ndarray, g: np.ndarray, min_expected: float | np.ndarray
) -> Deviations:
    """Observations of reflections measured twice or more that are strong enough and not grossly inconsistent.

    Parameters
    ----------
    group : (n,) rising group numbers.
    min_expected : least g⟨I⟩, one for all or (n,).
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
    row = np.flatnonzero(keep)
    return Deviations(row, intensity[row], variance[row], expected[row], np.sqrt(independence[row]))


def _as_in_dials(data: Deviations, group: np.ndarray) -> Deviations:
    """Deviations as DIALS 3.12 has them: of groups whose mean I/variance is above 0.85, and times √((n - 1)/n).

    That factor belongs to deviations from the mean of the *other* equivalents (Evans & Murshudov 2013, equation 7);
    from the mean of all, pairs of observations come out twice as precise as they are.
    """
    n = np.bincount(group)
    number = group[data.row]
    ratio = np.bincount(number, data.intensity / data.variance, len(n)) / np.maximum(
        np.bincount(number, minlength=len(n)), 1
    )
    keep = ratio[number] > _BASIC_RATIO
    factor = np.sqrt(n[number] / np.maximum(n[number] - 1.0, 1.0))
    return Deviations(data.row[keep], data.intensity[keep], data.variance[keep], data.expected[keep], factor[keep])


def refine_error_model(
    group: np.ndarray,
    intensity: np.ndarray,
    variances: Variances,
    g: np.ndarray,
    partiality: np.ndarray,
    params: ErrorModelParams,
    min_partiality: float = 0.95,
) -> ErrorModel:
    """The error model of a set of observations (ordered by group); a and b fixed by the user stay.

    Parameters
    ----------
    partiality : (n,) recorded parts; only observations from ``min_partiality`` on tell a, b and k.
    """
    a, b = params.a or START[0], START[1] if params.b is None else params.b
    if params.error_model == "none":
        return ErrorModel(1.0, 0.0, reason="no error model asked for")
    whole = np.flatnonzero(partiality >= min_partiality)
    _, number = np.unique(group[whole], return_inverse=True)
    own = number, intensity[whole], variances.select(whole), g[whole]
    model = ErrorModel(a, b)
    if params.error_model == "basic":
        return _refine_a_and_b(*own, model, params)
    for _ in range(_BACKGROUND_CYCLES):
        model = _refine_a_and_b(*own, model, params)
        if model.reason:
            return model
        k = _background_factor(*own, model)
        if abs(k - model.background) < 0.01 * k:
            break
        model = replace(model, background=k)
    return replace(model, cut=_cut_error(group, intensity, variances, g, partiality, model))


def cut_effect(partiality: np.ndarray) -> np.ndarray:
    """(n,) φ(Φ⁻¹(p))/p: relative error of an intensity when the cut is displaced by one width of the rocking curve."""
    p = np.clip(partiality, 1e-3, 1.0)
    out = np.zeros(len(p))
    part = p < 1.0
    out[part] = np.exp(-0.5 * ndtri(p[part]) ** 2) / np.sqrt(2 * np.pi) / p[part]
    return out


def _refine_a_and_b(
    group: np.ndarray, intensity: np.ndarray, variances: Variances, g: np.ndarray, start: ErrorModel,
    params: ErrorModelParams,
) -> ErrorModel:  # fmt: skip
    """a and b for the present k, from reflections that are strong enough."""
    a, b = start.a, start.b
    variance = variances.counts + start.background * variances.background
    by_default = _BASIC_LEAST if params.error_model == "basic" else _MEASURED * np.sqrt(variance)
    least = by_default if params.min_Ih is None else params.min_Ih
    data = select_deviations(group, intensity, variance, g, least)
    if params.error_model == "basic":
        data = _as_in_dials(data, group)
    n = len(data.intensity)
    if n < _MIN_REFLECTIONS:
        reason = f"{n} suitable observations, {_MIN_REFLECTIONS} needed: a = {a:.2f}, b = {b:.3f} taken"
        return replace(start, n_reflections=n, reason=reason)
    bins = intensity_bins(data.expected, params.n_bins)
    for _ in range(_CYCLES):
        previous = a, b
        if params.a is None:
            a = max(probability_plot_slope(data.delta(1.0, b)), _MIN_A)
        if params.b is None:
            b = _best_b(data, bins, a)
        if abs(a - previous[0]) < 0.01 * previous[0] and abs(b - previous[1]) <= 0.01 * max(previous[1], 1e-4):
            break
    plot = probability_plot(data.delta(a, b))
    return replace(start, a=a, b=b, n_reflections=n, bins=tuple(_bin_rows(data, bins, a, b)), plot=plot)


def _background_factor(
    group: np.ndarray, intensity: np.ndarray, variances: Variances, g: np.ndarray, model: ErrorModel
) -> float:
    """k that makes the scatter of reflections whose noise is that of the background what it should be.

    Of n counts spread over equivalents, each has the variance that the mean m of just these counts says, whatever
    was expected: E(r² | m) = rate·m + k·background, below zero as well (where nothing was counted, m is minus the
    background, and all agree). So groups may be chosen by their mean, but it is m itself that has to be taken off.
    """
    k = model.background
    for _ in range(_BACKGROUND_CYCLES):
        variance = variances.counts + k * variances.background
        data = select_deviations(group, intensity, variance, g, -np.inf)
        weak = (data.expected < _WEAK * np.sqrt(data.variance)) & (np.abs(data.delta(model.a, model.b)) < _OUTLYING)
        if weak.sum() < _MIN_REFLECTIONS:
            return model.background
        rows, expected = data.row[weak], data.expected[weak]
        squares = ((data.intensity[weak] - expected) / (model.a * data.independence[weak])) ** 2
        weight = 1.0 / data.variance[weak] ** 2
        background = variances.background[rows]
        k = float(weight @ (squares - variances.rate[rows] * expected) / (weight @ background))
        k = float(np.clip(k, *_BACKGROUND_LIMITS))
    return k


def _cut_error(
    group: np.ndarray, intensity: np.ndarray, variances: Variances, g: np.ndarray, partiality: np.ndarray,
    model: ErrorModel,
) -> float:  # fmt: skip
    """c that gives cut reflections deviations of unit width; 0 with too few of them."""
    tells = np.zeros(int(group[-1]) + 1, dtype=bool)
    tells[group[cut_effect(partiality) > _CUT]] = True
    rows = np.flatnonzero(tells[group])
    if len(rows) == 0:
        return 0.0
    intensity, variances, g, partiality = intensity[rows], variances.select(rows), g[rows], partiality[rows]
    _, group = np.unique(group[rows], return_inverse=True)
    effect = cut_effect(partiality)

    def width(c: float) -> float:
        expected = np.maximum(intensity, 0.0)  # for weights only; the term itself takes the mean
        variance = replace(model, cut=c).variance(variances, expected, partiality)
        data = select_deviations(group, intensity, variance, g, 0.0)
        cut = (effect[data.row] > _CUT) & (data.expected > _CLEAR * np.sqrt(variances.total[data.row]))
        if cut.sum() < _MIN_CUT:
            return 0.0
        whole = replace(model, cut=0.0).variance(
            variances.select(data.row), data.expected, partiality[data.row]
        ) + (c * effect[data.row] * data.expected) ** 2  # fmt: skip
        delta = (data.intensity - data.expected) / (data.independence * np.sqrt(whole))
        return probability_plot_slope(delta[cut])

    if width(0.0) <= 1.0:
        return 0.0
    if width(1.0) >= 1.0:
        return 1.0
    return float(brentq(lambda c: width(c) - 1.0, 0.0, 1.0, xtol=1e-3))


def probability_plot(delta: np.ndarray, n_points: int = 100) -> dict[str, list[float]]:
    """Quantiles of the deviations against those of the normal distribution, for drawing."""
    at = (np.arange(n_points) + 0.5) / n_points
    return {"expected": ndtri(at).tolist(), "observed": np.quantile(delta, at).tolist()}


def probability_plot_slope(delta: np.ndarray) -> float:
    """Slope of sorted deviations against normal quantiles over the central part, |x| < 1.5."""
    n = len(delta)
    x = ndtri((np.arange(n) + 0.5) / n)
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


def _bin_variances(data: Deviations, bins: np.ndarray, a: float, b: float) -> np.ndarray:
    n = np.bincount(bins)
    sums, squares = np.zeros(len(n)), np.zeros(len(n))
    bin_moments(data.intensity, data.variance, data.expected, data.independence, bins, a, b, sums, squares)
    return squares / n - (sums / n) ** 2


def _best_b(data: Deviations, bins: np.ndarray, a: float) -> float:
    """b that brings the variances v of the bins nearest to one: Σ⟨I⟩[(½ - v)² + 1/v - 1¼] is least."""
    weight = np.bincount(bins, data.expected) / np.bincount(bins)

    def cost(b: float) -> float:
        v = np.maximum(_bin_variances(data, bins, a, b), 1e-6)
        return float(weight @ ((0.5 - v) ** 2 + 1.0 / v - 1.25))

    return float(minimize_scalar(cost, bounds=(0.0, _MAX_B), method="bounded", options={"xatol": 1e-5}).x)


def _bin_rows(data: Deviations, bins: np.ndarray, a: float, b: float) -> list[dict[str, float]]:
    before, after = _bin_variances(data, bins, 1.0, 0.0), _bin_variances(data, bins, a, b)
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
