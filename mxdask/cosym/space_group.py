"""The space group of crystals brought to one setting, from absences along the axes: the rule of ``symmetry``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np

from mxdask.intensity.absences import Candidate, ScrewScore, score_space_groups
from mxdask.intensity.asu import pack
from mxdask.intensity.merged_set import merge_set
from mxdask.intensity.symmetry_data import inverse_d_squared
from mxdask.lattice.operators import point_group, reindex
from mxdask.lattice.point_groups import axes, rotation_order


@dataclass(frozen=True, eq=False)
class Axial:
    """Observations of one crystal along axes of its lattice, on the common primitive cell: hkl (n, 3), I, V (n,)."""

    hkl: np.ndarray
    intensity: np.ndarray
    variance: np.ndarray

    def within(self, cell: np.ndarray, d_min: float | None) -> Axial:
        """Those to a resolution (Å), on a primitive cell (Å, degrees)."""
        if d_min is None:
            return self
        keep = inverse_d_squared(self.hkl, cell) <= d_min**-2
        return Axial(self.hkl[keep], self.intensity[keep], self.variance[keep])


def axial_observations(hkl: np.ndarray, intensity: np.ndarray, variance: np.ndarray, lattice: np.ndarray) -> Axial:
    """Those that a rotation of the lattice group (k, 3, 3) leaves where they are: a screw along it may forbid them."""
    step = np.maximum(np.gcd.reduce(hkl, axis=1), 1)
    along = np.isin(pack(hkl // step[:, None]), _axis_keys(lattice.astype(np.int64).tobytes()))
    return Axial(hkl[along], intensity[along], variance[along])


@lru_cache(maxsize=8)
def _axis_keys(lattice: bytes) -> np.ndarray:
    """Packed indices of the shortest reflections along the axes of a group of operators (bytes of (k, 3, 3) i8)."""
    ops = np.frombuffer(lattice, dtype=np.int64).reshape(-1, 3, 3)
    invariant = np.array([axes(W)[1] for W in ops if rotation_order(W) > 1], dtype=np.int64).reshape(-1, 3)
    return pack(np.concatenate([invariant, -invariant]))


def find_space_group(
    crystals: Sequence[tuple[Axial, np.ndarray]], point_setting: gemmi.SpaceGroup, significance: float
) -> tuple[list[ScrewScore], list[Candidate]]:
    """Scores of screw axes and space groups, the likeliest first.

    Only I/σ decides, so crystals of different size are merged as they are, weighted by 1/σ².

    Parameters
    ----------
    crystals : axial observations and the (3, 3) change of basis to the setting of ``point_setting``.
    """
    moved = [reindex(axial.hkl, P) for axial, P in crystals]
    keep = np.concatenate([integral for _, integral in moved])
    hkl = np.concatenate([indices for indices, _ in moved])[keep]
    intensity = np.concatenate([axial.intensity for axial, _ in crystals])[keep]
    variance = np.concatenate([axial.variance for axial, _ in crystals])[keep]
    data = merge_set(hkl, intensity, variance, point_group(point_setting))
    return score_space_groups(point_setting, data, significance)
