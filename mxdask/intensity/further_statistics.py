"""Less common merging statistics per shell: what needs more than sums, or has other weights (back.md 14.4).

Sources: Rsplit, White et al. (2012) J. Appl. Cryst. 45, 335; anomalous signal ΔF/F and the slope of the normal
probability plot, Howell & Smith (1992) J. Appl. Cryst. 25, 81.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy.special import ndtri

from mxdask.intensity.asu import shell_of
from mxdask.intensity.merging import Unmerged, merge, weighted_means
from mxdask.intensity.statistics import half_sets, serial_numbers

# The middle of the normal probability plot, in which nearly all differences are noise.
_MIDDLE_OF_PLOT = 0.9


@dataclass(frozen=True)
class FurtherStatistics:
    """One element per shell; NaN where undefined.

    Attributes
    ----------
    Rsplit : 2**-½ Σ|x - y| / ½Σ(x + y) of the half sets' means.
    CC_half_weighted : correlation of the half sets with weights 1/(σ² + σ²); n_effective: (Σw)²/Σw² of them.
    unmerged_I_over_sigma : mean of I/σ over observations.
    mean_I_over_mean_sigma : of merged intensities.
    dF_over_F : √(2⟨(F⁺ - F⁻)²⟩/⟨F⁺² + F⁻²⟩) over pairs of positive intensities.
    anomalous_slope : of ΔI/σ(ΔI) against normal quantiles, middle of the plot: 1 is noise alone.
    """

    Rsplit: np.ndarray
    CC_half_weighted: np.ndarray
    n_effective: np.ndarray
    unmerged_I_over_sigma: np.ndarray
    mean_I_over_mean_sigma: np.ndarray
    dF_over_F: np.ndarray
    anomalous_slope: np.ndarray

    def as_lists(self) -> dict[str, list[Any]]:
        """All shells as plain lists, None where undefined."""
        return {f.name: [float(v) if np.isfinite(v) else None for v in getattr(self, f.name)] for f in fields(self)}


def further_statistics(
    data: Unmerged, d_edges: np.ndarray, seed: int = 0
) -> tuple[FurtherStatistics, FurtherStatistics]:
    """Per shell, and of everything within the shells together (one element)."""
    shell = shell_of(data.inverse_d_squared, d_edges)
    return _in_shells(data, shell, len(d_edges) - 1, seed), _in_shells(data, np.minimum(shell, 0), 1, seed)


def _in_shells(data: Unmerged, shell: np.ndarray, s: int, seed: int) -> FurtherStatistics:
    asu, m = data.asu, len(data.asu.unique)
    merged = merge(data)

    def mean(values: np.ndarray, where: np.ndarray) -> np.ndarray:
        ok = np.isfinite(values) & (where >= 0)
        return np.bincount(where[ok], values[ok], s) / np.bincount(where[ok], minlength=s)

    half = half_sets(asu.group, serial_numbers(asu.unique)[asu.group], seed)
    sides = [weighted_means(asu.group[r], m, data.intensity[r], data.variance[r]) for r in (half == 0, half == 1)]
    x, y = (side.mean for side in sides)
    both = np.isfinite(x * y) & (shell >= 0)
    weight = np.where(both, 1.0 / (sides[0].sigma ** 2 + sides[1].sigma ** 2), 0.0)

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(shell[both], values[both], s)

    plus, minus = merged.plus, merged.minus
    pair = np.isfinite(plus.mean * minus.mean) & (shell >= 0)
    positive = pair & (plus.mean > 0) & (minus.mean > 0)
    f_plus, f_minus = (np.sqrt(np.where(positive, side.mean, np.nan)) for side in (plus, minus))
    delta = (plus.mean - minus.mean) / np.hypot(plus.sigma, minus.sigma)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_x, mean_y = total(weight * x) / total(weight), total(weight * y) / total(weight)
        dx, dy = x - mean_x[shell], y - mean_y[shell]
        cc = total(weight * dx * dy) / np.sqrt(total(weight * dx**2) * total(weight * dy**2))
        return FurtherStatistics(
            np.sqrt(2) * total(np.abs(x - y)) / total(x + y), cc, total(weight) ** 2 / total(weight**2),
            mean(data.intensity / np.sqrt(data.variance), shell[asu.group]),
            mean(merged.all.mean, shell) / mean(merged.all.sigma, shell),
            np.sqrt(2 * mean((f_plus - f_minus) ** 2, shell) / mean(f_plus**2 + f_minus**2, shell)),
            np.array([normal_slope(delta[pair & (shell == k)]) for k in range(s)]),
        )  # fmt: skip


def normal_slope(values: np.ndarray) -> float:
    """Slope of the middle of the normal probability plot; NaN for fewer than ten values there."""
    n = len(values)
    if n == 0:
        return np.nan
    expected = ndtri((np.arange(n) + 0.5) / n)
    middle = np.abs(expected) < _MIDDLE_OF_PLOT
    if middle.sum() < 10:
        return np.nan
    return float(np.polyfit(expected[middle], np.sort(values)[middle], 1)[0])
