"""Radiation damage from differences between equivalent observations against dose (back.md 15.4).

Rcp, Scp: Winter et al. (2019) Acta Cryst. D75, 242; Rd: Diederichs (2006) Acta Cryst. D62, 96.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.intensity.asu import AsuMap, count_possible
from mxdask.intensity.merging import Unmerged

# Mean |difference| of two normal deviates over their standard deviation: 2/√π.
_MEAN_DIFFERENCE = 1.1284
# Observations in pairs from which on a ratio to the expected differences says anything.
_FEWEST = 100
# Up to so many pairs numpy is quicker than loading the compiled kernel.
_FEW_PAIRS = 2_000_000


@dataclass(frozen=True)
class DamageStatistics:
    """Against dose, one element per step.

    Attributes
    ----------
    dose : (t,) of each step.
    d_edges : (s + 1,) Å, shells equal in 1/d².
    rcp, scp, rd : (t,) cumulative R of pairs up to this dose; the same over what their σ make one expect (mean over
        shells; 0 in shells of few pairs); R of pairs this far apart in dose (``dose - dose[0]``). 0 where undefined.
    rcp_shells, scp_shells : (s, t).
    completeness, completeness_plus, completeness_minus, completeness_both : (t,) fractions of unique reflections seen
        up to this dose: either hand, I⁺, I⁻, both.
    completeness_shells : (s, t) either hand.
    """

    dose: np.ndarray
    d_edges: np.ndarray
    rcp: np.ndarray
    scp: np.ndarray
    rd: np.ndarray
    rcp_shells: np.ndarray
    scp_shells: np.ndarray
    completeness: np.ndarray
    completeness_plus: np.ndarray
    completeness_minus: np.ndarray
    completeness_both: np.ndarray
    completeness_shells: np.ndarray


def damage_statistics(
    data: Unmerged, dose: np.ndarray, n_shells: int = 8, width: float = 1.0, *, anomalous: bool = False
) -> DamageStatistics:
    """Statistics of observations with doses (n,), in steps of ``width``.

    Parameters
    ----------
    anomalous : pairs are of one hand only.
    """
    first = float(dose.min())
    step = np.rint((dose - first) / width).astype(np.int64)
    n_steps = int(step.max()) + 1
    s = data.inverse_d_squared
    edges = 1.0 / np.sqrt(np.linspace(s.min() * (1 - 1e-9), s.max() * (1 + 1e-9), n_shells + 1))
    shell = np.clip(np.searchsorted(1.0 / edges**2, s, side="right") - 1, 0, n_shells - 1)
    cumulative, by_difference = pair_sums(data, step, shell, n_shells, n_steps, anomalous=anomalous)
    with np.errstate(divide="ignore", invalid="ignore"):
        rcp_shells = np.nan_to_num(cumulative[0] / cumulative[1], posinf=0.0)
        signal = cumulative[2] / cumulative[3]
        scp_shells = np.where(cumulative[3] > _FEWEST, rcp_shells * signal / _MEAN_DIFFERENCE, 0.0)
        whole = cumulative.sum(axis=1)
        rcp = np.nan_to_num(whole[0] / whole[1], posinf=0.0)
        rd = np.where(by_difference[1] > 0, by_difference[0] / by_difference[1], 0.0)
    possible, _ = count_possible(data.cell, data.space_group, edges)
    seen = _seen(data.asu, step, shell, n_shells, n_steps)
    share = seen.sum(axis=1) / max(possible.sum(), 1)
    return DamageStatistics(
        first + width * np.arange(n_steps), edges, rcp, scp_shells.mean(axis=0), rd, rcp_shells, scp_shells,
        share[0], share[1], share[2], share[3], seen[0] / np.maximum(possible, 1)[:, None],
    )  # fmt: skip


def pair_sums(
    data: Unmerged, step: np.ndarray, shell: np.ndarray, n_shells: int, n_steps: int, *, anomalous: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(4, s, t) sums of pairs up to each dose, and (2, t) of pairs by difference of dose (see ``pair_kernels``).

    Parameters
    ----------
    step : (n,) of each observation. shell : (m,) of each unique reflection.
    """
    asu = data.asu
    group = 2 * asu.group + ~asu.plus if anomalous else asu.group
    order = np.lexsort((step, group))
    group, dose, value = group[order], step[order], data.intensity[order]
    signal = value / np.sqrt(data.variance[order])
    start = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    size = np.diff(np.r_[start, len(group)])
    shells = shell[asu.group[order][start]]
    cumulative, by_difference = np.zeros((4, n_shells, n_steps)), np.zeros((2, n_steps))
    if (size * (size - 1)).sum() / 2 <= _FEW_PAIRS:
        _add_pairs(np.repeat(np.arange(len(size)), size), dose, value, signal, shells, cumulative, by_difference)
    else:
        from mxdask.intensity.pair_kernels import add_pairs

        add_pairs(np.r_[start, len(group)], dose, value, signal, shells, cumulative, by_difference)
    return np.cumsum(cumulative, axis=2), by_difference


def _add_pairs(
    group: np.ndarray,
    dose: np.ndarray,
    value: np.ndarray,
    signal: np.ndarray,
    shell: np.ndarray,
    cumulative: np.ndarray,
    by_difference: np.ndarray,
) -> None:
    """What ``pair_kernels.add_pairs`` does: first all pairs of neighbours, then those two apart, and so on."""
    n_shells, n_steps = cumulative.shape[1:]
    rows = np.arange(len(group))
    lag = 1
    while True:
        rows = rows[rows + lag < len(group)]
        rows = rows[group[rows] == group[rows + lag]]
        if len(rows) == 0:
            return
        other = rows + lag
        apart, together = np.abs(value[rows] - value[other]), 0.5 * (value[rows] + value[other])
        place = shell[group[rows]] * n_steps + dose[other]
        for k, term in enumerate((apart, np.abs(together), signal[rows] + signal[other], np.full(len(rows), 2.0))):
            cumulative[k] += np.bincount(place, term, n_shells * n_steps).reshape(n_shells, n_steps)
        difference = dose[other] - dose[rows]
        by_difference[0] += np.bincount(difference, apart, n_steps)
        by_difference[1] += np.bincount(difference, together, n_steps)
        lag += 1


def _seen(asu: AsuMap, step: np.ndarray, shell: np.ndarray, n_shells: int, n_steps: int) -> np.ndarray:
    """(4, s, t) reflections seen up to each dose: either hand, I⁺, I⁻, both (a centric one is its own mate)."""
    m, never = len(asu.unique), n_steps
    first = np.full((2, m), never)
    centric = asu.centric[asu.group]
    for hand, rows in ((0, asu.plus | centric), (1, ~asu.plus | centric)):
        np.minimum.at(first[hand], asu.group[rows], step[rows])
    out = np.zeros((4, n_shells, n_steps))
    for k, when in enumerate((first.min(axis=0), first[0], first[1], first.max(axis=0))):
        known = when < never
        place = shell[known] * n_steps + when[known]
        out[k] = np.bincount(place, minlength=n_shells * n_steps).reshape(n_shells, n_steps)
    return np.cumsum(out, axis=2)
