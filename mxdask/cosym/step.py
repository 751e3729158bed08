"""The step: reflections of each crystal prepared in parallel, correlations by operator, one solution."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from mxdask.cosym.pairs import ReflectionLists, correlate
from mxdask.cosym.params import Params
from mxdask.cosym.plan import Datasets, Plan, plan_datasets
from mxdask.cosym.reference import solve_against
from mxdask.cosym.settings_group import SettingsGroup
from mxdask.cosym.solve import Solution, solve
from mxdask.cosym.space_group import Axial, axial_observations, find_space_group
from mxdask.cosym.summary import log_solution, summarise
from mxdask.errors import MxdaskError
from mxdask.flow import Failed, Flow
from mxdask.intensity.absence_tables import absence_report, absence_rows
from mxdask.intensity.absences import Candidate, ScrewScore
from mxdask.intensity.apply_setting import apply_settings
from mxdask.intensity.merged_set import MergedSet, merge_set
from mxdask.intensity.resolution_limit import resolution_limit
from mxdask.intensity.symmetry_data import inverse_d_squared, normalised_set, usable_observations
from mxdask.lattice.operators import reindex
from mxdask.models.experiment import ExperimentList
from mxdask.table import ReflectionTable, match_to_experiments

logger = logging.getLogger(__name__)


def run(
    experiments: ExperimentList, reflections: ReflectionTable | None, params: Params, *, flow: Flow
) -> tuple[ExperimentList, ReflectionTable, dict[str, Any]]:
    """One indexing setting and one Laue group for all crystals.

    Returns
    -------
    Experiments and reflections of the crystals that could be placed, in the best setting of the space group found
    (or given); what was left out, and why, is in the summary's rows.
    """
    if reflections is None or len(reflections) == 0:
        raise MxdaskError("cosym: no reflections; give the .refl file that integrate or scale wrote")
    reflections = match_to_experiments(reflections, experiments.identifiers)
    plan = plan_datasets(experiments, params)
    prepared = _prepare(plan, experiments, reflections, params, flow)
    datasets, d_min = _collect(plan, prepared, params)
    if len(datasets.sets) == 0:
        raise MxdaskError(f"cosym: no crystal has {params.min_reflections} usable reflections; lower min_reflections=")
    logger.info("Using %d crystals, %s", len(datasets.sets), f"d > {d_min:.2f} Å" if d_min else "all reflections")

    def correlate_all(
        lists: ReflectionLists, group: SettingsGroup, elements: list[int], min_pairs: int
    ) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        results = flow.map(correlate, [(lists, lists, group, g, min_pairs) for g in elements], name="cosym-pairs")
        for result in results:
            if isinstance(result, Failed):
                raise MxdaskError(f"cosym: {result.reason}")
        return dict(zip(elements, results, strict=True))

    if plan.reference is None:
        symmetry = (plan.lattice, plan.settings, plan.candidates, plan.core)
        solution = solve(datasets.sets, datasets.names, *symmetry, params, correlate_all)
    else:
        solution = solve_against(
            datasets.sets,
            plan.reference,
            plan.lattice,
            plan.settings,
            plan.cell,
            params.normalisation,
            params.min_pairs,
        )
    log_solution(solution, datasets, plan)
    changes = _changes(solution, datasets, plan)
    if not changes:
        raise MxdaskError("cosym: no crystal could be placed: they share too few reflections")
    axes, candidates = _absences(solution, plan, prepared, changes, d_min, params)
    space_group = plan.space_group or (candidates[0].groups[0] if candidates else solution.setting.space_group)
    logger.info("%s", absence_report(axes, candidates, space_group))
    new_experiments, new_reflections = apply_settings(experiments, reflections, changes, space_group)
    summary = summarise(experiments, plan, datasets, solution, space_group, d_min, changes)
    summary |= absence_rows(axes, candidates)
    return new_experiments, new_reflections, summary


def _prepare(
    plan: Plan, experiments: ExperimentList, reflections: ReflectionTable, params: Params, flow: Flow
) -> list[Prepared | Failed]:
    """Normalised sets, one per experiment that the plan uses, in its order."""
    tables = reflections.split_by("id")
    empty = reflections.select(np.zeros(len(reflections), dtype=bool))
    items = []
    for row, P in zip(plan.rows, plan.P, strict=True):
        scan = experiments[row].scan
        width = None if scan is None or scan.is_still else scan.width
        items.append((tables.get(row, empty), P, plan.cell, plan.core, plan.lattice, width, params))
    return flow.map(prepare, items, name="cosym-prepare")


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


def _collect(plan: Plan, prepared: list[Prepared | Failed], params: Params) -> tuple[Datasets, float | None]:
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
                    reasons[row] = f"{len(merged)} reflections to {d_min:.2f} Å, fewer than min_reflections"
    return Datasets(list(kept), list(kept.values()), [plan.names[c] for c in kept], reasons), d_min or params.d_min


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


def _changes(solution: Solution, datasets: Datasets, plan: Plan) -> dict[int, np.ndarray]:
    """Change of basis of every experiment that was placed, from its input indices to the best setting."""
    op_of = dict(zip(datasets.crystals, solution.ops, strict=True))
    best = solution.setting.P_minimum_best
    changes = {}
    for row, P in zip(plan.rows, plan.P, strict=True):
        op = op_of.get(plan.crystal_of[row])
        if op is not None and row not in datasets.reasons:
            changes[row] = best @ op @ P
    return changes


def _absences(
    solution: Solution,
    plan: Plan,
    prepared: list[Prepared | Failed],
    changes: dict[int, np.ndarray],
    d_min: float | None,
    params: Params,
) -> tuple[list[ScrewScore], list[Candidate]]:
    """Scores of screw axes and space groups, unless the group is given."""
    if plan.space_group is not None or not params.systematic_absences.check:
        return [], []
    crystals = [
        (p.axial.within(plan.cell, d_min), changes[row] @ np.linalg.inv(P))
        for row, P, p in zip(plan.rows, plan.P, prepared, strict=True)
        if row in changes and isinstance(p, Prepared)
    ]
    return find_space_group(crystals, solution.setting.space_group, params.systematic_absences.significance_level)
