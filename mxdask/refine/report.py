"""What refinement tells: one row per experiment, and what was decided."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from mxdask.models import Crystal
from mxdask.refine.plan import State
from mxdask.refine.residuals import along_sweep, over_detector
from mxdask.refine.task import SetResult
from mxdask.text import text_table, with_esds

log = logging.getLogger(__name__)


def summarise(state: State, results: Mapping[tuple[int, ...], SetResult]) -> dict[str, Any]:
    """JSON-able numbers: ``rows`` per experiment, ``sets`` per joint refinement, ``messages``."""
    rows: dict[int, dict[str, Any]] = {}
    sets = []
    for number, (members, result) in enumerate(sorted(results.items())):
        sets.append(_of_set(number, state, members, result))
        for i, row in enumerate(members):
            rows[row] = _of_row(number, i, row, state, result)
    tables = state.table.only(("id", "flags", "xyzobs.px.value", "xyzcal.px")).split_by("id")
    for row in state.good:
        if row in rows and row in tables:
            rows[row]["residuals"] = along_sweep(state.experiments[row], tables[row])
    for row in range(len(state.experiments)):
        if row in state.failed:
            status = "skipped" if state.experiments[row].crystal is None else "failed"
            rows[row] = _head(row, state) | {"status": status, "reason": state.failed[row]}
    return {
        "step": "refine",
        "rows": [rows[row] for row in sorted(rows)],
        "sets": sets,
        "messages": list(state.messages),
        "residuals": over_detector([state.experiments[row] for row in state.good], state.table),
    }


def _head(row: int, state: State) -> dict[str, Any]:
    return {"sweep": state.experiments[row].name, "identifier": state.experiments[row].identifier}


def _of_row(number: int, i: int, row: int, state: State, result: SetResult) -> dict[str, Any]:
    final = result.final
    crystal = final.experiments[i].crystal
    assert crystal is not None
    return _head(row, state) | {
        "status": "ok",
        "reason": result.why_static[i],
        "set": number + 1,
        "n_reflections": int(final.n_used[i]),
        "n_outliers": int(final.n_outliers[i]),
        "rmsd_x": _number(final.rmsd[i, 0]),
        "rmsd_y": _number(final.rmsd[i, 1]),
        "rmsd_z": _number(final.rmsd[i, 2]),
        **_cell(crystal),
        "scan_varying": crystal.A_at_scan_points is not None,
    }


def _cell(crystal: Crystal) -> dict[str, Any]:
    esds = crystal.cell_esds()
    return {
        "cell": [round(float(x), 5) for x in crystal.cell],
        "cell_esd": None if esds is None else [round(float(x), 6) for x in esds[:6]],
        "volume": round(crystal.volume, 2),
        "volume_esd": None if esds is None else round(float(esds[6]), 3),
        "space_group": crystal.space_group.xhm(),
    }


def _of_set(number: int, state: State, members: tuple[int, ...], result: SetResult) -> dict[str, Any]:
    final = result.final
    stages = [result.static] if final is result.static else [result.static, final]
    return {
        "set": number + 1,
        "sweeps": [state.experiments[row].name for row in members],
        "n_parameters": int(final.n_parameters),
        "n_reflections": int(final.n_used.sum()),
        "chi2_reduced": _number(final.chi2_reduced),
        "converged": bool(final.converged),
        "reason": final.reason,
        "steps": [[_number(v) for v in step] for stage in stages for step in stage.steps],
        "notes": list(dict.fromkeys((*result.static.notes, *final.notes))),
        "esds": {name: _number(value) for name, value in result.static.esds.items()},
    }


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None


def log_summary(summary: dict[str, Any]) -> None:
    """The decisions and a table for the log."""
    for message in summary["messages"]:
        log.info("%s", message)
    for entry in summary["sets"]:
        for note in entry["notes"]:
            log.info("held: %s", note)
        if not entry["converged"]:
            log.info("refinement of %s stopped: %s", ", ".join(entry["sweeps"]), entry["reason"])
    header = ("sweep", "n", "outliers", "rmsd x (px)", "rmsd y (px)", "rmsd z (images)", "cell (Å, °)", "varying")
    table = []
    for row in summary["rows"]:
        if row["status"] != "ok":
            table.append((row["sweep"], 0, None, None, None, None, f"{row['status']}: {row['reason']}", None))
            continue
        rmsd = [None if row[k] is None else f"{row[k]:.3f}" for k in ("rmsd_x", "rmsd_y", "rmsd_z")]
        cell = with_esds(row["cell"], row["cell_esd"])
        varying = "yes" if row["scan_varying"] else "no"
        table.append((row["sweep"], row["n_reflections"], row["n_outliers"], *rmsd, cell, varying))
    log.info("%s", text_table(header, table, title="Refined experiments"))
    for row in summary["rows"]:
        if row["status"] == "ok" and row["reason"]:
            log.info("%s: %s", row["sweep"], row["reason"])
