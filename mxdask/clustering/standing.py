"""How each crystal stands to its group: weak, damaged, unlike the others, or undecided."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.clustering.crystal_data import CrystalData
from mxdask.clustering.partition import Partition, intensity_variance
from mxdask.clustering.species_model import GroupMeans

# Limits; nothing subtle lies near them.
_FEWEST = 30  # reflections that others measured too
_WEAK = 1 / 20  # of the median of (I/σ)²
_LEAST_EXCESS = 0.005  # 1 - CC to its group, above that of the others
_DEVIATIONS = 5.0
_FEWEST_MEMBERS = 4  # of a group that can tell which of its crystals is at fault
_DECISIVE = 5.0  # log odds of the best group over the next
_LEAST_DECAY, _MUCH_DECAY = 5.0, 5.0  # Å² during the sweep; robust deviations from the others
_MAD = 1.4826


@dataclass(frozen=True, eq=False)
class Standing:
    """Per crystal.

    Attributes
    ----------
    n_common : reflections that another crystal measured too.
    signal : root of the mean of (expected intensity)/σ², about I/σ.
    excess, excess_sigma : 1 - CC between its true intensities and its group's, errors taken out; standard error.
    share : how much of what tells its group from the rest is found in it: 1 for a member, 0 for something else; NaN
        with one group. share_sigma : its standard error.
    margin : log odds of its group over the next; infinite with one group.
    """

    n_common: np.ndarray
    signal: np.ndarray
    excess: np.ndarray
    excess_sigma: np.ndarray
    share: np.ndarray
    share_sigma: np.ndarray
    margin: np.ndarray


def stand(data: CrystalData, found: Partition) -> Standing:
    """Measure all crystals against their groups, always without their own contribution."""
    n, crystal = data.n_crystals, data.crystal
    means = GroupMeans.of(data, found.label, found.noise.variance(data), found.t)
    mean, precision, middle = means.own_predictions()
    known = precision > 0
    v = data.expected[data.reflection]
    variance = means.variance + np.divide(1.0, precision, out=np.zeros(len(v)), where=known)
    weight = known / variance
    rows = np.bincount(crystal, known, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        signal = np.sqrt(np.bincount(crystal, v / data.variance, n) / np.bincount(crystal, minlength=n))
        sigma_u = np.sqrt(2.0 / np.bincount(crystal, (weight * v) ** 2, n))
    spread = intensity_variance(data, means.variance)
    share, share_sigma, margin = np.full(n, np.nan), np.full(n, np.inf), np.full(n, np.inf)
    if found.n_groups > 1:
        own = mean - middle
        power = np.bincount(crystal, weight * own**2, n)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.bincount(crystal, weight * own * (data.value - middle), n) / power
            share_sigma = 1.0 / np.sqrt(power)
        odds = means.log_likelihoods()
        best = odds[np.arange(n), found.label]
        odds[np.arange(n), found.label] = -np.inf
        margin = best - odds.max(axis=1)
    return Standing(rows, signal, found.noise.u / spread, sigma_u / spread, share, share_sigma, margin)


def judge(standing: Standing, label: np.ndarray, decay: np.ndarray | None) -> tuple[np.ndarray, list[str], list[str]]:
    """Labels with -1 for crystals that belong to none; flaw and reason of each ("" for sound members).

    A weak or damaged crystal whose group is beyond doubt stays in it, with its flaw named.
    """
    label = label.copy()
    several, size = label.max(initial=0) > 0, np.bincount(label)[label]
    sound = (standing.n_common >= _FEWEST) & np.isfinite(standing.signal)
    usual_signal = float(np.median(standing.signal[sound])) if sound.any() else 1.0
    usual, limit = _usual(standing.excess[sound], _DEVIATIONS, _LEAST_EXCESS)
    growth = np.zeros(len(label)) if decay is None else np.nan_to_num(decay)
    usual_growth, most_growth = _usual(growth, _MUCH_DECAY, _LEAST_DECAY)
    flaws, reasons = [], []
    for i in range(len(label)):
        flaw, reason, belongs = "", "", True
        excess, signal = standing.excess[i], standing.signal[i]
        alike = several and standing.share[i] > 0.5 and standing.margin[i] > _DECISIVE
        if standing.n_common[i] < _FEWEST:
            flaw, belongs = "few", False
            reason = f"has {standing.n_common[i]:.0f} reflections in common with the others"
        elif signal**2 < _WEAK * usual_signal**2:
            flaw, belongs = "weak", alike or not several
            reason = f"weak: I/σ about {signal:.1f}, the others {usual_signal:.1f}"
        elif growth[i] > most_growth:
            flaw, belongs = "damaged", alike or not several
            reason = f"damaged: B grows by {growth[i]:.0f} Å² during the sweep, of the others by {usual_growth:.1f}"
        elif size[i] >= _FEWEST_MEMBERS and excess - usual > max(limit, _DEVIATIONS * standing.excess_sigma[i]):
            flaw, belongs = ("disturbed", True) if alike else ("unlike", False)
            what = "damaged or mismeasured: differs from its group" if alike else (
                "unlike every group: differs from the nearest" if several else "unlike the others: differs from them"
            )  # fmt: skip
            reason = f"{what} by 1 - CC = {excess:.3f} beyond its errors, the others by {usual:.4f}"
        elif several and standing.margin[i] < _DECISIVE:
            flaw, belongs = "undecided", False
            reason = "its intensities fit more than one group"
        if not belongs:
            label[i] = -1
            reason += "" if flaw not in ("weak", "damaged") else "; cannot tell which group it belongs to"
        flaws.append(flaw)
        reasons.append(reason)
    return label, flaws, reasons


def _usual(values: np.ndarray, deviations: float, least: float) -> tuple[float, float]:
    """Median, and how far above it is far: so many robust standard deviations, and at least ``least``."""
    if len(values) == 0:
        return 0.0, least
    middle = float(np.median(values))
    return middle, max(least, deviations * _MAD * float(np.median(np.abs(values - middle))))
