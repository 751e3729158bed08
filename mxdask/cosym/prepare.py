"""One crystal's reflections made comparable with others', and the resolution to which all are compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.cosym.params import Params
from mxdask.cosym.plan import Datasets, Plan
from mxdask.cosym.space_group import Axial, axial_observations
from mxdask.errors import MxdaskError
from mxdask.flow import Failed
from mxdask.intensity.merged_set import MergedSet, merge_set
from mxdask.intensity.resolution_limit import resolution_limit
from mxdask.intensity.symmetry_data import inverse_d_squared, normalised_set, usable_observations
from mxdask.lattice.operators import reindex
from mxdask.table import ReflectionTable


@dataclass(frozen=True, eq=False)
class Prepared:
    """One crystal on the common primitive cell: normalised set, how far its data are good (Å, or None), axial rows."""

    merged: MergedSet
    limit: float | None
    axial: Axial


def prepare(
    table: ReflectionTable,
    P: np.ndarray,
    cell: np.ndarray,
    group: np.ndarray,
    lattice: np.ndarray,
    width: float | None,
    params: Params,
) -> Prepared:
    """Filter, correct, merge and normalise the reflections of one crystal."""
    observations = usable_observations(table, params.partiality_threshold, width, params.d_min)
    if len(observations) < params.min_reflections:
        raise MxdaskError(f"{len(observations)} usable reflections, fewer than {params.min_reflections}")
    merged = normalised_set(
        observations.hkl, observations.intensity, observations.variance, P, cell, group, params.normalisation
    )
    limit, _ = resolution_limit(
        merged.key, merged.intensity, merged.sigma, inverse_d_squared(merged.hkl, cell),
        min_i_mean_over_sigma_mean=params.min_i_mean_over_sigma_mean, min_cc_half=None,
    )  # fmt: skip
    hkl, integral = reindex(observations.hkl, P)
    axial = axial_observations(
        hkl[integral], observations.intensity[integral], observations.variance[integral], lattice
    )
    return Prepared(merged, limit, axial)


def collect(plan: Plan, prepared: list[Prepared | Failed], params: Params) -> tuple[Datasets, float | None]:
    """Sets of experiments that share a crystal joined, the common resolution limit applied, empty ones put aside.

    The limit by ⟨I⟩/⟨σ⟩ is the median of the crystals' own, so that a few weak ones do not blunt all; the limit by
    CC½ is that of all crystals together; the more generous counts.
    """
    parts: dict[int, list[MergedSet]] = {}
    limits: list[float] = []
    reasons: dict[int, str] = {}
    for row, result in zip(plan.rows, prepared, strict=True):
        if isinstance(result, Failed):
            reasons[row] = result.reason
            continue
        parts.setdefault(plan.crystal_of[row], []).append(result.merged)
        limits.append(np.inf if result.limit is None else result.limit)
    sets = {crystal: _joined(found, plan.core) for crystal, found in parts.items()}
    d_min = None if params.d_min is not None else _common_limit(list(sets.values()), limits, plan.cell, params)
    kept: dict[int, MergedSet] = {}
    for crystal, merged in sets.items():
        if d_min is not None:
            merged = merged.select(inverse_d_squared(merged.hkl, plan.cell) <= d_min**-2)
        if len(merged) >= params.min_reflections:
            kept[crystal] = merged
        else:
            for row in plan.rows:
                if plan.crystal_of[row] == crystal and row not in reasons:
                    limit = "" if d_min is None else f" to {d_min:.2f} Å"
                    reasons[row] = f"{len(merged)} reflections{limit}, fewer than min_reflections"
    names, keys = [plan.names[c] for c in kept], [plan.keys[c] for c in kept]
    return Datasets(list(kept), list(kept.values()), names, keys, reasons), d_min or params.d_min


def _joined(sets: list[MergedSet], group: np.ndarray) -> MergedSet:
    if len(sets) == 1:
        return sets[0]
    return merge_set(
        np.concatenate([s.hkl for s in sets]), np.concatenate([s.intensity for s in sets]),
        np.concatenate([s.sigma**2 for s in sets]), group,
    )  # fmt: skip


def _common_limit(sets: list[MergedSet], limits: list[float], cell: np.ndarray, params: Params) -> float | None:
    if not sets:
        return None
    found = []
    middle = float(np.median(limits))
    if np.isfinite(middle):
        found.append(middle)
    pooled = MergedSet(*(np.concatenate([getattr(s, f) for s in sets]) for f in ("key", "intensity", "sigma")))
    by_cc, _ = resolution_limit(
        pooled.key, pooled.intensity, pooled.sigma, inverse_d_squared(pooled.hkl, cell),
        min_i_mean_over_sigma_mean=None, min_cc_half=params.min_cc_half, seed=params.seed,
    )  # fmt: skip
    if by_cc is not None:
        found.append(by_cc)
    return min(found) if found else None
