"""The step: each sweep prepared in parallel, then all together scored and reindexed."""

from __future__ import annotations

import logging
from typing import Any

from mxdask.errors import MxdaskError
from mxdask.flow import Failed, Flow
from mxdask.intensity.absence_tables import absence_report
from mxdask.intensity.absences import Candidate, ScrewScore, score_space_groups
from mxdask.intensity.apply_setting import apply_settings
from mxdask.intensity.merged_set import MergedSet
from mxdask.intensity.resolution_limit import resolution_limit
from mxdask.intensity.symmetry_data import inverse_d_squared, split_by_row
from mxdask.lattice.operators import point_group
from mxdask.models.experiment import ExperimentList
from mxdask.symmetry.laue_group import LaueAnalysis, analyse
from mxdask.symmetry.params import Params
from mxdask.symmetry.plan import Choice, Plan, choose, plan_sweeps
from mxdask.symmetry.prepare import Prepared, friedel_key, friedel_pairs, in_laue_group, joined, prepare
from mxdask.symmetry.summary import log_laue, summarise
from mxdask.table import ReflectionTable, match_to_experiments

logger = logging.getLogger(__name__)


def run(
    experiments: ExperimentList, reflections: ReflectionTable | None, params: Params, *, flow: Flow
) -> tuple[ExperimentList, ReflectionTable, dict[str, Any]]:
    """Laue group and space group of sweeps that are indexed alike; see cosym for crystals that may not be.

    Returns
    -------
    Experiments and reflections in the best setting of the space group; the summary.
    """
    if reflections is None or len(reflections) == 0:
        raise MxdaskError("symmetry: no reflections; give the .refl file that integrate or scale wrote")
    reflections = match_to_experiments(reflections, experiments.identifiers)
    plan = plan_sweeps(experiments, params)
    results = _prepare(plan, experiments, reflections, params, flow)
    reasons = dict(plan.reasons)
    reasons |= {row: r.reason for row, r in zip(plan.rows, results, strict=True) if isinstance(r, Failed)}
    prepared = [r for r in results if not isinstance(r, Failed)]
    if not prepared and plan.fixed is None:
        raise MxdaskError(f"symmetry: no sweep can be used: {'; '.join(sorted(set(reasons.values())))}")
    d_min = _limit(prepared, plan, params)
    analysis, choice = None, plan.fixed
    if choice is None:
        analysis = _analyse(prepared, plan, d_min, params)
        log_laue(analysis)
        choice = choose(analysis.groups[0].setting)
    axes, candidates = _absences(prepared, choice, d_min, plan, params)
    space_group = choice.space_group or (candidates[0].groups[0] if candidates else choice.setting)
    logger.info("%s", absence_report(axes, candidates, space_group))
    changes = {row: choice.P @ P for row, P in zip(plan.rows, plan.P, strict=True) if row not in reasons}
    new_experiments, new_reflections = apply_settings(experiments, reflections, changes, space_group)
    summary = summarise(experiments, reasons, analysis, axes, candidates, space_group, d_min, changes, new_experiments)
    return new_experiments, new_reflections, summary


def _prepare(
    plan: Plan, experiments: ExperimentList, reflections: ReflectionTable, params: Params, flow: Flow
) -> list[Prepared | Failed]:
    parts = split_by_row(experiments, reflections, plan.rows)
    items = [(table, P, plan.cell, width, params) for (table, width), P in zip(parts, plan.P, strict=True)]
    return flow.map(prepare, items, name="symmetry-prepare")


def _limit(prepared: list[Prepared], plan: Plan, params: Params) -> float | None:
    """Resolution to which the data are used."""
    if params.d_min is not None or not prepared:
        return params.d_min
    data = joined([p.mates for p in prepared])
    limit, by = resolution_limit(
        friedel_key(data), data.intensity, data.sigma, inverse_d_squared(data.hkl, plan.cell),
        min_i_mean_over_sigma_mean=params.min_i_mean_over_sigma_mean, min_cc_half=params.min_cc_half, seed=params.seed,
    )  # fmt: skip
    for name, value in by.items():
        if value is not None:
            logger.info("Resolution estimate from %s: %.2f", name, value)
    return limit


def _analyse(prepared: list[Prepared], plan: Plan, d_min: float | None, params: Params) -> LaueAnalysis:
    def cut(data: MergedSet) -> MergedSet:
        if d_min is None:
            return data
        return data.select(inverse_d_squared(data.hkl, plan.cell) <= d_min**-2)

    merged = cut(joined([p.merged for p in prepared]))
    mates = cut(joined([p.mates for p in prepared]))
    logger.info("Selecting %d reflections%s", len(merged), f" with d > {d_min:.2f}" if d_min else "")
    if len(merged) == 0:
        raise MxdaskError("symmetry: no reflections within the resolution limit; give d_min=")
    s = inverse_d_squared(merged.hkl, plan.cell)
    return analyse(merged, friedel_pairs(mates), s, plan.lattice, plan.settings, params.seed)


def _absences(
    prepared: list[Prepared], choice: Choice, d_min: float | None, plan: Plan, params: Params
) -> tuple[list[ScrewScore], list[Candidate]]:
    """Scores of screw axes and space groups, unless the group is given."""
    if choice.space_group is not None or not params.systematic_absences.check or not prepared:
        return [], []
    ops = point_group(choice.setting)
    data = in_laue_group([p.observations for p in prepared], choice.P, ops, plan.cell, d_min)
    return score_space_groups(choice.setting, data, params.systematic_absences.significance_level)
