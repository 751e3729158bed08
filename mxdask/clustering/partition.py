"""Search for the partition of crystals that their intensities support."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.special import gammaln

from mxdask.clustering.crystal_data import CrystalData
from mxdask.clustering.similarity import Similarity, coordinates, residual_similarity
from mxdask.clustering.species_model import GroupMeans, Noise, refit_noise

MOST_PARTS = 8  # tried when one group is divided; its parts are tried again
_ROUNDS = 12
_NOISE_ROUNDS = 3


@dataclass(frozen=True)
class Evidence:
    """What it takes to call groups different.

    Attributes
    ----------
    per_group : log likelihood that each group above the first has to gain, beyond the logarithm of the number of ways
        to divide the crystals into groups of these sizes (the best of so many fits noise).
    difference : 1 - CC of the true intensities below which groups count as one: errors that crystals share (absorption,
        a wrong detector model) make differences of a few parts in a thousand.
    """

    per_group: float = 8.0
    difference: float = 0.002

    def needed(self, label: np.ndarray) -> float:
        """Log likelihood that these groups have to gain over one."""
        size = np.bincount(label)
        ways = gammaln(len(label) + 1) - gammaln(size + 1).sum()
        return float(ways) + self.per_group * (len(size) - 1)


@dataclass(frozen=True, eq=False)
class Partition:
    """Groups with the errors that fit them.

    Attributes
    ----------
    label : (c,) 0 … g - 1. noise : of the crystals. t : variance between groups. log_marginal : support by the data.
    difference : 1 - CC of the groups' true intensities, from t.
    """

    label: np.ndarray
    noise: Noise
    t: float
    log_marginal: float
    difference: float = 0.0

    @property
    def n_groups(self) -> int:
        return int(self.label.max(initial=-1)) + 1

    def score(self, evidence: Evidence) -> float:
        """Support by the data less what so many groups need."""
        return self.log_marginal - evidence.needed(self.label)


def as_one(data: CrystalData) -> Partition:
    """All crystals in one group: differences between groups would count as errors."""
    noise, label = Noise.start(data), np.zeros(data.n_crystals, dtype=np.int64)
    for _ in range(_NOISE_ROUNDS):
        noise = refit_noise(GroupMeans.of(data, label, noise.variance(data), t=0.0), noise)
    means = GroupMeans.of(data, label, noise.variance(data), t=0.0)
    return Partition(label, noise, 0.0, means.log_marginal())


def settle(data: CrystalData, label: np.ndarray, noise: Noise) -> Partition:
    """Move every crystal to the group that predicts it best, re-estimating errors, until nothing moves.

    Groups left with one crystal are dissolved.
    """
    label, still, t = compact(label), 0, None
    for _ in range(_ROUNDS):
        means = GroupMeans.of(data, label, noise.variance(data), t)
        noise = refit_noise(means, noise)
        means = GroupMeans.of(data, label, noise.variance(data))
        t = means.t
        odds = means.log_likelihoods()
        size = np.bincount(label, minlength=odds.shape[1])
        odds[:, size < 2] = -np.inf
        new = compact(np.argmax(odds, axis=1)) if np.any(size >= 2) else np.zeros_like(label)
        still = still + 1 if np.array_equal(new, label) else 0
        label = new
        if still >= _NOISE_ROUNDS or label.max(initial=0) == 0:
            break
    if label.max(initial=0) == 0:
        return as_one(data)
    means = GroupMeans.of(data, label, noise.variance(data))
    difference = means.t / intensity_variance(data, means.variance)
    return Partition(label, noise, means.t, means.log_marginal(), difference)


def divide(data: CrystalData, evidence: Evidence) -> np.ndarray:
    """(c,) the best division of what may be one group; all zero if nothing supports one.

    Ward's tree of the residual coordinates is cut into 2, 3 … parts, each refined by the model, and compared with one
    group; each side has the errors that fit it best. The two crystals most alike are tried as a group as well.
    """
    c = data.n_crystals
    one = as_one(data)
    if c < 4:
        return one.label
    similarity = residual_similarity(data, one.noise.variance(data))
    points, eigenvalues, noise_level = coordinates(similarity)
    tree = linkage(points, "ward")
    most = min(MOST_PARTS, c // 2, int(np.sum(eigenvalues > noise_level)) + 2)
    starts = [fcluster(tree, k, criterion="maxclust") for k in range(2, most + 1)]
    best, best_score = one.label, 0.0
    for start in [*starts, closest_pair(similarity)]:
        found = settle(data, start, one.noise)
        if found.n_groups > 1:
            score = found.score(evidence) - one.log_marginal
            if score > best_score:
                best, best_score = found.label, score
    return best


def closest_pair(similarity: Similarity) -> np.ndarray:
    """(c,) 1 for the two crystals whose likeness is most significant: a group too small to make an axis of its own."""
    significance = similarity.covariance * np.sqrt(similarity.precision)
    label = np.zeros(len(significance), dtype=np.int64)
    label[list(np.unravel_index(int(np.argmax(significance)), significance.shape))] = 1
    return label


def find_partition(data: CrystalData, evidence: Evidence) -> Partition:
    """Crystals divided until no part divides further, then parts joined where too alike."""
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
    found = as_one(data)
    if len(done) > 1:
        found = settle(data, label, found.noise)
    while found.n_groups > 1:
        margin, (g, k) = least_different(data, found, evidence)
        joined = settle(data, np.where(found.label == k, g, found.label), found.noise)
        if margin > 0 and found.score(evidence) >= joined.score(evidence):
            break
        found = joined
    return found


def least_different(data: CrystalData, found: Partition, evidence: Evidence) -> tuple[float, tuple[int, int]]:
    """The two groups that data tell apart least, and the support for telling them apart."""
    pairs = combinations(range(found.n_groups), 2)
    return min((support(data, found.label, g, k, evidence), (g, k)) for g, k in pairs)


def support(data: CrystalData, label: np.ndarray, g: int, k: int, evidence: Evidence) -> float:
    """Log likelihood gained by keeping two groups apart, above what is needed; negative where they are too alike."""
    members = np.flatnonzero((label == g) | (label == k))
    pair = data.of(members)
    one = as_one(pair)
    noise, two = one.noise, (label[members] == k).astype(np.int64)
    for _ in range(_NOISE_ROUNDS):
        noise = refit_noise(GroupMeans.of(pair, two, noise.variance(pair)), noise)
    means = GroupMeans.of(pair, two, noise.variance(pair))
    margin = means.log_marginal() - one.log_marginal - evidence.needed(two)
    difference = means.t / intensity_variance(pair, means.variance)
    if difference < evidence.difference:
        return min(margin, difference / evidence.difference - 1.0)
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
