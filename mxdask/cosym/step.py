"""The step: reflections of each crystal prepared in parallel, correlations by operator, one solution."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mxdask.cosym.pairs import Correlations, PairRules, ReflectionLists, correlate
from mxdask.cosym.params import Params
from mxdask.cosym.placement import Frame, class_scores
from mxdask.cosym.plan import Datasets, Plan, plan_datasets
from mxdask.cosym.prepare import Prepared, collect, prepare
from mxdask.cosym.reference import solve_against
from mxdask.cosym.settings_group import SettingsGroup
from mxdask.cosym.solve import Solution, solve
from mxdask.cosym.space_group import find_space_group
from mxdask.cosym.summary import log_solution, summarise
from mxdask.errors import MxdaskError
from mxdask.flow import Failed, Flow
from mxdask.intensity.absence_tables import absence_report, absence_rows
from mxdask.intensity.absences import Candidate, ScrewScore
from mxdask.intensity.apply_setting import apply_settings
from mxdask.intensity.merged_set import MergedSet
from mxdask.intensity.symmetry_data import split_by_row
from mxdask.models.experiment import ExperimentList
from mxdask.table import ReflectionTable, match_to_experiments

logger = logging.getLogger(__name__)

_BLOCK = 100  # crystals placed by one task


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
    datasets, d_min = collect(plan, prepared, params)
    if len(datasets.sets) == 0:
        raise MxdaskError(f"cosym: no crystal has {params.min_reflections} usable reflections; lower min_reflections=")
    logger.info("Using %d crystals, %s", len(datasets.sets), f"d > {d_min:.2f} Å" if d_min else "all reflections")

    tasks = _Tasks(flow)
    rules = PairRules(params.min_pairs, params.cc_weights)
    if plan.reference is None:
        symmetry = (plan.lattice, plan.settings, plan.candidates, plan.core)
        solution = solve(datasets.sets, datasets.keys, *symmetry, params, rules, tasks)
    else:
        solution = solve_against(
            datasets.sets, plan.reference, plan.lattice, plan.settings, plan.cell, params.normalisation, rules, tasks
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
    parts = split_by_row(experiments, reflections, plan.rows)
    items = [
        (table, P, plan.cell, plan.core, plan.lattice, width, params)
        for (table, width), P in zip(parts, plan.P, strict=True)
    ]
    return flow.map(prepare, items, name="cosym-prepare")


@dataclass(frozen=True)
class _Tasks:
    """The work that is spread over tasks: elements of the pair matrix, and blocks of crystals to be placed."""

    flow: Flow

    def correlate(
        self, lists: ReflectionLists, group: SettingsGroup, elements: list[int], rules: PairRules
    ) -> list[Correlations]:
        return self._results(correlate, [(lists, lists, group, g, rules) for g in elements], "cosym-pairs")

    def class_scores(
        self, sets: Sequence[MergedSet], references: ReflectionLists, frame: Frame
    ) -> tuple[np.ndarray, np.ndarray]:
        blocks = [sets[lo : lo + _BLOCK] for lo in range(0, len(sets), _BLOCK)]
        parts = self._results(class_scores, [(block, references, frame) for block in blocks], "cosym-place")
        return np.concatenate([score for score, _ in parts]), np.concatenate([pairs for _, pairs in parts])

    def _results(self, function: Callable[..., Any], items: list[tuple[Any, ...]], name: str) -> list[Any]:
        results = self.flow.map(function, items, name=name)
        for result in results:
            if isinstance(result, Failed):
                raise MxdaskError(f"cosym: {result.reason}")
        return results


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
