"""Which experiments take part in refinement, and what keeps the others out."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.geometry.mapping import map_centroids
from mxdask.modelfit.selection import indexed_rows
from mxdask.models import Experiment, ExperimentList
from mxdask.refine import sharing
from mxdask.refine.params import Params
from mxdask.refine.subsets import subsets
from mxdask.refine.task import INPUT_COLUMNS, unusable
from mxdask.table import ReflectionTable, match_to_experiments


@dataclass
class State:
    """What refinement has come to, for every experiment that was given.

    Attributes
    ----------
    experiments : in their order. table : all reflections, ids by row.
    failed : row → why it is not refined. messages : what was decided, for the log.
    """

    experiments: list[Experiment]
    table: ReflectionTable
    failed: dict[int, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    @property
    def good(self) -> list[int]:
        """Rows of the experiments that have not failed."""
        return [row for row in range(len(self.experiments)) if row not in self.failed]


def prepare(experiments: ExperimentList, reflections: ReflectionTable | None, params: Params) -> State:
    """Match the table to the experiments, set aside what cannot be refined, copy what must not be shared.

    Raises
    ------
    MxdaskError : no reflections, or no crystals at all.
    """
    if reflections is None or not len(reflections):
        raise MxdaskError("refine needs indexed reflections: give the .refl file of index, too")
    if not any(e.crystal is not None for e in experiments):
        raise MxdaskError("no experiment has a crystal: refine comes after index")
    state = State(list(experiments), match_to_experiments(reflections, experiments.identifiers))
    indexed = np.bincount(state.table["id"][indexed_rows(state.table)], minlength=len(experiments))
    for row, experiment in enumerate(experiments):
        if experiment.crystal is None:
            state.failed[row] = "no crystal: not indexed"
        elif experiment.scan is None or experiment.scan.is_still or experiment.goniometer is None:
            state.failed[row] = "stills cannot be refined"
        elif not indexed[row]:
            state.failed[row] = "no indexed reflections"
    state.table = _with_all_columns(state)
    _copy_models(state, params)
    set_aside(state, params)
    return state


def set_aside(state: State, params: Params) -> None:
    """Mark experiments with too few usable reflections as failed: they must not spoil the set they belong to."""
    good = state.good
    if good:
        for i, reason in unusable(*subsets(state.experiments, state.table, [good])[0], params).items():
            state.failed[good[i]] = reason


def _copy_models(state: State, params: Params) -> None:
    """Crystals per scan where they may vary along it, geometries per sweep where asked for."""
    good = state.good
    part = ExperimentList([state.experiments[row] for row in good])
    if params.refinement.parameterisation.scan_varying is not False:
        part = sharing.own_crystals(part)
    if params.refinement.sharing.detector == "per_sweep":
        part = sharing.own_geometry(part)
    for row, experiment in zip(good, part, strict=True):
        state.experiments[row] = experiment


def _with_all_columns(state: State) -> ReflectionTable:
    """The table with every column a fit needs; positions in mm are kept where indexing wrote them."""
    table = state.table
    missing = [name for name in INPUT_COLUMNS if name not in table]
    if not missing:
        return table
    out = table.copy()
    for row in state.good:
        rows = np.flatnonzero(table["id"] == row)
        part = map_centroids(state.experiments[row], table.select(rows))
        for name in missing:
            values = out[name].copy() if name in out else np.zeros((len(out), *part[name].shape[1:]), part[name].dtype)
            values[rows] = part[name]
            out[name] = values
    return out
