"""What symmetry tells people: tables for the log, plain data for reports."""

from __future__ import annotations

import logging
from typing import Any

import gemmi
import numpy as np

from mxdask.intensity.symmetry_tables import group_rows, group_table, operator_rows, operator_table
from mxdask.lattice.operators import abc_of, xyz_of
from mxdask.lattice.space_groups import patterson_symbol, symbol
from mxdask.models.experiment import ExperimentList
from mxdask.symmetry.absences import Candidate, ScrewScore, candidate_names
from mxdask.symmetry.laue_group import LaueAnalysis
from mxdask.text import text_table

logger = logging.getLogger(__name__)


def log_laue(analysis: LaueAnalysis) -> None:
    """Expected correlations, and tables of operators and Laue groups."""
    model, best = analysis.model, analysis.groups[0]
    logger.info("Overall CC for %d unrelated pairs: %.3f", model.n_unrelated, model.unrelated_cc)
    logger.info("Estimated expectation value of true correlation coefficient E(CC) = %.3f", model.expected)
    if model.sigma_factor:
        logger.info("Estimated sd(CC) = %.3f / sqrt(N)", model.sigma_factor)
    else:
        logger.info("Too few reflections to estimate sd(CC).")
    logger.info("Estimated E(CC) of true correlation coefficient from identity = %.3f", model.cc_true)
    logger.info("%s", operator_table(analysis.operators, with_counts=True))
    logger.info("%s", group_table(analysis.groups))
    logger.info("Best solution: %s", best.setting.patterson_symbol)
    logger.info("Unit cell: %s", " ".join(f"{x:.3f}" for x in best.setting.cell))
    logger.info("Reindex operator: %s", abc_of(best.setting.P_minimum_best))
    logger.info("Laue group probability: %.3f", best.likelihood)
    logger.info("Laue group confidence: %.3f", best.confidence)


def log_space_group(axes: list[ScrewScore], candidates: list[Candidate], chosen: gemmi.SpaceGroup) -> None:
    """Tables of screw axes and space groups."""
    if axes:
        rows = [
            [
                a.axis.name, f"{a.score:.3f}", a.n_present, a.n_absent, f"{a.mean_i:.3f}", f"{a.mean_i_absent:.3f}",
                f"{a.mean_isigi:.3f}", f"{a.mean_isigi_absent:.3f}",
            ]
            for a in axes
        ]  # fmt: skip
        header = ["Screw axis", "Score", "No. present", "No. absent", "<I> present", "<I> absent",
                  "<I/sig> present", "<I/sig> absent"]  # fmt: skip
        logger.info("%s", text_table(header, rows, title="Analysing systematic absences"))
    if candidates:
        rows = [[" or ".join(candidate_names(c)), f"{c.score:.4f}"] for c in candidates]
        logger.info("%s", text_table(["Space group", "score"], rows))
        names = candidate_names(candidates[0])
        if len(names) > 1:
            logger.info("Absences cannot tell %s apart: the first is taken", " from ".join(names))
    logger.info("Recommended space group: %s", symbol(chosen))


def summarise(
    experiments: ExperimentList,
    reasons: dict[int, str],
    analysis: LaueAnalysis | None,
    axes: list[ScrewScore],
    candidates: list[Candidate],
    space_group: gemmi.SpaceGroup,
    d_min: float | None,
    changes: dict[int, np.ndarray],
    result: ExperimentList,
) -> dict[str, Any]:
    """The step's summary (JSON-able)."""
    cells = [e.crystal.cell for e in result if e.crystal is not None]
    best = analysis.groups[0] if analysis is not None else None
    return {
        "step": "symmetry",
        "rows": [
            {
                "sweep": experiment.name,
                "identifier": experiment.identifier,
                "status": "ok" if row in changes else "skipped",
                "reason": reasons.get(row, ""),
                "cb_op": xyz_of(changes[row]) if row in changes else None,
            }
            for row, experiment in enumerate(experiments)
        ],
        "space_group": symbol(space_group),
        "patterson_group": patterson_symbol(space_group),
        "unit_cell": np.round(np.median(cells, axis=0), 4).tolist() if cells else None,
        "probability": best.likelihood if best else None,
        "confidence": best.confidence if best else None,
        "d_min": d_min,
        "cc_true": analysis.model.cc_true if analysis else None,
        "operators": operator_rows(analysis.operators) if analysis else [],
        "groups": group_rows(analysis.groups) if analysis else [],
        "screw_axes": [
            {
                "axis": a.axis.name, "score": a.score, "n_present": a.n_present, "n_absent": a.n_absent,
                "mean_i": a.mean_i, "mean_i_absent": a.mean_i_absent,
                "mean_isigi": a.mean_isigi, "mean_isigi_absent": a.mean_isigi_absent,
            }
            for a in axes
        ],
        "space_groups": [{"space_groups": candidate_names(c), "score": c.score} for c in candidates],
    }  # fmt: skip
