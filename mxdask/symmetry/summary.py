"""What symmetry tells people: tables for the log, plain data for reports."""

from __future__ import annotations

import logging
from typing import Any

import gemmi
import numpy as np

from mxdask.intensity.absence_tables import absence_rows
from mxdask.intensity.absences import Candidate, ScrewScore
from mxdask.intensity.symmetry_tables import group_rows, group_table, operator_rows, operator_table
from mxdask.lattice.operators import abc_of, xyz_of
from mxdask.lattice.space_groups import patterson_symbol, symbol
from mxdask.models.experiment import ExperimentList
from mxdask.symmetry.laue_group import LaueAnalysis

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
        **absence_rows(axes, candidates),
    }
