"""Which of profile-fitted and summed intensities agree best (back.md 9.3)."""

from __future__ import annotations

import logging

import numpy as np

from mxdask.intensity.merging import weighted_means
from mxdask.intensity.observations import combine_intensities, i_mid_candidates
from mxdask.scale.pool import Pool
from mxdask.text import text_table

_log = logging.getLogger(__name__)

_MIN_OBSERVATIONS = 50


def choose_i_mid(pool: Pool, g: np.ndarray, good: np.ndarray, joint: bool) -> tuple[np.ndarray, list[dict[str, float]]]:
    """The midpoint with the lowest Rmeas of observations above 1 σ.

    Parameters
    ----------
    g : (n,) inverse scale factors known so far.
    good : (n,) bool, observations that count.
    joint : one choice for all crystals; else each its own.

    Returns
    -------
    i_mid : (e,) counts; 0 profile-fitted only, 1 summed only.
    trials : the joint comparison, {"Imid", "Rmeas"} each.
    """
    n_crystals = len(pool.layout.models)
    rows = np.flatnonzero(good & pool.both)
    if len(rows) < _MIN_OBSERVATIONS:
        return np.full(n_crystals, 0.0 if np.any(pool.both) else 1.0), []
    trials = _trials(pool, rows, g)
    _log.info(text_table(("combination", "Rmeas"), [(_name(t["Imid"]), f"{t['Rmeas']:.5f}") for t in trials]))
    best = min(trials, key=lambda t: t["Rmeas"])["Imid"]
    chosen = np.full(n_crystals, best)
    if not joint:
        for crystal in range(n_crystals):
            own = rows[pool.experiment[rows] == crystal]
            if len(own) >= _MIN_OBSERVATIONS:
                own_trials = _trials(pool, own, g)
                if own_trials:
                    chosen[crystal] = min(own_trials, key=lambda t: t["Rmeas"])["Imid"]
    return chosen, trials


def r_meas(group: np.ndarray, value: np.ndarray, variance: np.ndarray) -> float:
    """Rmeas of observations above 1 σ; infinite when nothing was observed twice."""
    strong = value > np.sqrt(variance)
    _, group = np.unique(group[strong], return_inverse=True)
    value, variance = value[strong], variance[strong]
    m = int(group.max()) + 1 if len(group) else 0
    means = weighted_means(group, m, value, variance)
    n = means.n[group]
    several = n > 1
    if not np.any(several):
        return np.inf
    deviation = np.abs(value - means.mean[group]) * np.sqrt(n / np.maximum(n - 1.0, 1.0))
    return float(deviation[several].sum() / value[several].sum())


def _trials(pool: Pool, rows: np.ndarray, g: np.ndarray) -> list[dict[str, float]]:
    out = []
    prf, summed, raw_sum, g = pool.prf[rows].T, pool.sum[rows].T, pool.raw_sum[rows], g[rows]
    group = pool.design.group[rows]
    for candidate in i_mid_candidates(raw_sum):
        value, variance = combine_intensities((prf[0], prf[1]), (summed[0], summed[1]), raw_sum, candidate)
        r = r_meas(group, value / g, variance / g**2)
        if np.isfinite(r) and r > 0:
            out.append({"Imid": candidate, "Rmeas": r})
    return out or [{"Imid": 0.0, "Rmeas": np.inf}]


def _name(i_mid: float) -> str:
    return {0.0: "profile-fitted", 1.0: "summed"}.get(i_mid, f"Imid = {i_mid:.2f}")
