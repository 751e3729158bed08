"""Correlation coefficients between crystals in all relative settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from mxdask.cosym.pair_kernels import correlations, pair_sums, weighted_correlations, weighted_pair_sums
from mxdask.cosym.settings_group import SettingsGroup
from mxdask.intensity.asu import unpack
from mxdask.intensity.merged_set import MergedSet, canonical_keys, is_general

# Rows of the pair matrix worked on at a time: the six sums of a strip stay in the processor's cache.
_STRIP = 32


@dataclass(frozen=True)
class PairRules:
    """How two crystals are compared.

    Attributes
    ----------
    min_pairs : correlations of fewer common reflections are not used.
    cc_weights : None, or ``sigma``: pairs weighted by 1/(σ₁² + σ₂²).
    """

    min_pairs: int
    cc_weights: Literal["sigma"] | None = None


class Correlations(NamedTuple):
    """One element of the pair matrix: r, number of pairs n, and how many pairs of equal weight they are worth."""

    r: np.ndarray
    n: np.ndarray
    effective: np.ndarray


@dataclass(frozen=True, eq=False)
class ReflectionLists:
    """All crystals' intensities by reflection.

    Attributes
    ----------
    key : (u,) i8 unique reflections (canonical under the core group, ε = 1), ascending.
    start : (u + 1,) i8; reflection y was observed by crystal[start[y]:start[y + 1]] with those values.
    crystal : (n,) i4, ascending within a reflection. value, variance : (n,) f8.
    n_crystals : how many crystals there are.
    """

    key: np.ndarray
    start: np.ndarray
    crystal: np.ndarray
    value: np.ndarray
    variance: np.ndarray
    n_crystals: int

    @classmethod
    def of(cls, sets: Sequence[MergedSet], lattice: np.ndarray) -> ReflectionLists:
        """Turn crystals' merged sets into lists by reflection; ε is counted in the lattice group (n, 3, 3)."""
        crystal = np.repeat(np.arange(len(sets), dtype=np.int32), [len(s) for s in sets])
        key = np.concatenate([s.key for s in sets]) if sets else np.zeros(0, np.int64)
        value = np.concatenate([s.intensity for s in sets]) if sets else np.zeros(0)
        sigma = np.concatenate([s.sigma for s in sets]) if sets else np.zeros(0)
        unique, inverse = np.unique(key, return_inverse=True)
        keep = is_general(unpack(unique), lattice)[inverse]
        order = np.argsort(inverse[keep], kind="stable")
        used, count = np.unique(inverse[keep], return_counts=True)
        start = np.concatenate([[0], np.cumsum(count)])
        return cls(unique[used], start, crystal[keep][order], value[keep][order], sigma[keep][order] ** 2, len(sets))

    def image(self, other: ReflectionLists, op: np.ndarray, core: np.ndarray) -> np.ndarray:
        """(u,) position in ``other`` of the reflection g·y for each of ours, -1 where nobody observed it."""
        moved = canonical_keys(unpack(self.key) @ op.T, core)
        position = np.minimum(np.searchsorted(other.key, moved), max(len(other.key) - 1, 0))
        if len(other.key) == 0:
            return np.full(len(moved), -1, dtype=np.int64)
        return np.where(other.key[position] == moved, position, -1)


@dataclass(frozen=True, eq=False)
class PairMatrix:
    """Correlations r[g, i, j] between I_i(y) and I_j(g·y), the element g = l⁻¹k for i in setting k, j in setting l.

    Attributes
    ----------
    r : (s, N, M) f8, 0 where undefined.
    n : (s, N, M) i4, common reflections.
    effective : (s, N, M) f8, number of pairs of equal weight that tell as much; n where pairs are not weighted.
    """

    r: np.ndarray
    n: np.ndarray
    effective: np.ndarray

    def select(self, rows: np.ndarray) -> PairMatrix:
        """The matrix of some of the crystals."""
        return PairMatrix(*(a[:, rows][:, :, rows] for a in (self.r, self.n, self.effective)))


def correlate(
    first: ReflectionLists, second: ReflectionLists, group: SettingsGroup, element: int, rules: PairRules
) -> Correlations:
    """r, n and effective number of pairs, each (N, M), of one element of the settings group."""
    image = first.image(second, group.ops[element], group.core)
    r = np.empty((first.n_crystals, second.n_crystals))
    n = np.empty(r.shape, dtype=np.int32)
    weighted = rules.cc_weights == "sigma"
    effective = np.empty(r.shape) if weighted else r
    for lo in range(0, first.n_crystals, _STRIP):
        hi = min(lo + _STRIP, first.n_crystals)
        lists = (first.start, first.crystal, first.value, second.start, second.crystal, second.value, image, lo, hi)
        if weighted:
            sums = np.zeros((hi - lo, second.n_crystals, 8))
            weighted_pair_sums(*lists, first.variance, second.variance, sums)
            weighted_correlations(sums, float(rules.min_pairs), r[lo:hi], n[lo:hi], effective[lo:hi])
        else:
            sums = np.zeros((hi - lo, second.n_crystals, 6))
            pair_sums(*lists, sums)
            correlations(sums, float(rules.min_pairs), r[lo:hi], n[lo:hi])
    return Correlations(r, n, effective if weighted else n.astype(np.float64))


def distinct_elements(group: SettingsGroup) -> list[int]:
    """One of each pair g, g⁻¹: r[g⁻¹][j, i] = r[g][i, j]."""
    return [g for g in range(len(group)) if g <= group.inverse[g]]


def assemble(group: SettingsGroup, parts: dict[int, Correlations]) -> PairMatrix:
    """The whole matrix of crystals with themselves from its distinct elements."""
    whole = []
    for g in range(len(group)):
        known = g in parts
        part = parts[g] if known else parts[int(group.inverse[g])]
        whole.append(part if known else Correlations(*(a.T for a in part)))
    return PairMatrix(*(np.array(a) for a in zip(*whole, strict=True)))
