"""Experiments, reflections and rows of the summary from the results of all sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mxdask.index.max_cell import on_ice_ring
from mxdask.index.prepare import ORIGIN, Sweep
from mxdask.index.tasks import Result
from mxdask.models import Experiment, ExperimentList, Goniometer, derived_identifier
from mxdask.table import Flag, ReflectionTable


def assemble(
    experiments: ExperimentList, sweeps: Sequence[Sweep], results: Sequence[Result]
) -> tuple[ExperimentList, ReflectionTable, list[dict[str, Any]]]:
    """One experiment per sweep and lattice in the order of the sweeps, all spots, one summary row per sweep.

    Each sweep's indexed spots come first, then its unindexed ones (id -1). ``imageset_id`` is the row of the sweep in
    the input. Goniometer, scan and images stay the objects of the input; beams and detectors are those refined.
    """
    of_row = {row: (result, k) for result in results for k, row in enumerate(result.rows)}
    listed: list[Experiment] = []
    parts: list[tuple[ReflectionTable, np.ndarray]] = []
    rows = []
    for sweep in sweeps:
        result, k = of_row[sweep.row]
        first = len(listed)
        if result.solution is not None:
            n = len(result.solution.crystals)
            found = result.solution.fit.experiments.experiments[k * n : (k + 1) * n]
            for number, refined in enumerate(found, start=1):
                listed.append(
                    refined.evolve(
                        identifier=_identifier(sweep, number), goniometer=_goniometer(sweep, result, refined),
                        scan=sweep.experiment.scan, imageset=sweep.experiment.imageset,
                    )
                )  # fmt: skip
        table = _table(sweep, result, k, first)
        parts.append((table, np.argsort(table["id"] < 0, kind="stable")))
        rows.append(_row(sweep, result, k, table, listed[first:]))
    return experiments.with_experiments(listed), _joined(parts, listed), rows


def _identifier(sweep: Sweep, number: int) -> str:
    """Of a lattice: the same whenever this sweep is indexed."""
    experiment = sweep.experiment
    images = (experiment.imageset.template or experiment.imageset.paths) if experiment.imageset is not None else ""
    scan = experiment.scan.image_range if experiment.scan is not None else ""
    return derived_identifier("index", experiment.identifier, images, scan, number)


def _goniometer(sweep: Sweep, result: Result, refined: Experiment) -> Goniometer | None:
    """The sweep's own, as the same object, unless the lattice was found with another one."""
    return refined.goniometer if result.outcome.axis_is_inverted else sweep.experiment.goniometer


def _joined(parts: Sequence[tuple[ReflectionTable, np.ndarray]], listed: Sequence[Experiment]) -> ReflectionTable:
    """One table of all sweeps, each in the order given, column by column: a thousand sweeps are not held twice."""
    some = [(table, order) for table, order in parts if len(table)] or list(parts[:1])
    names = [n for n in some[0][0] if all(n in table for table, _ in some)] if some else []
    columns = {n: np.concatenate([table[n][order] for table, order in some]) for n in names}
    return ReflectionTable(columns, {i: e.identifier for i, e in enumerate(listed)})


def with_shoeboxes(table: ReflectionTable, spots: ReflectionTable) -> ReflectionTable:
    """The table with the pixels that ``spots`` has of each row, by the row's origin there."""
    origin = table[ORIGIN]
    del table[ORIGIN]
    if spots.shoeboxes is not None:
        table.shoeboxes = spots.shoeboxes.select(origin)
    return table


def _table(sweep: Sweep, result: Result, k: int, first: int) -> ReflectionTable:
    """The spots of one sweep, in the order they came in, with everything that indexing writes."""
    if result.solution is None:
        out = sweep.table.copy()
        n = len(out)
        out["id"] = np.full(n, -1, dtype=np.int32)
        out["miller_index"] = np.zeros((n, 3), dtype=np.int32)
        out["xyzcal.mm"], out["xyzcal.px"] = np.zeros((n, 3)), np.zeros((n, 3))
        out.unset_flags(np.arange(n), Flag.INDEXED | Flag.USED_IN_REFINEMENT | Flag.CENTROID_OUTLIER)
    else:
        solution = result.solution
        mine = solution.spots.table["imageset_id"] == k
        whole = bool(mine.all())
        out = solution.fit.table.copy() if whole else solution.fit.table.select(mine)
        out["rlp"] = solution.spots.rlp if whole else solution.spots.rlp[mine]
        n_lattices = len(solution.crystals)
        out["id"] = np.where(out["id"] >= 0, out["id"] - k * n_lattices + first, -1)
    out["imageset_id"] = np.full(len(out), sweep.row, dtype=np.int32)
    out.identifiers = {}
    return out


def _row(sweep: Sweep, result: Result, k: int, table: ReflectionTable, listed: list[Experiment]) -> dict[str, Any]:
    """What the summary says of one sweep."""
    n, indexed = len(table), int(np.count_nonzero(table["id"] >= 0))
    off_ice = ~on_ice_ring(table["rlp"]) if n else np.zeros(0, dtype=bool)
    outcome = result.outcome
    row: dict[str, Any] = {
        "sweep": sweep.experiment.name,
        "identifier": listed[0].identifier if listed else "",
        "status": "ok" if listed else "failed",
        "reason": outcome.reason if not listed else "",
        "n_spots": n,
        "n_indexed": indexed,
        "percent_indexed": round(100.0 * indexed / n, 1) if n else 0.0,
        "n_unindexed_off_ice": int(np.count_nonzero(off_ice & (table["id"] < 0))),
        "n_lattices": len(listed),
        "method": outcome.method,
        "axis_is_inverted": outcome.axis_is_inverted,
        "max_cell": round(outcome.max_cell, 2),
        "attempts": list(outcome.attempts),
        "steps": list(result.steps),
        "lattices": [],
    }
    solution = result.solution
    if solution is not None:
        count = len(solution.crystals)
        row["notes"] = list(solution.fit.notes)
        row["lattices"] = [
            _lattice(experiment, table, solution.fit.rmsd[k * count + i], first_id)
            for i, (experiment, first_id) in enumerate(zip(listed, _ids(table, listed), strict=True))
        ]
        row |= {key: row["lattices"][0][key] for key in ("rmsd", "cell", "cell_esd", "space_group")}
    return row


def _ids(table: ReflectionTable, listed: list[Experiment]) -> list[int]:
    present = table["id"][table["id"] >= 0]
    first = int(present.min()) if len(present) else 0
    return [first + i for i in range(len(listed))]


def _lattice(experiment: Experiment, table: ReflectionTable, rmsd: np.ndarray, id_: int) -> dict[str, Any]:
    crystal = experiment.crystal
    assert crystal is not None
    esds = crystal.cell_esds()
    return {
        "identifier": experiment.identifier,
        "n_indexed": int(np.count_nonzero(table["id"] == id_)),
        "rmsd": [None if np.isnan(x) else round(float(x), 4) for x in rmsd],
        "cell": [round(float(x), 4) for x in crystal.cell],
        "cell_esd": None if esds is None else [round(float(x), 5) for x in esds[:6]],
        "volume": round(crystal.volume, 1),
        "space_group": crystal.space_group.hm,
    }
