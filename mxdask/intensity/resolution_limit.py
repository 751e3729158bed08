"""How far the data are good enough to tell symmetry: limits from ⟨I⟩/⟨σ⟩ and CC½."""

from __future__ import annotations

import numpy as np

from mxdask.intensity.statistics import correlation, half_sets

_LEAST_PER_SHELL = 50
_MOST_SHELLS = 20


def resolution_limit(
    key: np.ndarray,
    intensity: np.ndarray,
    sigma: np.ndarray,
    s: np.ndarray,
    *,
    min_i_mean_over_sigma_mean: float | None,
    min_cc_half: float | None,
    seed: int = 0,
) -> tuple[float | None, dict[str, float | None]]:
    """d (Å) to which the data may be used, and the limit by each criterion.

    The more generous of the two criteria counts; None where neither can be evaluated or the data pass to the end.

    Parameters
    ----------
    key : (n,) which unique reflection each observation belongs to.
    s : (n,) 1/d² (Å⁻²).
    """
    limits: dict[str, float | None] = {"i_mean_over_sigma_mean": None, "cc_half": None}
    if len(s) < 2 * _LEAST_PER_SHELL:
        return None, limits
    n_shells = int(np.clip(len(s) // _LEAST_PER_SHELL, 2, _MOST_SHELLS))
    order = np.argsort(s, kind="stable")
    shell = np.empty(len(s), dtype=np.int64)
    shell[order] = np.arange(len(s)) * n_shells // len(s)
    n = np.bincount(shell, minlength=n_shells)
    middle = np.bincount(shell, s, n_shells) / n
    if min_i_mean_over_sigma_mean is not None:
        ratio = np.bincount(shell, intensity, n_shells) / np.bincount(shell, sigma, n_shells)
        limits["i_mean_over_sigma_mean"] = _crossing(
            middle, np.log(np.maximum(ratio, 1e-3)), np.log(min_i_mean_over_sigma_mean), s
        )
    if min_cc_half is not None:
        cc, pairs = _cc_half(key, intensity, shell, n_shells, seed)
        good = pairs >= 20
        if good.sum() >= 3:
            limits["cc_half"] = _crossing(middle[good], cc[good], min_cc_half, s)
    found = [d for d in limits.values() if d is not None]
    return (min(found) if found else None), limits


def _cc_half(
    key: np.ndarray, intensity: np.ndarray, shell: np.ndarray, n_shells: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    unique, group = np.unique(key, return_inverse=True)
    half = half_sets(group, unique[group], seed)
    sums = np.zeros((2, len(unique)))
    counts = np.zeros((2, len(unique)))
    for which in (0, 1):
        rows = half == which
        counts[which] = np.bincount(group[rows], minlength=len(unique))
        sums[which] = np.bincount(group[rows], intensity[rows], len(unique))
    both = np.flatnonzero(counts.min(axis=0) > 0)
    x, y = sums[:, both] / counts[:, both]
    first = np.zeros(len(unique), dtype=np.int64)
    first[group[::-1]] = shell[::-1]
    where = first[both]
    terms = (np.ones(len(x)), x, y, x * x, y * y, x * y)
    cc, pairs = correlation(np.stack([np.bincount(where, t, n_shells) for t in terms]))
    return np.nan_to_num(cc), pairs


def _crossing(middle: np.ndarray, value: np.ndarray, limit: float, s: np.ndarray) -> float | None:
    """d where a smooth falling curve through the shells passes the limit; None if it never does from above."""
    degree = min(3, len(middle) - 1)
    grid = np.linspace(float(s.min()), float(s.max()), 400)
    curve = np.polyval(np.polyfit(middle, value, degree), np.clip(grid, middle[0], middle[-1]))
    above = np.flatnonzero(curve >= limit)
    if len(above) == 0:
        return None
    below = np.flatnonzero(curve[above[0] :] < limit)
    end = grid[-1] if len(below) == 0 else grid[above[0] + below[0]]
    return float(1.0 / np.sqrt(end))
