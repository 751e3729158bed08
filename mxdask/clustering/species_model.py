"""Groups of crystals as a model of their intensities, and how well data support it.

Reflection h of crystal i in group g is x_ih = μ_h + d_gh + n_ih, with d ~ N(0, t v_h), v_h the expected intensity, n of
variance s²_ih = a_i σ²_ih + u_i v_h, and nothing known about μ_h. All of it is Gaussian, so μ and d integrate out: with
W_g = Σ 1/s² and the weighted means m_g of the groups, P_g = 1/(t v + 1/W_g) is the precision of m_g as a sample of μ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from mxdask.clustering.crystal_data import CrystalData
from mxdask.clustering.species_kernels import add_log_likelihoods, marginal_gain, own_predictions

_LARGEST_Z2 = 25.0  # a single reflection counts no more than one that is five standard deviations off
_OUTLIER_Z2 = 16.0
_PRIOR_ROWS = 20.0  # observations' worth of belief that a = 1
_LEAST_A = 0.02
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
    label : (c,) i8 group of each crystal. variance : (n,) s². t : variance between groups.
    W, Wm : (g, h) Σ 1/s², Σ x/s² of each group.
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
        key = label[data.crystal] * h + data.reflection
        weight = 1.0 / variance
        W = np.bincount(key, weight, g * h).reshape(g, h)
        Wm = np.bincount(key, weight * data.value, g * h).reshape(g, h)
        if t is None:
            t = likely_t(W, Wm, data.expected)
        return cls(data, label, variance, t, W, Wm)

    @property
    def n_groups(self) -> int:
        return len(self.W)

    def log_marginal(self) -> float:
        """Log likelihood of all crystals, μ and d integrated out, up to a constant."""
        data = self.data
        weight, x, h = 1.0 / self.variance, data.value, data.reflection
        total = np.bincount(h, weight, data.n_reflections)
        mean = np.divide(np.bincount(h, weight * x, len(total)), total, out=np.zeros_like(total), where=total > 0)
        spread = (weight * np.square(x - mean[h]) - np.log(weight)).sum() + np.log(total[total > 0]).sum()
        return float(marginal_gain(self.W, self.Wm, data.expected, self.t)) - 0.5 * float(spread)

    def own_predictions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the other crystals tell about the true value of every observation, (n,) each.

        Returns
        -------
        mean, precision : by the crystal's group (drawn to the mean of the groups as far as few members measured it);
            precision 0 where no other crystal tells anything. middle : mean of the groups.
        """
        mean, precision, middle = np.zeros((3, len(self.data.value)))
        own_predictions(*self._arrays, mean, precision, middle)
        return mean, precision, middle

    def log_likelihoods(self) -> np.ndarray:
        """(c, g) log likelihood of each crystal's data in each group, the crystal itself left out."""
        out = np.zeros((self.data.n_crystals, self.n_groups))
        add_log_likelihoods(*self._arrays, _LARGEST_Z2, out)
        return out

    @property
    def _arrays(self) -> tuple[Any, ...]:
        data = self.data
        return (
            data.crystal, data.reflection, data.value, 1.0 / self.variance, self.label, self.W, self.Wm, data.expected,
            self.t,
        )  # fmt: skip


def likely_t(W: np.ndarray, Wm: np.ndarray, expected: np.ndarray) -> float:
    """t of greatest likelihood."""
    low, high = np.log(_T_RANGE)
    grid = np.linspace(low, high, 13)
    values = [marginal_gain(W, Wm, expected, np.exp(x)) for x in grid]
    best = int(np.argmax(values))
    bounds = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(
        lambda x: -marginal_gain(W, Wm, expected, np.exp(x)), bounds=bounds, method="bounded", options={"xatol": 0.02}
    )
    return float(np.exp(found.x))


def refit_noise(means: GroupMeans, noise: Noise) -> Noise:
    """a and u of every crystal from its deviations from what the others of its group predict, and its outliers.

    Moments: ⟨e² - 1/Q⟩ = a σ² + u v, weighted least squares with a drawn to one, both kept from going negative.
    """
    data = means.data
    mean, precision, _ = means.own_predictions()
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
