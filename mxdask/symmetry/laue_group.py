"""Likelihood of every symmetry operator and Laue group of a lattice (Evans 2011, appendix A; back.md 10)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.intensity.asu import pack
from mxdask.intensity.merged_set import MergedSet, canonical_keys, is_general
from mxdask.intensity.symmetry_scores import GroupScore, OperatorScore, score_groups, score_operator
from mxdask.lattice.metric import LatticeSetting
from mxdask.lattice.point_groups import rotation_order, sense

_MIN_SIGMA_CC = 0.1
_OUTLIER_IQR = 20.0  # times the interquartile range: only what cannot be an intensity


@dataclass(frozen=True, eq=False)
class CorrelationModel:
    """What correlation to expect.

    Attributes
    ----------
    unrelated_cc, n_unrelated : of pairs that no symmetry could relate.
    sigma_factor : σ(CC) = sigma_factor/√n; 0 if there are too few pairs to tell.
    expected : E(CC) from the spread of intensities and their errors.
    cc_true : E(CC) joined with the correlation of Friedel mates.
    """

    unrelated_cc: float
    n_unrelated: int
    sigma_factor: float
    expected: float
    cc_true: float

    def sigma(self, n: int) -> float:
        """Standard deviation of a correlation of n pairs."""
        return max(_MIN_SIGMA_CC, self.sigma_factor / np.sqrt(max(n, 1)))


@dataclass(frozen=True, eq=False)
class LaueAnalysis:
    """Scores of operators and groups, the likeliest group first."""

    model: CorrelationModel
    operators: list[OperatorScore]
    groups: list[GroupScore]


def analyse(
    data: MergedSet, friedel: tuple[np.ndarray, np.ndarray], s: np.ndarray, lattice: np.ndarray,
    settings: list[LatticeSetting], seed: int,
) -> LaueAnalysis:  # fmt: skip
    """Score the lattice's operators and subgroups.

    Parameters
    ----------
    data : normalised, merged without symmetry except Friedel's law, on the minimum cell.
    friedel : (n,), (n,) normalised intensities of the two mates of reflections that have both.
    s : (m,) 1/d² of ``data``.
    lattice : (k, 3, 3) lattice group. settings : its subgroups.
    """
    general = is_general(data.hkl, lattice)
    data, s = data.select(general), s[general]
    model = correlation_model(data, friedel, s, lattice, seed)
    operators = [_score(data, friedel, op, model) for op in lattice if sense(op) >= 0]
    return LaueAnalysis(model, operators, score_groups(settings, operators))


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Correlation coefficient; 0 where it is not defined."""
    if len(x) < 2:
        return 0.0
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 0 else 0.0


def operator_pairs(data: MergedSet, op: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intensities at h and W·h (and for rotations of order above two, W⁻¹·h) of reflections that have both."""
    x, y = [], []
    inverse = np.rint(np.linalg.inv(op)).astype(np.int64)
    identity = np.eye(3, dtype=np.int64)[None]
    for W in (op,) if rotation_order(op) <= 2 else (op, inverse):
        keys = canonical_keys(data.hkl @ W.T, identity)
        position = np.minimum(np.searchsorted(data.key, keys), len(data) - 1)
        both = data.key[position] == keys if len(data) else np.zeros(0, dtype=bool)
        x.append(data.intensity[both])
        y.append(data.intensity[position[both]])
    return np.concatenate(x), np.concatenate(y)


def _score(
    data: MergedSet, friedel: tuple[np.ndarray, np.ndarray], op: np.ndarray, model: CorrelationModel
) -> OperatorScore:
    x, y = friedel if rotation_order(op) == 1 else operator_pairs(data, op)
    inside = _without_outliers(x) & _without_outliers(y)
    x, y = x[inside], y[inside]
    if len(x) == 0:
        return OperatorScore(op, 0.0, 0, 0.0, 1.0, 1.0, 0.0)
    return score_operator(op, pearson(x, y), len(x), model.sigma(len(x)), model.cc_true)


def _without_outliers(x: np.ndarray) -> np.ndarray:
    if len(x) == 0:
        return np.zeros(0, dtype=bool)
    low, high = np.quantile(x, [0.25, 0.75])
    margin = _OUTLIER_IQR * (high - low)
    return (x >= low - margin) & (x <= high + margin)


def correlation_model(
    data: MergedSet, friedel: tuple[np.ndarray, np.ndarray], s: np.ndarray, lattice: np.ndarray, seed: int
) -> CorrelationModel:
    """Expected correlation and its scatter, from the data themselves."""
    rng = np.random.default_rng(seed)
    x, y = unrelated_pairs(data, s, lattice, rng)
    factor = sigma_factor(x, y, rng)
    variance = float(np.var(data.intensity, ddof=1)) if len(data) > 1 else 0.0
    error = float(np.mean(data.sigma**2)) if len(data) else 1.0
    expected = variance / (variance + error) if variance + error > 0 else 0.0
    least_sd, least_sample = 0.05, 10
    weight = 1.0 / max(least_sd, factor / np.sqrt(200)) ** 2
    n = len(friedel[0])
    other = 1.0 / max(least_sd, factor / np.sqrt(n)) ** 2 if n > least_sample else 0.0
    cc_true = (weight * expected + other * pearson(*friedel)) / (weight + other)
    return CorrelationModel(pearson(x, y), len(x), factor, expected, float(cc_true))


def unrelated_pairs(
    data: MergedSet, s: np.ndarray, lattice: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Up to 20,000 random pairs at like resolution that no operator of the lattice relates."""
    per_bin, most_bins, most_pairs = 200, 500, 20000
    if len(data) < 2:
        return np.zeros(0), np.zeros(0)
    size = max(per_bin, -(-len(data) // most_bins))
    family = canonical_keys(data.hkl, lattice)
    order = np.lexsort((pack(data.hkl), s))
    first, second = [], []
    for begin in range(0, len(order), size):
        shuffled = rng.permutation(order[begin : begin + size])
        half = len(shuffled) // 2
        first.append(shuffled[:half])
        second.append(shuffled[half : 2 * half])
    a, b = np.concatenate(first), np.concatenate(second)
    unlike = family[a] != family[b]
    chosen = rng.permutation(np.flatnonzero(unlike))[:most_pairs]
    return data.intensity[a[chosen]], data.intensity[b[chosen]]


def sigma_factor(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> float:
    """Slope of the rms correlation of n random pairs against 1/√n, n = 5 … 200; 0 with too few pairs."""
    largest = min(len(x) // 10, 200)
    smallest = min(5, largest)
    if largest - smallest < 4:
        return 0.0
    sizes = np.arange(smallest, largest + 1)
    rms = np.empty(len(sizes))
    for i, n in enumerate(sizes):
        rows = rng.integers(0, len(x), size=(200, n))
        a, b = x[rows], y[rows]
        a = a - a.mean(axis=1, keepdims=True)
        b = b - b.mean(axis=1, keepdims=True)
        scale = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
        cc = np.where(scale > 0, (a * b).sum(axis=1) / np.maximum(scale, 1e-300), 0.0)
        rms[i] = np.sqrt(np.mean(cc**2))
    slope = np.polyfit(1 / np.sqrt(sizes), rms, 1)[0]
    return float(max(slope, 0.0))
