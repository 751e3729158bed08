"""One sweep's observations for symmetry analysis: outliers out, merged and normalised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.intensity.asu import pack
from mxdask.intensity.merged_set import MergedSet, canonical_keys, inflate, merge_set
from mxdask.intensity.normalisation import expected_intensity
from mxdask.intensity.symmetry_data import inverse_d_squared, usable_observations
from mxdask.lattice.cells import real_space
from mxdask.lattice.operators import reindex
from mxdask.symmetry.params import Params
from mxdask.table import ReflectionTable

_IDENTITY = np.eye(3, dtype=np.int64)[None]


@dataclass(frozen=True, eq=False)
class RawObservations:
    """Corrected observations in the common primitive setting: hkl (n, 3), intensity and variance (n,)."""

    hkl: np.ndarray
    intensity: np.ndarray
    variance: np.ndarray


@dataclass(frozen=True, eq=False)
class Prepared:
    """One sweep.

    Attributes
    ----------
    observations : not normalised, for absences.
    merged : normalised, Friedel mates together. mates : normalised, each index on its own (keys are plain indices).
    """

    observations: RawObservations
    merged: MergedSet
    mates: MergedSet


def prepare(table: ReflectionTable, P: np.ndarray, cell: np.ndarray, width: float | None, params: Params) -> Prepared:
    """Filter, correct, reindex, drop outliers, merge and normalise the reflections of one sweep."""
    found = usable_observations(table, params.partiality_threshold, width, params.d_min)
    hkl, integral = reindex(found.hkl, P)
    hkl, intensity, variance = hkl[integral], found.intensity[integral], found.variance[integral]
    if len(hkl) == 0:
        raise MxdaskError("no usable reflections")
    keep = ~outliers(canonical_keys(hkl, _IDENTITY), intensity, variance, params.outlier_zmax)
    raw = RawObservations(hkl[keep], intensity[keep], variance[keep])
    merged = inflate(merge_set(raw.hkl, raw.intensity, raw.variance, _IDENTITY))
    mates = inflate(_merge_plain(raw))
    level = expected_intensity(
        params.normalisation, merged.intensity, merged.sigma, merged.hkl, np.linalg.inv(real_space(cell))
    )
    of_mate = level[np.searchsorted(merged.key, canonical_keys(mates.hkl, _IDENTITY))]
    return Prepared(raw, merged.scaled(1.0 / level), mates.scaled(1.0 / of_mate))


def outliers(key: np.ndarray, intensity: np.ndarray, variance: np.ndarray, zmax: float) -> np.ndarray:
    """(n,) observations that deviate by more than ``zmax`` σ from the mean of the others of the same reflection."""
    _, group = np.unique(key, return_inverse=True)
    weight = 1.0 / variance
    others = np.bincount(group, weight)[group] - weight
    alone = np.bincount(group)[group] < 3  # of two that disagree nobody can say which is wrong
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (np.bincount(group, weight * intensity)[group] - weight * intensity) / others
        z = np.abs(intensity - mean) / np.sqrt(variance + 1.0 / others)
    return ~alone & (z > zmax)


def _merge_plain(raw: RawObservations) -> MergedSet:
    """Means of equal indices: not even Friedel mates together."""
    key, group = np.unique(pack(raw.hkl), return_inverse=True)
    weight = 1.0 / raw.variance
    total = np.bincount(group, weight)
    return MergedSet(key, np.bincount(group, weight * raw.intensity) / total, 1.0 / np.sqrt(total))


def joined(sets: list[MergedSet]) -> MergedSet:
    """Sets of several sweeps merged by key, with weights 1/σ²."""
    if len(sets) == 1:
        return sets[0]
    key, group = np.unique(np.concatenate([s.key for s in sets]), return_inverse=True)
    weight = 1.0 / np.concatenate([s.sigma for s in sets]) ** 2
    total = np.bincount(group, weight)
    mean = np.bincount(group, weight * np.concatenate([s.intensity for s in sets])) / total
    return MergedSet(key, mean, 1.0 / np.sqrt(total))


def friedel_key(mates: MergedSet) -> np.ndarray:
    """(n,) the same for h and -h."""
    return canonical_keys(mates.hkl, _IDENTITY)


def friedel_pairs(mates: MergedSet) -> tuple[np.ndarray, np.ndarray]:
    """Intensities of h and -h, both ways round, of reflections that have both."""
    opposite = pack(-mates.hkl)
    position = np.minimum(np.searchsorted(mates.key, opposite), max(len(mates) - 1, 0))
    both = mates.key[position] == opposite if len(mates) else np.zeros(0, dtype=bool)
    return mates.intensity[both], mates.intensity[position[both]]


def in_laue_group(
    sweeps: list[RawObservations], P: np.ndarray, ops: np.ndarray, cell: np.ndarray, d_min: float | None
) -> MergedSet:
    """All observations reindexed by P and merged in a Laue group, neither normalised nor with inflated errors."""
    hkl = np.concatenate([s.hkl for s in sweeps])
    intensity = np.concatenate([s.intensity for s in sweeps])
    variance = np.concatenate([s.variance for s in sweeps])
    if d_min is not None:
        keep = inverse_d_squared(hkl, cell) <= d_min**-2
        hkl, intensity, variance = hkl[keep], intensity[keep], variance[keep]
    moved, integral = reindex(hkl, P)
    return merge_set(moved[integral], intensity[integral], variance[integral], ops)
