"""Crystals' intensities on one scale, as fractions of the mean intensity at their resolution."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

# Least and most shells of resolution; a shell has this many unique reflections if there are enough.
_PER_SHELL, _MOST_SHELLS = 200, 20
_CYCLES = 6
_START_EXCESS = 0.04  # of the intensity squared: keeps the strongest reflections from deciding a scale alone
_PRIOR_TILT = 0.3  # typical relative change of a crystal's scale with resolution that is not yet known
_LONGEST_STEP = 0.7  # in the logarithm of a scale
_LEAST_EXPECTED = 0.05  # of the mean: differences between crystals do not vanish where the intensity does


@dataclass(frozen=True, eq=False)
class CrystalData:
    """Observations, one per crystal and reflection, by reflection and then crystal.

    Attributes
    ----------
    crystal : (n,) i4. reflection : (n,) i8, ascending.
    value, variance : (n,) in units of the mean intensity at that resolution.
    expected : (h,) mean intensity of each reflection, bounded from below: differences between crystals that come from
        the structure have variances in proportion to it (ΔI ≈ 2 F ΔF cos α).
    n_crystals : how many crystals there are.
    """

    crystal: np.ndarray
    reflection: np.ndarray
    value: np.ndarray
    variance: np.ndarray
    expected: np.ndarray
    n_crystals: int

    @property
    def n_reflections(self) -> int:
        return len(self.expected)

    @property
    def start(self) -> np.ndarray:
        """(h + 1,) first observation of each reflection."""
        return np.searchsorted(self.reflection, np.arange(self.n_reflections + 1))

    def of(self, members: np.ndarray) -> CrystalData:
        """Those crystals only, numbered as they stand in ``members`` (ascending)."""
        number = np.full(self.n_crystals, -1, dtype=np.int32)
        number[members] = np.arange(len(members))
        crystal = number[self.crystal]
        keep = crystal >= 0
        return replace(
            self, crystal=crystal[keep], reflection=self.reflection[keep], value=self.value[keep],
            variance=self.variance[keep], n_crystals=len(members),
        )  # fmt: skip


def merge_observations(
    crystal: np.ndarray, reflection: np.ndarray, intensity: np.ndarray, sigma: np.ndarray, n_crystals: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One weighted mean per crystal and reflection: crystal, reflection, intensity, variance, by reflection."""
    good = np.isfinite(intensity) & np.isfinite(sigma) & (sigma > 0)
    key = reflection[good].astype(np.int64) * n_crystals + crystal[good]
    order = np.lexsort((intensity[good], key))
    key, value, weight = key[order], intensity[good][order], 1.0 / np.square(sigma[good][order])
    unique, owner = np.unique(key, return_inverse=True)
    total = np.bincount(owner, weight, len(unique))
    mean = np.bincount(owner, weight * value, len(unique)) / total
    return (unique % n_crystals).astype(np.int32), unique // n_crystals, mean, 1.0 / total


def on_one_scale(
    crystal: np.ndarray,
    reflection: np.ndarray,
    intensity: np.ndarray,
    variance: np.ndarray,
    n_crystals: int,
    n_reflections: int,
    d_star_sq: np.ndarray | None,
) -> CrystalData:
    """Normalise by shells of resolution and give every crystal the scale that fits the mean of all.

    The logarithm of a crystal's scale is a parabola in d*² where resolution is known. Observations are as
    :func:`merge_observations` gives them.

    Parameters
    ----------
    d_star_sq : (n_reflections,) Å⁻²; None: one shell, constant scales.
    """
    shell, x = _shells(reflection, n_reflections, d_star_sq)
    powers = np.ones((len(crystal), 1)) if d_star_sq is None else x[reflection][:, None] ** np.arange(3)
    scale = _first_scales(crystal, reflection, intensity, variance, n_crystals, n_reflections)[crystal]
    excess = np.full(n_crystals, _START_EXCESS)
    for _ in range(_CYCLES):
        value, var = intensity / scale, variance / scale**2
        raw = _means(reflection, value, 1.0 / (var + np.mean(var)), n_reflections)
        level = _shell_level(shell, raw)
        value, var = value / level[reflection], var / level[reflection] ** 2
        expected = _expected(reflection, value, var, excess[crystal], n_reflections)
        weight = 1.0 / (var + excess[crystal] * expected[reflection])
        mean = _means(reflection, value, weight, n_reflections)
        factor = _fit_scales(crystal, value, mean[reflection], weight, powers, n_crystals)
        scale = scale * factor
        value, var = value / factor, var / factor**2
        deviation = np.square(value - mean[reflection]) - var
        limited = np.minimum(deviation, 25 * (var + excess[crystal] * expected[reflection]))
        share = np.bincount(crystal, weight * expected[reflection], n_crystals)
        with np.errstate(divide="ignore", invalid="ignore"):
            excess = np.bincount(crystal, weight * limited, n_crystals) / share
        excess = np.clip(np.nan_to_num(excess), 1e-3, 10.0)
    return CrystalData(crystal, reflection, value, var, expected, n_crystals)


def _shells(reflection: np.ndarray, n_reflections: int, d_star_sq: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """(h,) shell of each reflection, equal numbers in each, and (h,) d*² from -1 to 1."""
    if d_star_sq is None:
        return np.zeros(n_reflections, dtype=np.int64), np.zeros(n_reflections)
    seen = np.bincount(reflection, minlength=n_reflections) > 0
    n_shells = int(np.clip(seen.sum() // _PER_SHELL, 1, _MOST_SHELLS))
    edges = np.quantile(d_star_sq[seen], np.linspace(0, 1, n_shells + 1)[1:-1]) if seen.any() else np.zeros(0)
    low, high = (d_star_sq[seen].min(), d_star_sq[seen].max()) if seen.any() else (0.0, 1.0)
    x = 2 * (d_star_sq - low) / max(high - low, 1e-12) - 1
    return np.digitize(d_star_sq, edges), np.clip(x, -1, 1)


def _first_scales(
    crystal: np.ndarray, reflection: np.ndarray, intensity: np.ndarray, variance: np.ndarray, n: int, h: int
) -> np.ndarray:
    """(n,) ratios of sums over the reflections a crystal has in common with the others, found in a few rounds."""
    scale = np.maximum(np.bincount(crystal, intensity, n) / np.maximum(np.bincount(crystal, minlength=n), 1), 0)
    scale = np.where(scale > 0, scale, np.median(scale[scale > 0]) if np.any(scale > 0) else 1.0)
    for _ in range(_CYCLES):
        s = scale[crystal]
        mean = _means(reflection, intensity / s, 1.0 / (variance / s**2 + np.mean(variance / s**2)), h)[reflection]
        top, bottom = np.bincount(crystal, intensity, n), np.bincount(crystal, np.maximum(mean, 0), n)
        ratio = np.divide(top, bottom, out=scale.copy(), where=bottom > 0)
        scale = np.where(ratio > 0.01 * scale, ratio, scale)
    return scale


def _means(reflection: np.ndarray, value: np.ndarray, weight: np.ndarray, n: int) -> np.ndarray:
    total = np.bincount(reflection, weight, n)
    return np.divide(np.bincount(reflection, weight * value, n), total, out=np.zeros(n), where=total > 0)


def _shell_level(shell: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """(h,) mean intensity of each reflection's shell."""
    seen = mean != 0
    n = np.bincount(shell[seen], minlength=shell.max(initial=0) + 1)
    total = np.bincount(shell[seen], mean[seen], len(n))
    level = np.divide(total, n, out=np.zeros(len(n)), where=n > 0)
    least = 1e-3 * level.max(initial=0.0)
    return np.maximum(level, least if least > 0 else 1.0)[shell]


def _expected(
    reflection: np.ndarray, value: np.ndarray, variance: np.ndarray, excess: np.ndarray, n: int
) -> np.ndarray:
    """(h,) mean intensities drawn towards one as far as they are uncertain (E² has mean and variance one)."""
    weight = 1.0 / (variance + excess)
    total = np.bincount(reflection, weight, n)
    return np.maximum((np.bincount(reflection, weight * value, n) + 1.0) / (total + 1.0), _LEAST_EXPECTED)


def _fit_scales(
    crystal: np.ndarray, value: np.ndarray, mean: np.ndarray, weight: np.ndarray, powers: np.ndarray, n: int
) -> np.ndarray:
    """Factor of each observation, exp(c0 + c1 x + c2 x²) by crystal, that brings the values to the means.

    A Gauss-Newton step held by a weak prior; repeated, it takes any difference in scale and B out.
    """
    k = powers.shape[1]
    basis = powers * mean[:, None]
    normal, right = np.zeros((n, k, k)), np.zeros((n, k))
    for a in range(k):
        right[:, a] = np.bincount(crystal, weight * basis[:, a] * (value - mean), n)
        for b in range(a, k):
            normal[:, a, b] = normal[:, b, a] = np.bincount(crystal, weight * basis[:, a] * basis[:, b], n)
    prior = np.full(k, 1.0 / _PRIOR_TILT**2)
    normal += np.diag(prior)
    change = np.linalg.solve(normal, right[..., None])[..., 0]
    return np.exp(np.clip(np.einsum("nk,nk->n", powers, change[crystal]), -_LONGEST_STEP, _LONGEST_STEP))
