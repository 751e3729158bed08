"""Groups of crystals as a model of their intensities, and how well data support it.

Reflection h of crystal i in group g is x_ih = μ_h + d_gh + n_ih, with d ~ N(0, t v_h), v_h the expected intensity, n of
variance s²_ih = a_i σ²_ih + u_i v_h, and nothing known about μ_h. All of it is Gaussian, so μ and d integrate out: with
W_g = Σ 1/s² and the weighted means m_g of the groups, P_g = 1/(t v + 1/W_g) is the precision of m_g as a sample of μ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from mxdask.clustering.crystal_data import CrystalData

_LARGEST_Z2 = 25.0  # a single reflection counts no more than one that is five standard deviations off
_OUTLIER_Z2 = 16.0
_PRIOR_ROWS = 20.0  # observations' worth of belief that a = 1
_LEAST_A = 0.25
_T_RANGE = (1e-5, 3.0)


@dataclass(frozen=True, eq=False)
class Noise:
    """What one crystal's intensities differ by from its group's.

    Attributes
    ----------
    a : (c,) factor on the variances given. u : (c,) excess variance in units of the expected intensity.
    inflation : (n,) ≥ 1, factor on the variance of observations that are outliers.
    """

    a: np.ndarray
    u: np.ndarray
    inflation: np.ndarray

    @classmethod
    def start(cls, data: CrystalData, u: float = 0.01) -> Noise:
        """Variances as given, a little excess, no outliers."""
        c = data.n_crystals
        return cls(np.ones(c), np.full(c, u), np.ones(len(data.value)))

    def variance(self, data: CrystalData) -> np.ndarray:
        """(n,) s²."""
        own = self.a[data.crystal] * data.variance + self.u[data.crystal] * data.expected[data.reflection]
        return own * self.inflation


@dataclass(frozen=True, eq=False)
class GroupMeans:
    """Sums of a partition.

    Attributes
    ----------
    label : (c,) group of each crystal, -1 none. variance : (n,) s². t : variance between groups.
    W, Wm : (g, h) Σ 1/s², Σ x/s² of each group. P, Pm : the same as samples of μ.
    """

    data: CrystalData
    label: np.ndarray
    variance: np.ndarray
    t: float
    W: np.ndarray
    Wm: np.ndarray

    @classmethod
    def of(cls, data: CrystalData, label: np.ndarray, variance: np.ndarray, t: float | None = None) -> GroupMeans:
        """With t given, or the most likely one."""
        g, h = int(label.max(initial=-1)) + 1, data.n_reflections
        own = label[data.crystal]
        inside = own >= 0
        key = own[inside].astype(np.int64) * h + data.reflection[inside]
        weight = 1.0 / variance[inside]
        W = np.bincount(key, weight, g * h).reshape(g, h)
        Wm = np.bincount(key, weight * data.value[inside], g * h).reshape(g, h)
        if t is None:
            t = likely_t(W, Wm, data.expected)
        return cls(data, label, variance, t, W, Wm)

    @property
    def n_groups(self) -> int:
        return len(self.W)

    def gain(self) -> float:
        """Log likelihood with these groups less that with one group, same s²."""
        return gain(self.W, self.Wm, self.data.expected, self.t)

    def predictions(self, group: int) -> tuple[np.ndarray, np.ndarray]:
        """(n,) mean and precision of every observation's true value if its crystal belonged to a group.

        The crystal's own observation is taken out first. ``group`` = -1: a group of its own. Precision 0 means that
        no other crystal tells anything.
        """
        data, tv = self.data, self.t * self.data.expected[self.data.reflection]
        h, own = data.reflection, self.label[data.crystal]
        weight = np.where(own >= 0, 1.0 / self.variance, 0.0)
        Wo = _positive(self.W[own, h] - weight, weight)
        Wmo = self.Wm[own, h] - weight * data.value
        P, Pm = self.W / (1 + self.t * data.expected * self.W), self.Wm / (1 + self.t * data.expected * self.W)
        P_own, Pm_own = Wo / (1 + tv * Wo), Wmo / (1 + tv * Wo)
        lost = own >= 0
        rest = P.sum(axis=0)[h] - np.where(lost, P[own, h] - P_own, 0.0)
        rest_m = Pm.sum(axis=0)[h] - np.where(lost, Pm[own, h] - Pm_own, 0.0)
        Q, Qm = np.zeros(len(h)), np.zeros(len(h))
        if group >= 0:
            mine = own == group
            Q = np.where(mine, Wo, self.W[group, h])
            Qm = np.where(mine, Wmo, self.Wm[group, h])
            rest = rest - np.where(mine, P_own, P[group, h])
            rest_m = rest_m - np.where(mine, Pm_own, Pm[group, h])
        scale = P.sum(axis=0)[h]
        rest = _positive(rest, scale)
        rest_m = np.where(rest > 0, rest_m, 0.0)
        Q = Q + rest / (1 + tv * rest)
        Qm = np.where(Q > 0, Qm, 0.0) + rest_m / (1 + tv * rest)
        return np.divide(Qm, Q, out=np.zeros(len(h)), where=Q > 0), Q

    def log_likelihoods(self) -> np.ndarray:
        """(c, g + 1) log likelihood of each crystal's data in each group, and last in a group of its own."""
        out = np.zeros((self.data.n_crystals, self.n_groups + 1))
        for column, group in enumerate([*range(self.n_groups), -1]):
            mean, precision = self.predictions(group)
            known = precision > 0
            total = self.variance[known] + 1.0 / precision[known]
            z2 = np.minimum(np.square(self.data.value[known] - mean[known]) / total, _LARGEST_Z2)
            out[:, column] = np.bincount(self.data.crystal[known], -0.5 * (np.log(total) + z2), self.data.n_crystals)
        return out


def _positive(difference: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Zero where a difference of sums is nothing but rounding."""
    return np.where(difference > 1e-9 * scale, difference, 0.0)


def gain(W: np.ndarray, Wm: np.ndarray, expected: np.ndarray, t: float) -> float:
    """Log of the ratio of marginal likelihoods, groups with variance t between them over one group.

    ½ Σ_h [Σ_g W_g (m_g - m)² - Σ_g P_g (m_g - M)² + Σ_g ln(P_g/W_g) + ln(ΣW/ΣP)], m and M the means with weights W, P.
    """
    ratio = 1.0 / (1 + t * expected * W)
    P, Pm = W * ratio, Wm * ratio
    sW, sP = W.sum(axis=0), P.sum(axis=0)
    several = np.count_nonzero(W, axis=0) > 1
    W, Wm, P, Pm, ratio, sW, sP = (x[..., several] for x in (W, Wm, P, Pm, ratio, sW, sP))
    m = np.divide(Wm, W, out=np.zeros_like(W), where=W > 0)
    one = (W * np.square(m - Wm.sum(axis=0) / sW)).sum(axis=0)
    many = (P * np.square(m - Pm.sum(axis=0) / sP)).sum(axis=0)
    # Where groups differ by far more than anything explains, the reflection is wrong, not the crystals.
    evidence = np.minimum(one, 2 * _LARGEST_Z2 * len(W)) - np.minimum(many, 2 * _LARGEST_Z2 * len(W))
    return 0.5 * float((evidence + np.log(ratio).sum(axis=0) + np.log(sW / sP)).sum())


def likely_t(W: np.ndarray, Wm: np.ndarray, expected: np.ndarray) -> float:
    """t of greatest likelihood."""
    low, high = np.log(_T_RANGE)
    grid = np.linspace(low, high, 13)
    values = [gain(W, Wm, expected, np.exp(x)) for x in grid]
    best = int(np.argmax(values))
    bounds = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(
        lambda x: -gain(W, Wm, expected, np.exp(x)), bounds=bounds, method="bounded", options={"xatol": 0.02}
    )
    return float(np.exp(found.x))


def refit_noise(means: GroupMeans, noise: Noise) -> Noise:
    """a and u of every crystal from its deviations from what the others of its group predict, and its outliers.

    Moments: ⟨e² - 1/Q⟩ = a σ² + u v, weighted least squares with a drawn to one, both kept from going negative.
    """
    data = means.data
    mean, precision = _own_predictions(means)
    known = precision > 0
    crystal, v = data.crystal[known], data.expected[data.reflection[known]]
    sigma2, spread = data.variance[known], 1.0 / precision[known]
    plain = noise.a[crystal] * sigma2 + noise.u[crystal] * v
    e2 = np.square(data.value[known] - mean[known])
    inflation = np.ones(len(data.value))
    inflation[known] = np.maximum(1.0, e2 / (plain + spread) / _OUTLIER_Z2)
    y = np.minimum(e2, _OUTLIER_Z2 * (plain + spread)) - spread
    weight = 1.0 / np.square(plain + spread)
    c = data.n_crystals

    def total(x: np.ndarray) -> np.ndarray:
        return np.bincount(crystal, weight * x, c)

    ss, sv, vv, ys, yv = total(sigma2**2), total(sigma2 * v), total(v * v), total(sigma2 * y), total(v * y)
    rows = np.maximum(np.bincount(crystal, minlength=c), 1)
    prior = _PRIOR_ROWS * ss / rows
    ss, ys = ss + prior, ys + prior
    with np.errstate(divide="ignore", invalid="ignore"):
        determinant = ss * vv - sv * sv
        a = np.where(determinant > 1e-9 * ss * vv, (ys * vv - yv * sv) / determinant, 1.0)
        a = np.maximum(np.nan_to_num(a, nan=1.0), _LEAST_A)
        u = np.nan_to_num((yv - a * sv) / vv)
        a = np.where(u < 0, np.maximum(np.nan_to_num(ys / ss, nan=1.0), _LEAST_A), a)
    return Noise(a, np.clip(u, 1e-4, 20.0), inflation)


def _own_predictions(means: GroupMeans) -> tuple[np.ndarray, np.ndarray]:
    own = means.label[means.data.crystal]
    mean, precision = np.zeros(len(own)), np.zeros(len(own))
    for group in np.unique(own):
        rows = own == group
        m, q = means.predictions(int(group))
        mean[rows], precision[rows] = m[rows], q[rows]
    return mean, precision
