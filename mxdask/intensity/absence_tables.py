"""Screw axes and space groups as people read them, and as plain data for reports."""

from __future__ import annotations

from typing import Any

import gemmi

from mxdask.intensity.absences import Candidate, ScrewScore, candidate_names
from mxdask.lattice.space_groups import symbol
from mxdask.text import text_table


def absence_report(axes: list[ScrewScore], candidates: list[Candidate], chosen: gemmi.SpaceGroup) -> str:
    """Tables of screw axes and space groups, and the group recommended."""
    parts = []
    if axes:
        rows = [
            [
                a.axis.name, f"{a.score:.3f}" if a.tested else "-", a.n_present, a.n_absent,
                f"{a.mean_i:.3f}", f"{a.mean_i_absent:.3f}",
                f"{a.mean_isigi:.3f}", f"{a.mean_isigi_absent:.3f}",
            ]
            for a in axes
        ]  # fmt: skip
        header = ["Screw axis", "Score", "No. present", "No. absent", "<I> present", "<I> absent",
                  "<I/sig> present", "<I/sig> absent"]  # fmt: skip
        parts.append(text_table(header, rows, title="Analysing systematic absences"))
        untested = [a.axis.name for a in axes if not a.tested]
        if untested:
            parts.append(f"Could not be tested, for want of reflections along the axis: {', '.join(untested)}")
    if candidates:
        rows = [[" or ".join(candidate_names(c)), f"{c.score:.4f}"] for c in candidates]
        parts.append(text_table(["Space group", "score"], rows))
        alike = [name for c in candidates if c.score > 0.999 * candidates[0].score for name in candidate_names(c)]
        if len(alike) > 1:
            parts.append(f"These data cannot tell {_listed(alike)} apart: the first is taken")
    return "\n".join([*parts, f"Recommended space group: {symbol(chosen)}"])


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def absence_rows(axes: list[ScrewScore], candidates: list[Candidate]) -> dict[str, list[dict[str, Any]]]:
    """The same for a step's summary: ``screw_axes`` and ``space_groups``."""
    return {
        "screw_axes": [
            {
                "axis": a.axis.name, "score": a.score, "tested": a.tested,
                "n_present": a.n_present, "n_absent": a.n_absent, "mean_i": a.mean_i, "mean_i_absent": a.mean_i_absent,
                "mean_isigi": a.mean_isigi, "mean_isigi_absent": a.mean_isigi_absent,
            }
            for a in axes
        ],
        "space_groups": [{"space_groups": candidate_names(c), "score": c.score} for c in candidates],
    }  # fmt: skip
