"""Correlation coefficients between crystals in all relative settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mxdask.cosym.pair_kernels import correlations, pair_sums
from mxdask.cosym.settings_group import SettingsGroup
from mxdask.intensity.asu import unpack
from mxdask.intensity.merged_set import MergedSet, canonical_keys, is_general

# Rows of the pair matrix worked on at a time: the six sums of a strip stay in the processor's cache.
_STRIP = 32


@dataclass(frozen=True, eq=False)
class ReflectionLists:
    """All crystals' intensities by reflection.

    Attributes
    ----------
    key : (u,) i8 unique reflections (canonical under the core group, ε = 1), ascending.
    start : (u + 1,) i8; reflection y was observed by crystal[start[y]:start[y + 1]] with those values.
    crystal : (n,) i4, ascending within a reflection. value : (n,) f8.
    n_crystals : how many crystals there are.
    """

    key: np.ndarray
    start: np.ndarray
    crystal: np.ndarray
    value: np.ndarray
    n_crystals: int

    @classmethod
    def of(cls, sets: Sequence[MergedSet], lattice: np.ndarray) -> ReflectionLists:
        """Turn crystals' merged sets into lists by reflection; ε is counted in the lattice group (n, 3, 3)."""
        crystal = np.repeat(np.arange(len(sets), dtype=np.int32), [len(s) for s in sets])
        key = np.concatenate([s.key for s in sets]) if sets else np.zeros(0, np.int64)
        value = np.concatenate([s.intensity for s in sets]) if sets else np.zeros(0)
        unique, inverse = np.unique(key, return_inverse=True)
        keep = is_general(unpack(unique), lattice)[inverse]
        order = np.argsort(inverse[keep], kind="stable")
        used, count = np.unique(inverse[keep], return_counts=True)
        start = np.concatenate([[0], np.cumsum(count)])
        return cls(unique[used], start, crystal[keep][order], value[keep][order], len(sets))

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
    """

    r: np.ndarray
    n: np.ndarray


def correlate(
    first: ReflectionLists, second: ReflectionLists, group: SettingsGroup, element: int, min_pairs: int
) -> tuple[np.ndarray, np.ndarray]:
    """r and n (N, M) of one element of the settings group."""
    image = first.image(second, group.ops[element], group.core)
    r = np.empty((first.n_crystals, second.n_crystals))
    n = np.empty(r.shape, dtype=np.int32)
    for lo in range(0, first.n_crystals, _STRIP):
        hi = min(lo + _STRIP, first.n_crystals)
        sums = np.zeros((hi - lo, second.n_crystals, 6))
        pair_sums(
            first.start, first.crystal, first.value, second.start, second.crystal, second.value, image, lo, hi, sums
        )
        correlations(sums, float(min_pairs), r[lo:hi], n[lo:hi])
    return r, n


def distinct_elements(group: SettingsGroup) -> list[int]:
    """One of each pair g, g⁻¹: r[g⁻¹][j, i] = r[g][i, j]."""
    return [g for g in range(len(group)) if g <= group.inverse[g]]


def assemble(group: SettingsGroup, parts: dict[int, tuple[np.ndarray, np.ndarray]]) -> PairMatrix:
    """The whole matrix of crystals with themselves from its distinct elements."""
    r: list[np.ndarray] = []
    n: list[np.ndarray] = []
    for g in range(len(group)):
        known = g in parts
        part = parts[g] if known else parts[int(group.inverse[g])]
        r.append(part[0] if known else part[0].T)
        n.append(part[1] if known else part[1].T)
    return PairMatrix(np.array(r), np.array(n))
