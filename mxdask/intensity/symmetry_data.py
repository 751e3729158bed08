"""A crystal's integrated reflections made ready for symmetry analysis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mxdask.intensity.merged_set import MergedSet, inflate, merge_set
from mxdask.intensity.normalisation import Method, expected_intensity, wilson_outliers
from mxdask.intensity.observations import Filters, Observations, best_choice, select_observations
from mxdask.lattice.cells import real_space
from mxdask.lattice.operators import reindex
from mxdask.models.experiment import ExperimentList
from mxdask.table import ReflectionTable

# Columns that decide which observations are used and what their corrected intensities are.
_COLUMNS = (
    "id", "miller_index", "flags", "d", "lp", "qe", "dqe", "partiality", "partial_id", "xyzobs.px.value", "xyzcal.px",
    "inverse_scale_factor",
)  # fmt: skip


def split_by_row(
    experiments: ExperimentList, reflections: ReflectionTable, rows: Sequence[int]
) -> list[tuple[ReflectionTable, float | None]]:
    """Reflections of each row, only the columns needed here, and the width (degrees) of its images, None for stills."""
    lean = reflections.only(n for n in reflections if n in _COLUMNS or n.startswith("intensity."))
    by_id = lean.split_by("id")
    parts, empty = [], lean.rows(0, 0)
    for row in rows:
        scan = experiments[row].scan
        width = None if scan is None or scan.is_still else scan.width
        parts.append((by_id.get(row, empty), width))
    return parts


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
        the centring of the input lattice) are dropped, and so are Wilson outliers.
    cell : (6,) common cell, for resolution.
    group : (k, 3, 3) operators under which equivalents are merged.
    """
    common, integral = reindex(hkl, P)
    merged = inflate(merge_set(common[integral], intensity[integral], variance[integral], group))
    merged = merged.select(~wilson_outliers(merged.intensity, inverse_d_squared(merged.hkl, cell)))
    reciprocal = np.linalg.inv(real_space(cell))
    level = expected_intensity(method, merged.intensity, merged.sigma, merged.hkl, reciprocal)
    return merged.scaled(1.0 / level)
