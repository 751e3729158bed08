"""One crystal's intensities merged in a point group of its primitive lattice: what symmetry analysis compares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.intensity.asu import unpack
from mxdask.intensity.merged_set_kernels import count_stabilisers, largest_keys

# Error inflation of Pointless (Evans 2006): σ' = 2·√(σ² + (0.03 I)²).
SD_FACTOR, SD_ADD = 2.0, 0.03


@dataclass(frozen=True, eq=False)
class MergedSet:
    """Merged intensities, one row per unique reflection.

    Attributes
    ----------
    key : (n,) i8 packed canonical indices (see :func:`canonical_keys`), ascending.
    intensity, sigma : (n,) f8.
    """

    key: np.ndarray
    intensity: np.ndarray
    sigma: np.ndarray

    def __len__(self) -> int:
        return len(self.key)

    @property
    def hkl(self) -> np.ndarray:
        """(n, 3) canonical indices."""
        return unpack(self.key)

    def select(self, rows: np.ndarray) -> MergedSet:
        """Rows by mask or index."""
        return MergedSet(self.key[rows], self.intensity[rows], self.sigma[rows])

    def scaled(self, factor: np.ndarray) -> MergedSet:
        """Intensities and sigmas multiplied by (n,) factors."""
        return MergedSet(self.key, self.intensity * factor, self.sigma * factor)


def canonical_keys(hkl: np.ndarray, ops: np.ndarray) -> np.ndarray:
    """(n,) i8 the same for all equivalents ±W·h of a reflection under a group of index operators (k, 3, 3)."""
    keys = np.empty(len(hkl), dtype=np.int64)
    largest_keys(np.ascontiguousarray(hkl, dtype=np.int64), np.ascontiguousarray(ops, dtype=np.int64), keys)
    return keys


def is_general(hkl: np.ndarray, ops: np.ndarray) -> np.ndarray:
    """(n,) reflections that no operator ±W of the group, other than the identity, leaves where they are (ε = 1)."""
    count = np.empty(len(hkl), dtype=np.int64)
    count_stabilisers(np.ascontiguousarray(hkl, dtype=np.int64), np.ascontiguousarray(ops, dtype=np.int64), count)
    return count == 1  # the identity only


def merge_set(hkl: np.ndarray, intensity: np.ndarray, variance: np.ndarray, ops: np.ndarray) -> MergedSet:
    """Weighted means (w = 1/V) of equivalents under a group, Friedel mates together."""
    keys = canonical_keys(hkl, ops)
    unique, group = np.unique(keys, return_inverse=True)
    weight = 1.0 / variance
    total = np.bincount(group, weight, len(unique))
    mean = np.bincount(group, weight * intensity, len(unique)) / total
    return MergedSet(unique, mean, 1.0 / np.sqrt(total))


def inflate(data: MergedSet) -> MergedSet:
    """Sigmas made more cautious, as Pointless does before comparing equivalents."""
    return MergedSet(data.key, data.intensity, SD_FACTOR * np.hypot(data.sigma, SD_ADD * data.intensity))
