"""Which data sets or groups of images harm the merged data: CC½ of everything without each of them in turn.

CC½ in its σ-τ form and its change ΔCC½: Assmann, Brehm & Diederichs (2016) J. Appl. Cryst. 49, 1021, with plain means
and shells equal in 1/d², as dials.compute_delta_cchalf has it (back.md 14.1, 14.2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Standard deviation of a normal distribution over its median absolute deviation.
_MAD_TO_SD = 1.4826
# Part of a shell's width by which a reflection may miss the shell's lower edge and still belong to it.
_ON_EDGE = 1e-9
# Part of a sum that is lost in rounding when most of it is taken off again.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class DeltaCCHalf:
    """CC½ with and without each group, as fractions.

    Attributes
    ----------
    cc_half : of all observations: mean over shells, weighted by how many reflections each has more than once.
    per_group : (g,) CC½ of everything but one group; NaN for a group without observations.
    delta : (g,) ``cc_half - per_group``: negative where the data are better without the group.
    n_observations : (g,) size of each group.
    """

    cc_half: float
    per_group: np.ndarray
    delta: np.ndarray
    n_observations: np.ndarray


@dataclass(frozen=True)
class Cutoff:
    """Where ΔCC½ is low enough for a group to be removed: ``value = centre - stdcutoff·spread``."""

    centre: float
    spread: float
    value: float


def leave_one_out(
    hkl_asu_index: np.ndarray,
    group: np.ndarray,
    intensity: np.ndarray,
    d_star_sq: np.ndarray,
    n_groups: int,
    n_shells: int = 10,
) -> DeltaCCHalf:
    """ΔCC½ of every group, from sums: O(observations), however many groups there are.

    Parameters
    ----------
    hkl_asu_index : (n,) i8, any number that observations of one unique reflection share.
    group : (n,) in [0, n_groups): data set or group of images.
    intensity : (n,) scaled.
    d_star_sq : (n,) 1/d², Å⁻², of the unique reflection (one cell for all).
    n_shells : shells of equal width in 1/d², over the range of these observations.

    Returns
    -------
    DeltaCCHalf : ``cc_half`` is NaN when no shell has two reflections observed twice or more.
    """
    sums = _Sums.of(hkl_asu_index, group, intensity, d_star_sq, n_groups, n_shells)
    n_observations = np.bincount(group, minlength=n_groups)
    without = _cc_half(sums.without)
    per_group = np.where(n_observations > 0, without, np.nan)
    cc_half = float(_cc_half(sums.total[:, None, :])[0])
    return DeltaCCHalf(cc_half, per_group, cc_half - per_group, n_observations)


def disagreement(
    hkl_asu_index: np.ndarray,
    group: np.ndarray,
    intensity: np.ndarray,
    variance: np.ndarray,
    d_star_sq: np.ndarray,
    n_groups: int,
    n_shells: int = 10,
    n_draws: int = 40,
    seed: int = 0,
) -> np.ndarray:
    """How many standard deviations CC½ lies below (negative) what each group's errors would let expect.

    A group that measures the same intensities as all others has a CC½, and so a ΔCC½, that follows from the variances.
    It is drawn ``n_draws`` times, its observations replaced by what the others say, plus noise. A weak group may lower
    CC½ a lot, as is to be expected of it; one of another structure lowers it a little, but more than expected. The
    deviations of all shells count alike (their sum over √shells): in the mean CC½ the outermost hide the others.

    Parameters
    ----------
    As of :func:`leave_one_out`; ``variance`` (n,) of the intensities.

    Returns
    -------
    (g,) NaN where nothing can be said.
    """
    sums = _Sums.of(hkl_asu_index, group, intensity, d_star_sq, n_groups, n_shells)
    weight = 1.0 / np.asarray(variance, dtype=np.float64)[sums.order]
    whole = np.bincount(sums.h, weight)[sums.pair_h]
    others = np.maximum(whole - np.bincount(sums.pair, weight), _ROUNDING * whole)
    total = np.bincount(sums.h, weight * sums.deviation)[sums.pair_h] - np.bincount(sums.pair, weight * sums.deviation)
    known = sums.left[0] > 0
    others = np.where(known, others, 1.0)
    # What the others say, drawn towards the mean of the shell as far as it is uncertain: else the drawn intensities
    # would differ more from each other than true ones do.
    n, first, square, error = sums.total
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.nan_to_num((square - first**2 / n) / (n - 1) - error / n)
    spread = np.maximum(spread, 0.0)[sums.shell[sums.pair_h]]
    trust = spread * others / (spread * others + 1.0)
    height = sums.height[sums.pair_h]
    mean = np.where(known, trust * (height + total / others) - height, 0.0)
    uncertainty = np.sqrt(trust / others)
    random = np.random.default_rng(seed)
    draws = np.empty((n_draws, n_groups, n_shells))
    for row in draws:
        true = mean + random.standard_normal(len(mean)) * uncertainty
        noise = random.standard_normal(len(weight)) / np.sqrt(weight)
        row[:] = _shell_cc_half(sums.with_drawn(np.where(known[sums.pair], true[sums.pair] + noise, sums.deviation)))[0]
    seen = _shell_cc_half(sums.total[:, None, :])[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (seen - draws.mean(axis=0)) / draws.std(axis=0, ddof=1)
        some = np.isfinite(z)
        return np.where(some, z, 0.0).sum(axis=1) / np.sqrt(some.sum(axis=1))


@dataclass(frozen=True)
class _Sums:
    """What CC½ needs, of everything and of everything without each group.

    Attributes
    ----------
    order : (n,) the observations by reflection; h, pair (n,): reflection, and (reflection, group) pair, of each.
    deviation : (n,) intensity from its reflection's mean: sums of squares then lose no digits.
    pair_h, pair_group : (p,) of each pair.
    shell : (m,) of each reflection; height (m,): its mean, from the mean of the shell.
    left : (3, p) number, sum and sum of squares of deviations without the pair.
    total : (4, s) terms of all; without (4, g, s): of everything but a group.
    """

    order: np.ndarray
    h: np.ndarray
    pair: np.ndarray
    deviation: np.ndarray
    pair_h: np.ndarray
    pair_group: np.ndarray
    shell: np.ndarray
    height: np.ndarray
    left: np.ndarray
    total: np.ndarray
    without: np.ndarray

    @classmethod
    def of(
        cls, hkl: np.ndarray, group: np.ndarray, intensity: np.ndarray, s: np.ndarray, n_groups: int, n_shells: int
    ) -> _Sums:
        """From observations, as :func:`leave_one_out` takes them."""
        order = np.argsort(hkl, kind="stable")
        hkl = np.asarray(hkl)[order]
        first = np.flatnonzero(np.diff(hkl, prepend=hkl[0] - 1)) if len(hkl) else np.zeros(0, np.int64)
        m = len(first)
        h = np.repeat(np.arange(m), np.diff(first, append=len(hkl)))
        group, value = np.asarray(group, dtype=np.int64)[order], np.asarray(intensity, dtype=np.float64)[order]
        shell = _shells(np.asarray(s)[order][first], n_shells)

        n = np.bincount(h, minlength=m)
        mean = np.bincount(h, value, m) / n
        deviation = value - mean[h]
        square = np.bincount(h, deviation**2, m)
        centre = np.bincount(shell, mean, n_shells) / np.maximum(np.bincount(shell, minlength=n_shells), 1)
        height = mean - centre[shell]
        whole = _terms(np.stack([n, np.zeros(m), square]), height)
        total = np.stack([np.bincount(shell, term, n_shells) for term in whole])

        # Removing a group changes only the reflections it has observed, so the sums of a shell without it are those
        # of all data, less what these reflections gave, plus what is left of them.
        pair, pair_h, pair_group = _pairs(h, group, n_groups)
        p = len(pair_h)
        left = np.stack([n[pair_h], np.zeros(p), square[pair_h]]) - _moments(pair, deviation, p)
        cell = pair_group * n_shells + shell[pair_h]
        change = [
            np.bincount(cell, a - b[pair_h], n_groups * n_shells)
            for a, b in zip(_terms(left, height[pair_h]), whole, strict=True)
        ]
        without = total[:, None, :] + np.stack(change).reshape(4, n_groups, n_shells)
        return cls(order, h, pair, deviation, pair_h, pair_group, shell, height, left, total, without)

    def with_drawn(self, deviation: np.ndarray) -> np.ndarray:
        """(4, g, s) terms of everything, each group having these deviations (n,) instead of its own."""
        _, n_groups, n_shells = self.without.shape
        height = self.height[self.pair_h]
        new = _terms(self.left + _moments(self.pair, deviation, len(self.pair_h)), height)
        cell = self.pair_group * n_shells + self.shell[self.pair_h]
        change = [
            np.bincount(cell, a - b, n_groups * n_shells) for a, b in zip(new, _terms(self.left, height), strict=True)
        ]
        return np.asarray(self.without + np.stack(change).reshape(4, n_groups, n_shells))


def _moments(pair: np.ndarray, deviation: np.ndarray, n_pairs: int) -> np.ndarray:
    """(3, p) number, sum and sum of squares of the deviations of each pair."""
    return np.stack([np.bincount(pair, v, n_pairs) for v in (np.ones(len(pair)), deviation, deviation**2)])


def removal_cutoff(delta: np.ndarray, stdcutoff: float = 4.0, *, robust: bool = False) -> Cutoff:
    """Groups with ΔCC½ below this harm.

    Parameters
    ----------
    delta : (g,) ΔCC½; NaN are left out.
    robust : median and 1.4826 times the median absolute deviation instead of mean and standard deviation, which the
        very outliers that are looked for widen.
    """
    known = delta[np.isfinite(delta)]
    if len(known) == 0:
        return Cutoff(np.nan, np.nan, np.nan)
    if robust:
        centre = float(np.median(known))
        spread = float(_MAD_TO_SD * np.median(np.abs(known - centre)))
    else:
        centre, spread = float(known.mean()), float(known.std())
    return Cutoff(centre, spread, centre - stdcutoff * spread)


def _shells(s: np.ndarray, n_shells: int) -> np.ndarray:
    """(m,) shell of each reflection: equal widths in 1/d² from the lowest to the highest."""
    if len(s) == 0:
        return np.zeros(0, dtype=np.int64)
    low, width = s.min(), np.ptp(s) / n_shells
    if width == 0:
        return np.zeros(len(s), dtype=np.int64)
    # In a cubic cell edges fall upon reflections: rounding must not scatter these over both shells.
    return np.clip(np.floor((s - low) / width + _ON_EDGE).astype(np.int64), 0, n_shells - 1)


def _pairs(h: np.ndarray, group: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n,) which (reflection, group) pair an observation belongs to; reflection and group of each pair."""
    pairs, pair = np.unique(h * n_groups + group, return_inverse=True)
    return pair, pairs // n_groups, pairs % n_groups


def _terms(moments: np.ndarray, height: np.ndarray) -> tuple[np.ndarray, ...]:
    """What a reflection gives to its shell: 1, mean, mean², Var/n; nothing unless it was observed twice or more.

    Parameters
    ----------
    moments : (3, m) number, sum and sum of squares of deviations from any fixed value.
    height : that value, from a zero of the shell.
    """
    n, total, square = moments
    several = n > 1
    count = np.where(several, n, 2)
    mean = np.where(several, height + total / count, 0.0)
    variance = np.where(several, np.maximum(square - total**2 / count, 0.0) / ((count - 1) * count), 0.0)
    return several.astype(np.float64), mean, mean**2, variance


def _cc_half(sums: np.ndarray) -> np.ndarray:
    """(g,) CC½, the mean over shells weighted by their reflections, from (4, g, s) n, Σ mean, Σ mean², Σ Var/n."""
    cc, weight = _shell_cc_half(sums)
    with np.errstate(invalid="ignore"):
        return np.asarray((weight * np.where(weight > 0, cc, 0.0)).sum(axis=1) / weight.sum(axis=1))


def _shell_cc_half(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(g, s) CC½ and number of reflections of each shell; none where CC½ is not defined."""
    n, mean, square, error = sums
    n = np.rint(n)
    with np.errstate(divide="ignore", invalid="ignore"):
        s_y = (square - mean**2 / n) / (n - 1)
        s_e = error / n
        cc = (s_y - s_e) / (s_y + s_e)
    return cc, np.where((n > 1) & np.isfinite(cc), n, 0.0)
