"""``refine_bravais_settings``: every crystal in every setting of its lattice, a task each (front.md 10.2)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from mxdask.bravais.params import Params, fit_options
from mxdask.bravais.plan import LatticeGroup, crystals_of, lattice_groups
from mxdask.bravais.summary import Row, crystal_name, failed_row, pooled, row_of, summary_json, table
from mxdask.bravais.trial import COLUMNS, Trial, refine_in_setting
from mxdask.errors import MxdaskError, ParameterError
from mxdask.flow import Failed, Flow
from mxdask.lattice.operators import abc_of
from mxdask.models import Experiment, ExperimentList
from mxdask.table import ReflectionTable

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class GroupResult:
    """Settings of the crystals with one lattice.

    Attributes
    ----------
    group : the crystals and settings.
    rows : per setting (triclinic last), over all crystals of the group.
    per_crystal : crystal → its rows.
    experiments : number of the setting → refined experiments of all crystals that could be refined in it.
    """

    group: LatticeGroup
    rows: list[Row]
    per_crystal: dict[int, list[Row]]
    experiments: dict[int, ExperimentList]

    def summary(self) -> dict[str, Any]:
        """Content of the summary file."""
        out: dict[str, Any] = dict(summary_json(self.rows))
        if len(self.group.crystals) > 1:
            out["crystals"] = {str(row): summary_json(rows) for row, rows in self.per_crystal.items()}
        return out


def run(
    experiments: ExperimentList, reflections: ReflectionTable, params: Params, *, flow: Flow
) -> tuple[list[GroupResult], dict[str, Any]]:
    """Refine all crystals under all symmetries that their lattices allow.

    Parameters
    ----------
    experiments, reflections : as indexing leaves them, ``id`` by row of ``experiments``.

    Returns
    -------
    One result per lattice (the one with most crystals first), and the summary.

    Raises
    ------
    ParameterError : ``crystal_id`` names no crystal. MxdaskError : no setting could be refined.
    """
    crystals = crystals_of(experiments)
    if params.crystal_id is not None:
        if params.crystal_id >= len(crystals):
            raise ParameterError(f"crystal_id={params.crystal_id}: there are crystals 0..{len(crystals) - 1}")
        crystals = [crystals[params.crystal_id]]
    groups = lattice_groups([crystal for crystal, _ in crystals], params)
    sets = [_set(experiments, reflections, rows) for _, rows in crystals]
    options = fit_options(params)
    jobs = [
        (group, i, member, setting.P_input_best @ P)
        for group in groups
        for member, P in zip(group.crystals, group.to_common, strict=True)
        for i, setting in enumerate(group.settings)
    ]
    items = [(*sets[member], P, group.settings[i].bravais, options) for group, i, member, P in jobs]
    trials = flow.map(refine_in_setting, items, name="refine_bravais_settings", keep=True)
    names = [
        crystal_name(i if params.crystal_id is None else params.crystal_id, experiments[rows[0]].name, crystal)
        for i, (crystal, rows) in enumerate(crystals)
    ]
    results = [_collect(group, experiments, jobs, list(trials)) for group in groups]
    _log(results, names)
    if not any(result.experiments for result in results):
        reasons = dict.fromkeys(row.failure for result in results for row in result.rows if row.failure)
        raise MxdaskError(f"no crystal could be refined in any setting: {'; '.join(reasons)}")
    return results, {"lattices": [r.summary() for r in results]}


def _set(
    experiments: ExperimentList, reflections: ReflectionTable, rows: list[int]
) -> tuple[ExperimentList, ReflectionTable]:
    """The sweeps of one crystal and their indexed reflections, ids renumbered."""
    new_id = np.full(len(experiments) + 1, -1, dtype=np.int32)
    new_id[rows] = np.arange(len(rows))
    ids = new_id[reflections["id"]]
    mine = (ids >= 0) & np.any(reflections["miller_index"] != 0, axis=1)
    table = ReflectionTable({name: reflections[name][mine] for name in COLUMNS if name in reflections})
    table["id"] = ids[mine]
    part = experiments.with_experiments([_bare(experiments[row]) for row in rows])
    return part, table


def _bare(experiment: Experiment) -> Experiment:
    return experiment.evolve(profile=None, scaling_model=None)


def _collect(
    group: LatticeGroup,
    experiments: ExperimentList,
    jobs: list[tuple[LatticeGroup, int, int, np.ndarray]],
    trials: list[Trial | Failed],
) -> GroupResult:
    per_crystal: dict[int, list[Row]] = {member: [] for member in group.crystals}
    refined: dict[int, list[Experiment]] = {group.number(i): [] for i in range(len(group.settings))}
    for (owner, i, member, P), trial in zip(jobs, trials, strict=True):
        if owner is not group:
            continue
        setting, number = group.settings[i], group.number(i)
        if isinstance(trial, Failed):
            per_crystal[member].append(failed_row(setting, number, abc_of(P), trial.reason))
        else:
            per_crystal[member].append(row_of(setting, number, trial, abc_of(P)))
            refined[number] += trial.experiments
    rows = [
        pooled([rows[i] for rows in per_crystal.values()], setting) if len(group.crystals) > 1
        else next(iter(per_crystal.values()))[i]
        for i, setting in enumerate(group.settings)
    ]  # fmt: skip
    lists = {number: experiments.with_experiments(found) for number, found in refined.items() if found}
    return GroupResult(group, rows, per_crystal, lists)


def _log(results: list[GroupResult], names: list[str]) -> None:
    for k, result in enumerate(results, start=1):
        for member, rows in result.per_crystal.items():
            log.info("%s\n", table(rows, title=names[member]))
            for row in rows:
                if row.failure:
                    log.info("  setting %d: %s", row.number, row.failure)
        if len(result.group.crystals) > 1:
            title = f"lattice {k}: {len(result.group.crystals)} crystals together"
            log.info("%s\n", table(result.rows, title=title))
