"""Search for the partition of crystals that their intensities support."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from mxdask.clustering.crystal_data import CrystalData
from mxdask.clustering.similarity import coordinates, residual_similarity
from mxdask.clustering.species_model import GroupMeans, Noise, refit_noise

MOST_PARTS = 8  # tried when one group is divided; its parts are tried again
_ROUNDS = 12
_NOISE_ROUNDS = 3


@dataclass(frozen=True)
class Evidence:
    """What it takes to call two groups different.

    Attributes
    ----------
    per_crystal, constant : log likelihood that a division has to gain. Assigning n crystals to fit noise gains about n.
    difference : 1 - CC of the true intensities below which groups count as one: errors that crystals share (absorption,
        a wrong detector model) make differences of a few parts in a thousand.
    """

    per_crystal: float = 3.0
    constant: float = 10.0
    difference: float = 0.002

    def needed(self, n_crystals: int, n_groups: int) -> float:
        return self.per_crystal * n_crystals * np.log2(max(n_groups, 2)) + self.constant * (n_groups - 1)


def one_group_noise(data: CrystalData) -> Noise:
    """Errors of the crystals if they were all alike: differences between groups count as noise."""
    noise = Noise.start(data)
    for _ in range(_NOISE_ROUNDS):
        means = GroupMeans.of(data, np.zeros(data.n_crystals, dtype=np.int64), noise.variance(data), t=0.0)
        noise = refit_noise(means, noise)
    return noise


def find_partition(data: CrystalData, evidence: Evidence) -> np.ndarray:
    """(c,) group of each crystal, 0 … g - 1: divided until no part divides further, then joined where too alike."""
    parts, done = [np.arange(data.n_crystals)], []
    while parts:
        members = parts.pop()
        label = divide(data.of(members), evidence)
        if label.max(initial=0) == 0:
            done.append(members)
        else:
            parts += [members[label == g] for g in range(label.max() + 1)]
    label = np.zeros(data.n_crystals, dtype=np.int64)
    for g, members in enumerate(sorted(done, key=lambda m: int(m[0]))):
        label[members] = g
    label, _ = settle(data, label, one_group_noise(data))
    return join_alike(data, label, evidence)


def divide(data: CrystalData, evidence: Evidence) -> np.ndarray:
    """(c,) the best division of what may be one group; all zero if nothing supports one.

    Ward's tree of the residual coordinates is cut into 2, 3 … parts, each refined by the model. Gains are counted with
    the errors that fit one group, which is cautious: there the difference between groups is part of the errors.
    """
    c = data.n_crystals
    best, best_score = np.zeros(c, dtype=np.int64), 0.0
    if c < 4:
        return best
    noise = one_group_noise(data)
    variance = noise.variance(data)
    points, _, _ = coordinates(residual_similarity(data, variance))
    tree = linkage(points, "ward")
    misses = 0
    for k in range(2, min(MOST_PARTS, c // 2) + 1):
        start = compact(fcluster(tree, k, criterion="maxclust") - 1)
        label, _ = settle(data, start, noise)
        if label.max() > 0:
            label = join_alike(data, label, evidence, variance)
        if label.max() == 0:
            continue
        score = GroupMeans.of(data, label, variance).gain() - evidence.needed(c, int(label.max()) + 1)
        if score > best_score:
            best, best_score, misses = label, score, 0
        else:
            misses += 1
        if misses >= 2 and best_score > 0:
            break
    return best


def settle(data: CrystalData, label: np.ndarray, noise: Noise) -> tuple[np.ndarray, Noise]:
    """Move every crystal to the group that predicts it best, re-estimating errors, until nothing moves.

    Groups left with one crystal are dissolved.
    """
    label = compact(label)
    for _ in range(_ROUNDS):
        means = GroupMeans.of(data, label, noise.variance(data))
        noise = refit_noise(means, noise)
        means = GroupMeans.of(data, label, noise.variance(data), means.t)
        odds = means.log_likelihoods()[:, :-1]
        size = np.bincount(label, minlength=odds.shape[1])
        odds[:, size < 2] = -np.inf
        new = compact(np.argmax(odds, axis=1)) if np.any(size >= 2) else np.zeros_like(label)
        if np.array_equal(new, label):
            break
        label = new
    return label, noise


def join_alike(
    data: CrystalData, label: np.ndarray, evidence: Evidence, variance: np.ndarray | None = None
) -> np.ndarray:
    """Join the two groups whose difference is supported least, again and again, until all differences are."""
    while label.max(initial=0) > 0:
        weakest = None
        for g, k in combinations(range(label.max() + 1), 2):
            margin = support(data, label, g, k, evidence, variance)
            if margin < 0 and (weakest is None or margin < weakest[0]):
                weakest = margin, g, k
        if weakest is None:
            break
        label = compact(np.where(label == weakest[2], weakest[1], label))
    return label


def support(
    data: CrystalData, label: np.ndarray, g: int, k: int, evidence: Evidence, variance: np.ndarray | None
) -> float:
    """Log likelihood gained by keeping two groups apart, above what is needed; negative where they are too alike."""
    members = np.flatnonzero((label == g) | (label == k))
    pair = data.of(members)
    two = (label[members] == k).astype(np.int64)
    if variance is None:
        s2 = one_group_noise(pair).variance(pair)
    else:
        s2 = variance[np.isin(data.crystal, members)]
    means = GroupMeans.of(pair, two, s2)
    margin = means.gain() - evidence.needed(len(members), 2)
    if margin > 0 and means.t < evidence.difference * intensity_variance(pair, s2):
        return means.t / evidence.difference - 1.0
    return margin


def intensity_variance(data: CrystalData, variance: np.ndarray) -> float:
    """Variance of the true normalised intensities over reflections (1 for acentric, 2 for centric data)."""
    weight = 1.0 / variance
    total = np.bincount(data.reflection, weight, data.n_reflections)
    seen = total > 0
    mean = np.bincount(data.reflection, weight * data.value, data.n_reflections)[seen] / total[seen]
    noise = 1.0 / total[seen]
    good = noise <= np.quantile(noise, 0.75)
    return float(np.clip(np.var(mean[good]) - np.mean(noise[good]), 0.3, 3.0))


def compact(label: np.ndarray) -> np.ndarray:
    """The same groups numbered 0, 1 … in order of their first crystal; -1 stays."""
    out = np.full(len(label), -1, dtype=np.int64)
    names = [g for g in dict.fromkeys(label.tolist()) if g >= 0]
    for number, name in enumerate(names):
        out[label == name] = number
    return out
