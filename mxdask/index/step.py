"""The step ``index``: every sweep by itself (or all as one crystal), then what the sweeps can learn from each other."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mxdask.errors import MxdaskError, ParameterError
from mxdask.flow import Failed, Flow
from mxdask.index.consensus import Consensus
from mxdask.index.goniometer_record import explain_disagreement
from mxdask.index.hints import plan_second_pass
from mxdask.index.joint import MAX_TRIED_TOGETHER, Verdict, joint_is_better, judge, with_indices_like
from mxdask.index.known_symmetry import TargetSymmetry
from mxdask.index.output import assemble, with_shoeboxes
from mxdask.index.params import Indexing, Params
from mxdask.index.prepare import Sweep, split_sweeps
from mxdask.index.report import cell_words, log_table, summarise
from mxdask.index.shared_geometry import MIN_SWEEPS, Displacement, agreed_displacement
from mxdask.index.sweep import Outcome
from mxdask.index.tasks import Result, displacement_alone, index_again, index_sweeps, refine_with_geometry
from mxdask.models import ExperimentList
from mxdask.table import ReflectionTable

log = logging.getLogger(__name__)

_NARROW = 30.0  # degrees: a wider sweep determines the detector better by itself
_MIN_INDEXED_FOR_GEOMETRY = 100
_SWEEPS_FOR_GEOMETRY = 100  # those with most spots; more would not change the average by as much as it is uncertain


def run(
    experiments: ExperimentList, reflections: ReflectionTable | None, params: Params, *, flow: Flow
) -> tuple[ExperimentList, ReflectionTable, dict[str, Any]]:
    """Find the lattice of every sweep.

    Parameters
    ----------
    experiments : of import; experiments with a crystal keep its orientation as the start.
    reflections : strong spots.

    Returns
    -------
    One experiment per sweep and lattice that was found, all spots (unindexed ones with id -1), and the summary with
    one row per sweep.

    Raises
    ------
    MxdaskError : no reflections, or nothing that can be indexed by its kind (stills).
    """
    if reflections is None:
        raise MxdaskError("index needs the strong spots: give the .refl file of find_spots, too")
    indexing = params.indexing
    # What no sweep can do anything about is told before the work starts.
    target = TargetSymmetry.of(indexing.known_symmetry)
    if indexing.method == "real_space_grid_search" and target.cell is None:
        raise ParameterError("indexing.method=real_space_grid_search needs unit_cell=")
    sweeps = split_sweeps(experiments, reflections, indexing)
    log.info("%d spots in %d sweeps", sum(len(s.table) for s in sweeps), len(sweeps))
    results, verdict, found = _index(sweeps, indexing, flow)
    listed, table, rows = assemble(experiments, sweeps, results)
    table = with_shoeboxes(table, reflections)
    summary = summarise(rows, verdict, found, indexing)
    log_table(summary)
    return listed, table, summary


def _index(sweeps: list[Sweep], params: Indexing, flow: Flow) -> tuple[list[Result], Verdict, Consensus | None]:
    """Results (of one sweep each, or one of all), whether they are one crystal, and the consensus of their cells."""
    if params.joint_indexing is True and len(sweeps) > 1:
        return _map(index_sweeps, [(sweeps, params)], [_rows(sweeps)], flow), Verdict(True, "joint=true"), None
    results = _map(index_sweeps, [([s], params) for s in sweeps], [(s.row,) for s in sweeps], flow)
    if len(sweeps) == 1:
        return results, Verdict(True, "one sweep"), None
    verdict = judge(results) if params.joint_indexing is None else Verdict(False, "joint=false")
    if params.joint_indexing is None:
        joint, verdict = _try_together(sweeps, results, verdict, params, flow)
        if joint is not None:
            return [joint], verdict, None
        mistake = "" if verdict.is_one_crystal else explain_disagreement(sweeps, results)
        verdict = replace(verdict, reason=f"{verdict.reason}; {mistake}") if mistake else verdict
    results, found = _second_pass(sweeps, results, params, flow)
    results = _agree_on_geometry(sweeps, results, params, flow)
    return _alike(results), verdict, found


def _alike(results: list[Result]) -> list[Result]:
    """Sweeps of one crystal that were indexed apart get the same choice of indices."""
    if not judge(results).is_one_crystal:
        return results
    first = next(r for r in results if r.solution is not None)
    return [r if r.solution is None or r is first else with_indices_like(r, first) for r in results]


def _map(function: Any, items: list[tuple[Any, ...]], rows: Sequence[tuple[int, ...]], flow: Flow) -> list[Result]:
    """Results of the tasks; a task that broke counts as a failure of its sweeps."""
    out = []
    for result, of_rows in zip(flow.map(function, items, name="index", keep=True), rows, strict=True):
        if isinstance(result, Failed):
            if result.detail:
                log.debug("%s", result.detail)
            result = Result(tuple(of_rows), Outcome(None, reason=result.reason))
        out.append(result)
    return out


def _rows(sweeps: Sequence[Sweep]) -> tuple[int, ...]:
    return tuple(s.row for s in sweeps)


def _try_together(
    sweeps: list[Sweep], results: list[Result], verdict: Verdict, params: Indexing, flow: Flow
) -> tuple[Result | None, Verdict]:
    """Index all sweeps as one crystal if their orientations say so, or if some of few sweeps failed alone."""
    some_failed = any(r.solution is None for r in results) and len(sweeps) <= MAX_TRIED_TOGETHER
    if not verdict.is_one_crystal and not (some_failed and verdict.reason.startswith(("0 of", "1 of"))):
        return None, verdict
    joint = _map(index_sweeps, [(sweeps, params)], [_rows(sweeps)], flow)[0]
    if joint_is_better(joint, results):
        reason = verdict.reason if verdict.is_one_crystal else f"{verdict.reason}, all of them together"
        return joint, Verdict(True, reason)
    trouble = "but do not fit one crystal closely: the goniometer's angles are not quite right, or it slipped"
    if not verdict.is_one_crystal:
        trouble = "and one crystal does not explain all of them"
    return None, Verdict(False, f"{verdict.reason}, {trouble}")


def _second_pass(
    sweeps: list[Sweep], results: list[Result], params: Indexing, flow: Flow
) -> tuple[list[Result], Consensus | None]:
    """Re-index failures and odd ones with what the other sweeps know."""
    plan = plan_second_pass(sweeps, results, params)
    again = sorted(plan.of_sweep)
    if plan.consensus is not None and params.known_symmetry.unit_cell is None:
        log.info(
            "Consensus cell of %d sweeps: %s; second pass over %d sweeps",
            len(plan.consensus.members), cell_words(plan.consensus.cell), len(again),
        )  # fmt: skip
    items = [(sweeps[i], params, plan.of_sweep[i], results[i]) for i in again]
    out = list(results)
    for i, result in zip(again, _map(index_again, items, [results[i].rows for i in again], flow), strict=True):
        out[i] = result if result.solution is not None or results[i].solution is None else results[i]
    return out, plan.consensus


def _agree_on_geometry(sweeps: list[Sweep], results: list[Result], params: Indexing, flow: Flow) -> list[Result]:
    """Refine narrow sweeps on one detector again with the orientation and distance they agree on."""
    if params.refinement_protocol.geometry_consensus is False:
        return results
    out = list(results)
    for group in _same_detector(sweeps, results, params):
        agreed = _displacement(sweeps, results, group, params, flow)
        if agreed is None:
            continue
        log.info(
            "Detector of %d sweeps: turned by %s mrad, %+.3f mm farther than imported",
            len(group), ", ".join(f"{1e3 * x:.2f}" for x in agreed.rotation), agreed.distance,
        )  # fmt: skip
        items = [([sweeps[i]], params, agreed, results[i]) for i in group]
        refined = _map(refine_with_geometry, items, [results[i].rows for i in group], flow)
        for i, result in zip(group, refined, strict=True):
            if result.solution is not None:
                out[i] = result
    return out


def _same_detector(sweeps: list[Sweep], results: list[Result], params: Indexing) -> list[list[int]]:
    """Groups of indexed narrow sweeps (all sweeps, if asked for) with one imported detector and beam."""
    groups: list[list[int]] = []
    for i, sweep in enumerate(sweeps):
        e = sweep.experiment
        assert e.scan is not None and e.detector is not None and e.beam is not None
        wide = abs(e.scan.width) * e.scan.n_images > _NARROW
        if results[i].solution is None or (wide and not params.refinement_protocol.geometry_consensus):
            continue
        for group in groups:
            other = sweeps[group[0]].experiment
            assert other.detector is not None and other.beam is not None
            if e.detector.is_similar_to(other.detector) and e.beam.is_similar_to(other.beam):
                group.append(i)
                break
        else:
            groups.append([i])
    return groups


def _displacement(
    sweeps: list[Sweep], results: list[Result], group: list[int], params: Indexing, flow: Flow
) -> Displacement | None:
    """What the well-determined sweeps of a group agree on, each with the weight of its indexed spots."""
    known = [(r.solution.n_indexed, i) for i, r in ((i, results[i]) for i in group) if r.solution is not None]
    good = [(n, i) for n, i in known if n >= _MIN_INDEXED_FOR_GEOMETRY]
    if len(good) < MIN_SWEEPS:
        return None
    good.sort(key=lambda item: (-item[0], sweeps[item[1]].experiment.name))
    chosen = good[:_SWEEPS_FOR_GEOMETRY]
    found = flow.map(displacement_alone, [(sweeps[i], params, results[i]) for _, i in chosen], name="index", keep=True)
    votes = [(d, float(n)) for d, (n, _) in zip(found, chosen, strict=True) if not isinstance(d, Failed)]
    detector = sweeps[chosen[0][1]].experiment.detector
    assert detector is not None
    return agreed_displacement([d for d, _ in votes], [w for _, w in votes], detector[0].distance)
