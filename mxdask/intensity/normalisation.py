"""Intensities divided by their expectation at each resolution: E², mean one."""

from __future__ import annotations

from typing import Literal

import numpy as np

Method = Literal["quasi", "kernel", "ml_iso", "ml_aniso"]

_WILSON_OUTLIER = 16.0
_LEAST_FOR_QUARTILES = 25
_LEAST_FOR_CURVE = 40  # fewer reflections cannot tell a curve: their mean is taken


def expected_intensity(
    method: Method | None, intensity: np.ndarray, sigma: np.ndarray, hkl: np.ndarray, reciprocal: np.ndarray
) -> np.ndarray:
    """(n,) expected intensity of each reflection of one crystal.

    Parameters
    ----------
    method : ``quasi`` means of bins of equal numbers; ``kernel`` a Gaussian running mean in d*²; ``ml_iso`` the
        smooth curve of greatest Wilson likelihood; ``ml_aniso`` the same with an anisotropic part; None: 1.
    hkl : (n, 3) indices. reciprocal : (3, 3) reciprocal axes as columns (Å⁻¹), d* vector = reciprocal·h.
    """
    n = len(intensity)
    if method is None:
        return np.ones(n)
    if n < _LEAST_FOR_CURVE:
        return np.full(
            n, max(float(np.mean(intensity)) if n else 1.0, 1e-9 * float(np.abs(intensity).max(initial=1.0)))
        )
    q = hkl @ np.asarray(reciprocal).T
    s = np.einsum("ni,ni->n", q, q)
    if method == "quasi":
        curve = _bin_means(intensity, s)
    elif method == "kernel":
        curve = _running_mean(intensity, s)
    else:
        curve = _wilson_fit(intensity, sigma, _design(q, s, anisotropic=method == "ml_aniso"))
    floor = 1e-3 * max(float(np.mean(intensity)), float(np.median(np.abs(intensity))), 1e-12)
    return np.maximum(curve, floor)


def wilson_outliers(intensity: np.ndarray, s: np.ndarray) -> np.ndarray:
    """(n,) reflections that are no intensities of a crystal: |I| ≥ 16⟨I⟩ of their resolution.

    exp(-16) of acentric reflections are as strong (Wilson 1949), and a few absurd values rule a mean or a correlation
    coefficient. So ⟨I⟩ is taken from the interquartile range of a bin, which is ln 3 · ⟨I⟩ for exponentially
    distributed intensities and wider with their errors.

    Parameters
    ----------
    s : (n,) 1/d² (Å⁻²).

    Fewer than 50 reflections tell no outliers. Within a bin ⟨I⟩ falls as it does over all bins, so that strong
    reflections at low resolution are none.
    """
    bins = _equal_bins(s, _LEAST_FOR_QUARTILES)
    n_bins = int(bins.max(initial=-1)) + 1
    if n_bins < 2:
        return np.zeros(len(s), dtype=bool)
    quartiles = np.array([np.quantile(intensity[bins == b], [0.25, 0.75]) for b in range(n_bins)])
    level = np.diff(quartiles, axis=1)[:, 0] / np.log(3.0)
    centre = np.bincount(bins, s) / np.bincount(bins)
    known = level > 0
    if known.sum() < 2:
        return np.zeros(len(s), dtype=bool)
    slope = np.polyfit(centre[known], np.log(level[known]), 1)[0]
    expected = level[bins] * np.exp(slope * (s - centre[bins]))
    return known[bins] & (np.abs(intensity) >= _WILSON_OUTLIER * expected)


def _bin_means(intensity: np.ndarray, s: np.ndarray) -> np.ndarray:
    bins = _equal_bins(s, 100)
    return (np.bincount(bins, intensity) / np.bincount(bins))[bins]


def _equal_bins(s: np.ndarray, least: int) -> np.ndarray:
    """(n,) at most 50 bins in 1/d² of equal numbers, ``least`` or more in each if there are as many."""
    n_bins = int(np.clip(len(s) // least, 1, 50))
    bins = np.empty(len(s), dtype=np.int64)
    bins[np.argsort(s, kind="stable")] = np.arange(len(s)) * n_bins // max(len(s), 1)
    return bins


def _running_mean(intensity: np.ndarray, s: np.ndarray, n_nodes: int = 60) -> np.ndarray:
    """Nadaraya-Watson mean with a width that holds about a fiftieth of the reflections."""
    nodes = np.quantile(s, np.linspace(0, 1, n_nodes))
    width = max(float(np.median(np.diff(np.quantile(s, np.linspace(0, 1, 51))))), 1e-12)
    weight = np.exp(-0.5 * ((s[None, :] - nodes[:, None]) / width) ** 2)
    return np.interp(s, nodes, weight @ intensity / weight.sum(axis=1))


def _design(q: np.ndarray, s: np.ndarray, *, anisotropic: bool) -> np.ndarray:
    """Columns of ln⟨I⟩: a cubic in d*² (a protein's curve is no straight line), and the traceless quadratic forms."""
    t = 2 * (s - s.min()) / max(float(np.ptp(s)), 1e-12) - 1
    columns = [np.ones(len(s)), t, t**2, t**3]
    if anisotropic:
        x, y, z = (q / np.sqrt(s.max())).T
        columns += [x * x - z * z, y * y - z * z, x * y, x * z, y * z]
    return np.stack(columns, axis=1)


def _wilson_fit(intensity: np.ndarray, sigma: np.ndarray, design: np.ndarray) -> np.ndarray:
    """Mean curve μ = exp(design·c) of greatest likelihood."""
    scale = _rough_scale(intensity, sigma)
    return _curve(design, _wilson_coefficients(intensity, sigma, design), scale)


def _rough_scale(intensity: np.ndarray, sigma: np.ndarray) -> float:
    return max(float(np.mean(intensity)), float(np.median(sigma)) * 0.1, 1e-12)


def _curve(design: np.ndarray, coefficients: np.ndarray, scale: float) -> np.ndarray:
    return np.asarray(np.exp(np.clip(design @ coefficients, np.log(scale) - 12, np.log(scale) + 12)))


def _wilson_coefficients(intensity: np.ndarray, sigma: np.ndarray, design: np.ndarray) -> np.ndarray:
    """c of the curve exp(design·c) of greatest likelihood for exponentially distributed I (Wilson 1949).

    Newton steps on Σ w (ln μ + I/μ), reflections weighted w = μ²/(μ² + σ²) as far as noise leaves them telling.
    """
    scale = _rough_scale(intensity, sigma)
    coefficients = np.zeros(design.shape[1])
    coefficients[0] = np.log(scale)
    ridge = 1e-6 * len(intensity) * np.eye(design.shape[1])
    for _ in range(50):
        mu = _curve(design, coefficients, scale)
        weight = mu**2 / (mu**2 + sigma**2)
        gradient = design.T @ (weight * np.clip(intensity / mu - 1.0, -5.0, 20.0))
        step = np.linalg.solve((design * weight[:, None]).T @ design + ridge, gradient)
        coefficients += np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-6:
            break
    return coefficients


def fall_off(intensity: np.ndarray, sigma: np.ndarray, hkl: np.ndarray, reciprocal: np.ndarray) -> np.ndarray:
    """(3, 3) anisotropic B (Å²) of greatest Wilson likelihood: ⟨I⟩ ∝ exp(-½ q·B·q), q = reciprocal·h.

    Parameters
    ----------
    intensity, sigma : (n,) divided by what the atoms alone make one expect.
    reciprocal : (3, 3) reciprocal axes as columns (Å⁻¹), in Cartesian axes; B is in these.
    """
    q = hkl @ np.asarray(reciprocal).T
    size = np.sqrt(np.einsum("ni,ni->n", q, q).max())
    x, y, z = (q / size).T
    design = np.stack([np.ones(len(x)), x * x, y * y, z * z, x * y, x * z, y * z], axis=1)
    _, xx, yy, zz, xy, xz, yz = -2.0 * _wilson_coefficients(intensity, sigma, design) / size**2
    return np.array([[xx, xy / 2, xz / 2], [xy / 2, yy, yz / 2], [xz / 2, yz / 2, zz]])
