"""The step ``refine``: sets of experiments that share models, refined task by task (front.md 12.1)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.flow import Failed, Flow
from mxdask.flow.failed import Guarded
from mxdask.models import Experiment, ExperimentList
from mxdask.refine import sharing
from mxdask.refine.output import assemble
from mxdask.refine.params import Params
from mxdask.refine.plan import State, prepare
from mxdask.refine.report import log_summary, summarise
from mxdask.refine.subsets import put_back, subsets
from mxdask.refine.task import OUTPUT_COLUMNS, SetResult, refine_alone, refine_set
from mxdask.table import ReflectionTable

log = logging.getLogger(__name__)

# Σw r² per reflection may grow by this factor when geometries are made one; if it grows more, they are not one.
MAX_GROWTH = 2.0
MAX_VOLUME_CHANGE = 0.5
# Experiments from which on a set is spread over tasks instead of being one.
LARGE_SET = 64

# Rows of a set → its result; row → (χ²_reduced, reflections used) with its own geometry.
Results = dict[tuple[int, ...], SetResult]
Quality = dict[int, tuple[float, int]]


def run(
    experiments: ExperimentList, reflections: ReflectionTable | None, params: Params, *, flow: Flow
) -> tuple[ExperimentList, ReflectionTable, dict[str, Any]]:
    """Refine every model of the experiments.

    Parameters
    ----------
    experiments, reflections : as indexing leaves them.

    Returns
    -------
    Refined experiments in their order (those that could not be refined are left out), all reflections (those of the
    left out ones as unindexed), and the summary with one row per experiment.

    Raises
    ------
    MxdaskError : no reflections, or no experiment has a crystal.
    """
    state = prepare(experiments, reflections, params)
    results = _refine(state, params, flow)
    summary = summarise(state, results)
    log_summary(summary)
    return *assemble(experiments, state), summary


def _refine(state: State, params: Params, flow: Flow) -> Results:
    """Refine all sets, with geometries made one where the policy says so; models and predictions go into the state."""
    groups = _groups(state, params)
    if not groups:
        return _refine_sets(state, _sets(state, params), params, flow)
    given = list(state.experiments)
    quality = _refine_alone(state, params, flow)
    apart = State(list(state.experiments), state.table)
    for group in groups:
        _make_one(state, group, quality, given)
    policy = params.refinement.sharing.detector
    held = _with_policy(params, "fixed") if policy == "reference" else params
    results = _refine_sets(state, _sets(state, params), held, flow, quality)
    if policy == "auto":
        _keep_apart_what_differs(state, apart, results, quality, params, flow)
    return results


def _groups(state: State, params: Params) -> list[list[int]]:
    """Rows whose beams and detectors, now several, are taken to be one."""
    good = state.good
    part = ExperimentList([state.experiments[row] for row in good])
    groups = sharing.to_be_shared(part, params.refinement.sharing)
    return [[good[i] for geometry in group for i in geometry.rows] for group in groups]


def _sets(state: State, params: Params) -> list[list[int]]:
    """Rows of each task: experiments connected by shared models."""
    good = state.good
    tied = params.refinement.parameterisation.crystal.unit_cell.restraints.tie_to_group.sigmas is not None
    if tied or not params.separate_independent_sets:
        return [good] if good else []
    part = ExperimentList([state.experiments[row] for row in good])
    return [[good[i] for i in rows] for rows in sharing.connected_sets(part)]


def _refine_alone(state: State, params: Params, flow: Flow) -> Quality:
    """One macrocycle with the geometries as they came."""
    sets = _sets(state, params)
    items = [(*item, params) for item in subsets(state.experiments, state.table, sets)]
    quality: Quality = {}
    done = []
    for rows, result in zip(sets, flow.map(refine_alone, items, name="refine-alone", keep=True), strict=True):
        if isinstance(result, Failed):
            _fail(state, rows, result)
            continue
        done.append((rows, result))
        quality |= {row: (result.chi2_reduced, int(n)) for row, n in zip(rows, result.n_used, strict=True)}
    state.table = put_back(state.experiments, state.table, done)
    return quality


def _make_one(state: State, group: list[int], quality: Quality, given: list[Experiment]) -> None:
    """Give a group the beam and detector of its sweep with most reflections, as that came in.

    Priors are about the geometry a fit starts from: it must not be one that a single sweep was fitted with.
    """
    rows = [row for row in group if row not in state.failed]
    if not rows:
        return
    best = given[max(rows, key=lambda row: (quality[row][1], given[row].identifier))]
    for row in rows:
        state.experiments[row] = state.experiments[row].evolve(beam=best.beam, detector=best.detector)
    count = len({state.experiments[row].name for row in rows})
    state.messages.append(
        f"one beam and detector for {count} sweeps, starting from that of {best.name} (detector=per_sweep for one each)"
    )


def _refine_sets(
    state: State, sets: list[list[int]], params: Params, flow: Flow, quality: Quality | None = None
) -> Results:
    """Map :func:`refine_set` over sets; with ``quality``, sets of several rows have just got another geometry."""
    items = []
    for rows, item in zip(sets, subsets(state.experiments, state.table, sets), strict=True):
        noise = None if quality is None or len(rows) == 1 else float(np.median([quality[row][0] for row in rows]))
        items.append((*item, params, noise))
    results: Results = {}
    for rows, result in zip(sets, _map_sets(items, flow), strict=True):
        if isinstance(result, Failed):
            _fail(state, rows, result)
            continue
        _check_volumes(state, rows, result)
        results[tuple(rows)] = result
    state.table = put_back(state.experiments, state.table, [(rows, r.final) for rows, r in results.items()])
    return results


def _map_sets(items: list[tuple[Any, ...]], flow: Flow) -> list[Any]:
    """Each set's result: small sets are a task each, large ones are spread over many tasks, one after the other."""
    small = [i for i, item in enumerate(items) if len(item[0]) < LARGE_SET]
    results = dict(zip(small, flow.map(refine_set, [items[i] for i in small], name="refine", keep=True), strict=True))
    for i, item in enumerate(items):
        if i not in results:
            results[i] = Guarded(refine_set)(*item, OnDask(flow))
    return [results[i] for i in range(len(items))]


class OnDask:
    """Works on the parts of a large set as tasks of Dask graphs (:class:`mxdask.modelfit.part.Hands`)."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow

    def place(self, parts: Sequence[Any]) -> list[Any]:
        return self._flow.place(parts, name="refine-place")

    def map(self, function: Callable[..., Any], items: Sequence[tuple[Any, ...]], name: str) -> list[Any]:
        results = self._flow.map(function, items, name=name)
        for result in results:
            if isinstance(result, Failed):
                raise MxdaskError(result.reason)
        return results


def _keep_apart_what_differs(
    state: State, apart: State, results: Results, quality: Quality, params: Params, flow: Flow
) -> None:
    """Take back a common geometry with which the sweeps fit much worse than with their own."""
    for rows in list(results):
        before = np.average([quality[row][0] for row in rows], weights=[quality[row][1] for row in rows])
        growth = results[rows].static.chi2_reduced / before
        if len(rows) == 1 or growth <= MAX_GROWTH:
            continue
        state.messages.append(
            f"{len(rows)} sweeps do not fit one geometry (χ² grows {growth:.1f} times): refined with one each"
        )
        for row in rows:
            state.experiments[row] = apart.experiments[row]
        table = state.table.copy()
        mine = np.isin(table["id"], rows)
        for name in OUTPUT_COLUMNS:
            table[name] = np.where(mine if table[name].ndim == 1 else mine[:, None], apart.table[name], table[name])
        state.table = table
        del results[rows]
        sets = [s for s in _sets(state, params) if set(s) <= set(rows)]
        results |= _refine_sets(state, sets, params, flow)


def _fail(state: State, rows: list[int], failure: Failed) -> None:
    if failure.detail:
        log.debug("%s", failure.detail)
    for row in rows:
        state.failed[row] = failure.reason


def _check_volumes(state: State, rows: list[int], result: SetResult) -> None:
    """A cell that changes this much was not refined but lost."""
    for row, refined in zip(rows, result.final.experiments, strict=True):
        before, after = state.experiments[row].crystal, refined.crystal
        assert before is not None and after is not None
        if abs(after.volume / before.volume - 1.0) > MAX_VOLUME_CHANGE:
            state.failed[row] = f"the cell's volume went from {before.volume:.0f} to {after.volume:.0f} Å³"


def _with_policy(params: Params, policy: str) -> Params:
    refinement = params.refinement
    changed = refinement.sharing.model_copy(update={"detector": policy})
    return params.model_copy(update={"refinement": refinement.model_copy(update={"sharing": changed})})
