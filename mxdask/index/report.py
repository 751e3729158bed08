"""The summary of the step, and its table: one row per sweep and lattice, those in trouble last, where people look."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from mxdask.index.consensus import Consensus
from mxdask.index.joint import Verdict
from mxdask.index.params import Indexing
from mxdask.text import text_table

log = logging.getLogger(__name__)

_FEW_INDEXED = 50.0  # per cent
_LARGE_RMSD = 1.0  # px


def summarise(
    rows: list[dict[str, Any]], verdict: Verdict, found: Consensus | None, params: Indexing
) -> dict[str, Any]:
    """Plain data about the whole step; ``rows`` stay in the order of the input."""
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


def trouble(row: dict[str, Any]) -> tuple[float, ...]:
    """A key that sorts rows of the summary by trouble, least first: failed, few indexed, large residuals."""
    if row["status"] != "ok":
        return (1.0, float(row["n_spots"]), 0.0)
    rmsd = max((x for x in row["rmsd"][:2] if x is not None), default=0.0)
    return (0.0, -float(row["percent_indexed"]), rmsd)


def log_table(summary: dict[str, Any]) -> None:
    """Tell how it went: the table, what was tried for sweeps that did not go the usual way, totals."""
    if summary["n_sweeps"] > 1:
        log.info("%s: %s", "One crystal" if summary["joint"] else "Each sweep for itself", summary["joint_reason"])
    header = ["Sweep", "# spots", "# indexed", "%", "rmsd x (px)", "y (px)", "z (images)", "cell (Å, °)", "how"]
    rows = sorted(summary["rows"], key=trouble)
    log.info("%s", text_table(header, [line for row in rows for line in _lines(row)], title="Indexed sweeps"))
    _log_attempts(rows)
    _log_inverted(rows)
    log.info(
        "%d of %d sweeps indexed, %d of %d spots (%.1f %%)", summary["n_sweeps_indexed"], summary["n_sweeps"],
        summary["n_indexed"], summary["n_spots"], summary["percent_indexed"],
    )  # fmt: skip


def _lines(row: dict[str, Any]) -> list[list[Any]]:
    if row["status"] != "ok":
        return [[row["sweep"], row["n_spots"], 0, "0.0", None, None, None, "-", f"failed: {row['reason']}"]]
    lines = []
    for number, lattice in enumerate(row["lattices"]):
        name = row["sweep"] if len(row["lattices"]) == 1 else f"{row['sweep']} lattice {number + 1}"
        how = [row["method"], *row["steps"]]
        if row["percent_indexed"] < _FEW_INDEXED:
            how.append(f"{row['n_unindexed_off_ice']} spots off ice rings not indexed")
        if max((x for x in lattice["rmsd"][:2] if x is not None), default=0.0) > _LARGE_RMSD:
            how.append("fits badly")
        share = f"{100.0 * lattice['n_indexed'] / max(1, row['n_spots']):.1f}"
        rmsd = [None if x is None else f"{x:.3f}" for x in lattice["rmsd"]]
        cell = cell_words(lattice["cell"], lattice["cell_esd"])
        lines.append([name, row["n_spots"], lattice["n_indexed"], share, *rmsd, cell, ", ".join(how)])
    return lines


def _log_attempts(rows: Sequence[dict[str, Any]]) -> None:
    """What was tried for every sweep that needed more than the first search."""
    for row in rows:
        if len(row["attempts"]) > 1 and (row["status"] != "ok" or row["attempts"][0].startswith("default")):
            level = logging.INFO if row["status"] != "ok" else logging.DEBUG
            log.log(level, "%s was tried with:\n%s", row["sweep"], "\n".join(f"  {line}" for line in row["attempts"]))


def _log_inverted(rows: Sequence[dict[str, Any]]) -> None:
    inverted = [row["sweep"] for row in rows if row["status"] == "ok" and row["axis_is_inverted"]]
    if inverted:
        log.warning(
            "%d sweeps (%s%s) were indexed with the rotation axis turned round, and are written so: if that is true "
            "of all data of the beamline, import them with goniometer.invert_rotation_axis=True",
            len(inverted), ", ".join(inverted[:3]), " …" if len(inverted) > 3 else "",
        )  # fmt: skip


def cell_words(cell: Sequence[float] | np.ndarray, esds: Sequence[float] | None = None) -> str:
    """A cell as people write it, with esds in units of the last digit if they are known: 67.542(3) … 109.47."""
    if esds is None:
        return " ".join(f"{x:.2f}" for x in cell)
    return " ".join(_with_esd(x, e) for x, e in zip(cell, esds, strict=True))


def _with_esd(value: float, esd: float) -> str:
    if not esd > 0:  # fixed by symmetry
        return f"{value:g}" if value == round(value) else f"{value:.2f}"
    digits = int(np.clip(np.ceil(-np.log10(esd / 1.95)), 0, 6))
    return f"{value:.{digits}f}({round(esd * 10**digits):d})"
