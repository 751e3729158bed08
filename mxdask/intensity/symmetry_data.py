"""A crystal's integrated reflections made ready for symmetry analysis."""

from __future__ import annotations

import numpy as np

from mxdask.intensity.merged_set import MergedSet, inflate, merge_set
from mxdask.intensity.normalisation import Method, expected_intensity
from mxdask.intensity.observations import Filters, Observations, best_choice, select_observations
from mxdask.lattice.cells import real_space
from mxdask.lattice.operators import reindex
from mxdask.table import ReflectionTable


def usable_observations(
    table: ReflectionTable, partiality_threshold: float, width: float | None, d_min: float | None = None
) -> Observations:
    """Filtered and corrected observations of one crystal, the first 360° of the sweep (back.md 10.1)."""
    filters = Filters(d_min=d_min, partiality_threshold=partiality_threshold)
    observations = select_observations(table, best_choice(table), filters)
    frame = observations.xyz[:, 2]
    if width and len(frame):
        observations = observations.select((frame - frame.min()) * abs(width) < 360.0)
    return observations


def inverse_d_squared(hkl: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """(n,) 1/d² (Å⁻²) of indices on a cell (Å, degrees)."""
    q = np.asarray(hkl) @ np.linalg.inv(real_space(cell)).T
    return np.einsum("ni,ni->n", q, q)


def normalised_set(
    hkl: np.ndarray,
    intensity: np.ndarray,
    variance: np.ndarray,
    P: np.ndarray,
    cell: np.ndarray,
    group: np.ndarray,
    method: Method | None,
) -> MergedSet:
    """Merged, error-inflated and normalised intensities of one crystal in the common primitive setting.

    Parameters
    ----------
    hkl : (n, 3) as indexed; P : (3, 3) to the common setting. Reflections without integer indices there (absent by
        the centring of the input lattice) are dropped.
    cell : (6,) common cell, for resolution.
    group : (k, 3, 3) operators under which equivalents are merged.
    """
    common, integral = reindex(hkl, P)
    merged = inflate(merge_set(common[integral], intensity[integral], variance[integral], group))
    reciprocal = np.linalg.inv(real_space(cell))
    level = expected_intensity(method, merged.intensity, merged.sigma, merged.hkl, reciprocal)
    return merged.scaled(1.0 / level)
