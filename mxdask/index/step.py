"""The step ``index``: every sweep by itself (or all as one crystal), then what the sweeps can learn from each other."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from mxdask.errors import MxdaskError, ParameterError
from mxdask.flow import Failed, Flow
from mxdask.index.consensus import Consensus, consensus_cell
from mxdask.index.joint import MAX_TRIED_TOGETHER, Verdict, joint_is_better, judge, with_indices_like
from mxdask.index.known_symmetry import TargetSymmetry
from mxdask.index.output import assemble, with_shoeboxes
from mxdask.index.params import Indexing, Params
from mxdask.index.prepare import Sweep, split_sweeps
from mxdask.index.shared_geometry import Displacement, agreed_displacement
from mxdask.index.sweep import Outcome, primitive_rows
from mxdask.index.tasks import Result, index_sweeps, index_with_cell, refine_with_geometry
from mxdask.models import ExperimentList
from mxdask.table import ReflectionTable
from mxdask.text import text_table

log = logging.getLogger(__name__)

_NARROW = 30.0  # degrees: a wider sweep determines the detector better by itself
_MIN_INDEXED_FOR_GEOMETRY = 100


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
    summary = _summary(rows, verdict, found, indexing)
    _log(summary)
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
    """Re-index failures and odd ones with the cell that most sweeps agree on (front.md 9.9, 13.1)."""
    wish = params.two_pass.mode
    if wish is False or (wish is None and len(sweeps) < params.two_pass.min_sweeps):
        return results, None
    solved = [i for i, r in enumerate(results) if r.solution is not None]
    found = consensus_cell(
        [_cell_rows(results[i], params) for i in solved],
        length_tolerance=params.two_pass.length_tolerance, angle_tolerance=params.two_pass.angle_tolerance,
    )  # fmt: skip
    if found is None:
        return results, None
    members = {solved[i] for i in found.members}
    odd = [i for i in range(len(results)) if i not in members and len(sweeps[i].table) >= params.min_spots]
    if params.known_symmetry.unit_cell is not None:
        return results, found
    log.info("Consensus cell of %d sweeps: %s; second pass over %d sweeps", len(members), _text(found.cell), len(odd))
    cell = tuple(float(x) for x in found.cell)
    items = [(sweeps[i], params, cell, results[i]) for i in odd]
    again = _map(index_with_cell, items, [results[i].rows for i in odd], flow)
    out = list(results)
    for i, result in zip(odd, again, strict=True):
        out[i] = result if result.solution is not None or results[i].solution is None else results[i]
    return out, found


def _cell_rows(result: Result, params: Indexing) -> np.ndarray:
    """Real-space vectors to compare: the user's setting if there is one, else the reduced primitive cell."""
    assert result.solution is not None
    crystal = result.solution.crystals[0]
    return crystal.real_space if params.known_symmetry.space_group else primitive_rows(crystal)


def _agree_on_geometry(sweeps: list[Sweep], results: list[Result], params: Indexing, flow: Flow) -> list[Result]:
    """Refine narrow sweeps on one detector again with the orientation and distance they agree on."""
    if params.refinement_protocol.geometry_consensus is False:
        return results
    out = list(results)
    for group in _same_detector(sweeps, results, params):
        agreed = _displacement(sweeps, results, group)
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


def _displacement(sweeps: list[Sweep], results: list[Result], group: list[int]) -> Displacement | None:
    """What the well-determined sweeps of a group agree on, each with the weight of its indexed spots."""
    pairs, weights = [], []
    for i in group:
        solution = results[i].solution
        assert solution is not None
        imported, refined = sweeps[i].experiment.detector, solution.spots.sweeps[0].detector
        if solution.n_indexed >= _MIN_INDEXED_FOR_GEOMETRY and imported is not None and refined is not None:
            pairs.append((imported, refined))
            weights.append(float(solution.n_indexed))
    return agreed_displacement(pairs, weights)


def _summary(rows: list[dict[str, Any]], verdict: Verdict, found: Consensus | None, params: Indexing) -> dict[str, Any]:
    ok = [r for r in rows if r["status"] == "ok"]
    spots, indexed = sum(r["n_spots"] for r in rows), sum(r["n_indexed"] for r in rows)
    return {
        "step": "index",
        "rows": rows,
        "n_sweeps": len(rows),
        "n_sweeps_indexed": len(ok),
        "n_lattices": sum(r["n_lattices"] for r in rows),
        "n_spots": spots,
        "n_indexed": indexed,
        "percent_indexed": round(100.0 * indexed / spots, 1) if spots else 0.0,
        "joint": verdict.is_one_crystal,
        "joint_reason": verdict.reason,
        "consensus_cell": None if found is None else [round(float(x), 3) for x in found.cell],
        "known_cell": params.known_symmetry.unit_cell,
        "space_group": params.known_symmetry.space_group,
    }


def _log(summary: dict[str, Any]) -> None:
    header = ["Sweep", "# spots", "# indexed", "%", "rmsd x (px)", "y (px)", "z (images)", "cell (Å, °)", "how"]
    lines = []
    for row in summary["rows"]:
        if row["status"] != "ok":
            lines.append([row["sweep"], row["n_spots"], 0, "0.0", None, None, None, "-", f"failed: {row['reason']}"])
            continue
        for number, lattice in enumerate(row["lattices"]):
            name = row["sweep"] if len(row["lattices"]) == 1 else f"{row['sweep']} lattice {number + 1}"
            how = ", ".join([row["method"], *row["steps"]])
            share = f"{100.0 * lattice['n_indexed'] / max(1, row['n_spots']):.1f}"
            rmsd = [None if x is None else f"{x:.3f}" for x in lattice["rmsd"]]
            lines.append([name, row["n_spots"], lattice["n_indexed"], share, *rmsd, _text(lattice["cell"]), how])
    if summary["n_sweeps"] > 1:
        log.info("%s: %s", "One crystal" if summary["joint"] else "Each sweep for itself", summary["joint_reason"])
    log.info("%s", text_table(header, lines, title="Indexed sweeps"))
    log.info(
        "%d of %d sweeps indexed, %d of %d spots (%.1f %%)", summary["n_sweeps_indexed"], summary["n_sweeps"],
        summary["n_indexed"], summary["n_spots"], summary["percent_indexed"],
    )  # fmt: skip


def _text(cell: Sequence[float] | np.ndarray) -> str:
    return " ".join(f"{x:.2f}" for x in cell)
