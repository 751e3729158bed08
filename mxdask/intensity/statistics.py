"""Merging statistics per resolution shell and overall: sums that add up, and what is made of them (back.md 14.4).

Sources: Rmeas, Diederichs & Karplus (1997) NSB 4, 269; Rpim, Weiss (2001) J. Appl. Cryst. 34, 130; CC½, Karplus &
Diederichs (2012) Science 336, 1030; σ-τ form, Assmann, Brehm & Diederichs (2016) J. Appl. Cryst. 49, 1021.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy.special import stdtrit

from mxdask.intensity.asu import count_possible, shell_of
from mxdask.intensity.merging import Unmerged, weighted_means

# Probability below which a correlation counts as different from nothing.
SIGNIFICANCE = 0.01


@dataclass(frozen=True)
class ShellSums:
    """Sums over whole groups of equivalents, one element per shell: they add, whatever the blocks.

    Attributes
    ----------
    n_obs, n_unique : observations, unique reflections.
    mean, i_over_sigma : Σ over unique of ⟨I⟩ and of ⟨I⟩/σ.
    intensity : ΣI over observations with a partner.
    r_merge, r_meas, r_pim : numerators of the R values.
    half : (6, s) n, Σx, Σy, Σx², Σy², Σxy of the two half sets' weighted means.
    anomalous_half : (6, s) the same for the Bijvoet differences of the half sets' plain means.
    bijvoet : (2, s) Σ|I⁺ - I⁻|, Σ|⟨I⟩|.
    delta_sigma : (3, s) n, Σ|ΔI|, Σσ(ΔI).
    anomalous_counts : (4, s) observations and unique of I⁺/I⁻ kept apart; acentric with both, unique acentric.
    tau : (4, s) number, Σ mean, Σ mean², Σ Var/n of reflections observed twice or more (plain means).
    """

    n_obs: np.ndarray
    n_unique: np.ndarray
    mean: np.ndarray
    i_over_sigma: np.ndarray
    intensity: np.ndarray
    r_merge: np.ndarray
    r_meas: np.ndarray
    r_pim: np.ndarray
    half: np.ndarray
    anomalous_half: np.ndarray
    bijvoet: np.ndarray
    delta_sigma: np.ndarray
    anomalous_counts: np.ndarray
    tau: np.ndarray

    @classmethod
    def chunk(cls, data: Unmerged, d_edges: np.ndarray, seed: int = 0) -> ShellSums:
        """Sums of a set of complete groups.

        Parameters
        ----------
        d_edges : (s + 1,) falling Å.
        seed : of the half-set assignment.
        """
        return _chunk(data, d_edges, seed)

    def combine(self, other: ShellSums) -> ShellSums:
        """Sums of both."""
        return ShellSums(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def overall(self) -> ShellSums:
        """All shells together."""
        return ShellSums(**{f.name: getattr(self, f.name).sum(axis=-1, keepdims=True) for f in fields(self)})


@dataclass(frozen=True)
class MergingStatistics:
    """What people publish, one element per shell; NaN where it is not defined.

    Attributes
    ----------
    d_max, d_min : Å.
    completeness, anomalous_completeness : percent.
    cc_half_significant, cc_anom_significant : better than chance (Student's t, p < 0.01).
    """

    d_max: np.ndarray
    d_min: np.ndarray
    n_obs: np.ndarray
    n_unique: np.ndarray
    multiplicity: np.ndarray
    completeness: np.ndarray
    mean_I: np.ndarray
    I_over_sigma: np.ndarray
    Rmerge: np.ndarray
    Rmeas: np.ndarray
    Rpim: np.ndarray
    Ranom: np.ndarray
    CC_half: np.ndarray
    CC_half_significant: np.ndarray
    CC_half_sigma_tau: np.ndarray
    CC_anom: np.ndarray
    CC_anom_significant: np.ndarray
    anomalous_completeness: np.ndarray
    anomalous_multiplicity: np.ndarray
    delta_I_over_sigma: np.ndarray

    def row(self, shell: int) -> dict[str, Any]:
        """One shell as plain numbers (None where undefined)."""
        return {f.name: _plain(getattr(self, f.name)[shell]) for f in fields(self)}

    def as_lists(self) -> dict[str, list[Any]]:
        """All shells as plain lists."""
        return {f.name: [_plain(v) for v in getattr(self, f.name)] for f in fields(self)}


def shell_edges(data: Unmerged, n_shells: int) -> np.ndarray:
    """(n_shells + 1,) falling Å: shells of equal volume over the observed range.

    The range is widened by a millionth on both ends, so that the extreme reflections lie inside.
    """
    low, high = float(data.inverse_d_squared.min()), float(data.inverse_d_squared.max())
    margin = 1e-6 * max(high - low, 1e-3 * high)
    radii = np.cbrt(np.linspace((low - margin) ** 1.5, (high + margin) ** 1.5, n_shells + 1))
    return 1.0 / radii


def merging_statistics(
    data: Unmerged, d_edges: np.ndarray, seed: int = 0
) -> tuple[MergingStatistics, MergingStatistics]:
    """Statistics per shell, and of everything together (one element)."""
    sums = ShellSums.chunk(data, d_edges, seed)
    shell = shell_of(data.inverse_d_squared, d_edges)
    possible, acentric = count_possible(data.cell, data.space_group, d_edges, _reach(data, shell, d_edges))
    inside = data.inverse_d_squared[shell >= 0]
    limits = np.array([1 / np.sqrt(inside.min()), 1 / np.sqrt(inside.max())])
    total, total_acentric = count_possible(data.cell, data.space_group, limits)
    return finalise(sums, d_edges, possible, acentric), finalise(sums.overall(), limits, total, total_acentric)


def _reach(data: Unmerged, shell: np.ndarray, d_edges: np.ndarray) -> np.ndarray:
    """(s,) Å, highest resolution observed in each shell: beyond it nothing is counted as missing (as cctbx does)."""
    reach = 1.0 / d_edges[:-1] ** 2
    inside = shell >= 0
    np.maximum.at(reach, shell[inside], data.inverse_d_squared[inside])
    return 1.0 / np.sqrt(reach)


def finalise(sums: ShellSums, d_edges: np.ndarray, possible: np.ndarray, acentric: np.ndarray) -> MergingStatistics:
    """Statistics of shells from their sums.

    Parameters
    ----------
    possible, acentric : (s,) how many unique reflections exist, and how many of them have two hands.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        cc_half, n_half = correlation(sums.half)
        cc_anom, n_anom = correlation(sums.anomalous_half)
        pairs_obs, pairs_unique, both, _ = sums.anomalous_counts
        return MergingStatistics(
            d_edges[:-1], d_edges[1:], sums.n_obs, sums.n_unique, sums.n_obs / sums.n_unique,
            np.minimum(100.0, 100.0 * sums.n_unique / possible), sums.mean / sums.n_unique,
            sums.i_over_sigma / sums.n_unique, sums.r_merge / sums.intensity, sums.r_meas / sums.intensity,
            sums.r_pim / sums.intensity, sums.bijvoet[0] / sums.bijvoet[1],
            cc_half, _is_significant(cc_half, n_half), sigma_tau_cc(sums.tau),
            cc_anom, _is_significant(cc_anom, n_anom),
            np.minimum(100.0, 100.0 * both / acentric), pairs_obs / pairs_unique,
            sums.delta_sigma[1] / sums.delta_sigma[2],
        )  # fmt: skip


def half_sets(group: np.ndarray, serial: np.ndarray, seed: int = 0) -> np.ndarray:
    """(n,) 0 or 1: a fair random split within each group, the same however the data are cut.

    Within a group observations are ranked by a hash of (group's serial, own place in the group, seed); even ranks
    form one half, odd ranks the other; which of them gets the odd one out is random too.

    Parameters
    ----------
    group : (n,) group of each observation.
    serial : (n,) integer that identifies the group whatever the blocking, e.g. the packed index.
    """
    n = len(group)
    place = _rank_within(group, np.arange(n))
    token = _hash(serial.astype(np.uint64) ^ _hash(place.astype(np.uint64) + np.uint64(seed) * np.uint64(0x9E3779B9)))
    rank = _rank_within(group, token)
    flip = _hash(serial.astype(np.uint64) + np.uint64(seed) + np.uint64(0x5851F42D)) & np.uint64(1)
    return (rank + flip.astype(np.int64)) % 2


def correlation(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pearson's coefficient (NaN for fewer than two pairs) and n from (6, s): n, Σx, Σy, Σx², Σy², Σxy."""
    n, x, y, xx, yy, xy = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        value = (xy - x * y / n) / np.sqrt((xx - x * x / n) * (yy - y * y / n))
    return np.where(n > 1, np.clip(value, -1.0, 1.0), np.nan), n


def sigma_tau_cc(sums: np.ndarray) -> np.ndarray:
    """CC½ without random halves: (s_y - s_e)/(s_y + s_e), from (4, s) n, Σ mean, Σ mean², Σ Var/n."""
    n, mean, square, error = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        s_y = (square - mean * mean / n) / (n - 1)
        s_e = error / n
        return np.where(n > 1, (s_y - s_e) / (s_y + s_e), np.nan)


def half_set_sums(data: Unmerged, d_edges: np.ndarray, seed: int = 0) -> np.ndarray:
    """(6, s) for :func:`correlation`: weighted means of two random halves of the observations of each reflection."""
    asu, m = data.asu, len(data.asu.unique)
    halves = half_sets(asu.group, serial_numbers(asu.unique)[asu.group], seed)
    shell = shell_of(data.inverse_d_squared, d_edges)
    return _pair_sums(*_half_means(asu.group, m, data.intensity, data.variance, halves), shell, len(d_edges) - 1)


def tau_sums(data: Unmerged, d_edges: np.ndarray) -> np.ndarray:
    """(4, s) for :func:`sigma_tau_cc`."""
    shell = shell_of(data.inverse_d_squared, d_edges)
    inside = shell[data.asu.group] >= 0
    return _tau_sums(data.asu.group[inside], len(data.asu.unique), data.intensity[inside], shell, len(d_edges) - 1)


def _chunk(data: Unmerged, d_edges: np.ndarray, seed: int) -> ShellSums:
    s = len(d_edges) - 1
    shell = shell_of(data.inverse_d_squared, d_edges)
    asu = data.asu
    inside = shell[asu.group] >= 0
    group, plus = asu.group[inside], asu.plus[inside]
    value, variance = data.intensity[inside], data.variance[inside]
    m = len(asu.unique)
    means = weighted_means(group, m, value, variance)

    def per_shell(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.bincount(shell[rows], values[rows], s)

    seen = np.flatnonzero(means.n > 0)
    several = np.flatnonzero(means.n > 1)
    deviation = np.bincount(group, np.abs(value - means.mean[group]), m)
    with np.errstate(divide="ignore", invalid="ignore"):
        meas, pim = np.sqrt(means.n / (means.n - 1.0)), np.sqrt(1.0 / (means.n - 1.0))
        halves = half_sets(group, serial_numbers(asu.unique)[group], seed)
        half = _pair_sums(*_half_means(group, m, value, variance, halves), shell, s)
        return ShellSums(
            n_obs=np.bincount(shell[group], minlength=s),
            n_unique=np.bincount(shell[seen], minlength=s),
            mean=per_shell(means.mean, seen),
            i_over_sigma=per_shell(means.mean / means.sigma, seen),
            intensity=per_shell(np.bincount(group, value, m), several),
            r_merge=per_shell(deviation, several),
            r_meas=per_shell(deviation * meas, several),
            r_pim=per_shell(deviation * pim, several),
            half=half,
            tau=_tau_sums(group, m, value, shell, s),
            **_anomalous_sums(group, plus, asu.centric, value, variance, shell, s, serial_numbers(asu.unique), seed),
        )


def _tau_sums(group: np.ndarray, m: int, value: np.ndarray, shell: np.ndarray, s: int) -> np.ndarray:
    """(4, s) for :func:`sigma_tau_cc`."""
    n = np.bincount(group, minlength=m)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(group, value, m) / n
        variance = np.bincount(group, (value - mean[group]) ** 2, m) / (n - 1)
    rows = np.flatnonzero(n > 1)
    terms = (np.ones(m), mean, mean**2, variance / n)
    return np.stack([np.bincount(shell[rows], t[rows], s) for t in terms])


def _anomalous_sums(
    group: np.ndarray,
    plus: np.ndarray,
    centric: np.ndarray,
    value: np.ndarray,
    variance: np.ndarray,
    shell: np.ndarray,
    s: int,
    serial: np.ndarray,
    seed: int,
) -> dict[str, np.ndarray]:
    """The sums that keep Friedel mates apart."""
    m = len(centric)
    hand = 2 * group + ~plus
    means = weighted_means(hand, 2 * m, value, variance)
    n = means.n.reshape(m, 2)
    mean, sigma = means.mean.reshape(m, 2), means.sigma.reshape(m, 2)
    both = np.flatnonzero((n > 0).all(axis=1) & ~centric)
    delta = np.abs(mean[:, 0] - mean[:, 1])
    total = np.abs(weighted_means(group, m, value, variance).mean)
    delta_sigma = np.hypot(sigma[:, 0], sigma[:, 1])

    def per_shell(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.bincount(shell[rows], values[rows], s)

    halves = half_sets(hand, np.repeat(serial, 2)[hand] * 2 + ~plus, seed)
    first, second = _half_means(hand, 2 * m, value, np.ones(len(value)), halves)
    difference = [h.reshape(m, 2)[:, 0] - h.reshape(m, 2)[:, 1] for h in (first, second)]
    everything = np.arange(m)
    counts = [n.sum(axis=1), (n > 0).sum(axis=1), np.isin(everything, both), (n > 0).any(axis=1) & ~centric]
    return {
        "anomalous_half": _pair_sums(difference[0], difference[1], shell, s),
        "bijvoet": np.stack([per_shell(delta, both), per_shell(total, both)]),
        "delta_sigma": np.stack([per_shell(v, both) for v in (np.ones(m), delta, delta_sigma)]),
        "anomalous_counts": np.stack([per_shell(c.astype(np.float64), np.flatnonzero(shell >= 0)) for c in counts]),
    }


def _half_means(
    group: np.ndarray, m: int, value: np.ndarray, variance: np.ndarray, half: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted means (m,) of the two halves, NaN where a half is empty."""
    first, second = (weighted_means(group[r], m, value[r], variance[r]).mean for r in (half == 0, half == 1))
    return first, second


def _pair_sums(x: np.ndarray, y: np.ndarray, shell: np.ndarray, s: int) -> np.ndarray:
    """(6, s) n, Σx, Σy, Σx², Σy², Σxy of the pairs that are both defined."""
    rows = np.flatnonzero(np.isfinite(x) & np.isfinite(y) & (shell >= 0))
    x, y, where = x[rows], y[rows], shell[rows]
    terms = (np.ones(len(x)), x, y, x * x, y * y, x * y)
    return np.stack([np.bincount(where, t, s) for t in terms])


def serial_numbers(unique: np.ndarray) -> np.ndarray:
    """(m,) i8 that identify reflections whatever else is there: indices (m, 3) packed."""
    h = unique.astype(np.int64) + (1 << 20)
    return (h[:, 0] << 42) | (h[:, 1] << 21) | h[:, 2]


def _rank_within(group: np.ndarray, key: np.ndarray) -> np.ndarray:
    """(n,) position 0, 1, … of each element within its group when sorted by key."""
    order = np.lexsort((key, group))
    ordered = group[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(group) else np.zeros(0, np.int64)
    rank = np.empty(len(group), dtype=np.int64)
    rank[order] = np.arange(len(group)) - np.repeat(starts, np.diff(np.r_[starts, len(group)]))
    return rank


def _hash(x: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser (Steele, Lea & Flood 2014): a well-mixed 64-bit value per element."""
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def _is_significant(value: np.ndarray, n: np.ndarray) -> np.ndarray:
    t = stdtrit(np.maximum(n - 2, 1), 1 - SIGNIFICANCE)
    return (n > 2) & (value > t / np.sqrt(np.maximum(n - 2, 1) + t * t))


def _plain(value: Any) -> Any:
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    return float(value) if np.isfinite(value) else None
