"""What cosym tells people: tables for the log, plain data for reports."""

from __future__ import annotations

import logging
from typing import Any

import gemmi
import numpy as np

from mxdask.cosym.pairs import PairMatrix
from mxdask.cosym.plan import Datasets, Plan
from mxdask.cosym.settings_group import SettingsGroup
from mxdask.cosym.solve import Solution
from mxdask.intensity.symmetry_tables import group_rows, group_table, operator_rows, operator_table
from mxdask.lattice.operators import hkl_of, xyz_of
from mxdask.lattice.space_groups import patterson_symbol, symbol
from mxdask.models.experiment import ExperimentList
from mxdask.text import text_table

logger = logging.getLogger(__name__)

_LARGEST_MATRIX = 200  # crystals
# A correlation, or the lead of one setting over the next, is believed from this many standard deviations on.
_SIGNIFICANT = 3.0
_HISTOGRAM_EDGES = np.linspace(-1.0, 1.0, 41)


def log_solution(solution: Solution, datasets: Datasets, plan: Plan) -> None:
    """Tables of dimensions, operators, groups and reindexing operators."""
    if solution.coordinates is not None:
        scan = solution.coordinates.functional_of_dimensions
        logger.info("%s", text_table(["Dimensions", "Functional"], [[d, f"{f:.6g}"] for d, f in enumerate(scan, 1)]))
        logger.info("Using %d dimensions for analysis", solution.coordinates.dimensions)
    if plan.space_group is None:
        logger.info("%s", operator_table(solution.operators, with_counts=False))
        logger.info("%s", group_table(solution.groups))
        logger.info("Laue group probability: %.3f", solution.groups[0].likelihood)
        logger.info("Laue group confidence: %.3f", solution.groups[0].confidence)
    logger.info("Best solution: %s", solution.setting.patterson_symbol)
    logger.info("Unit cell: %s", " ".join(f"{x:.3f}" for x in solution.setting.cell))
    logger.info("Reindexing operators (in the primitive cell):")
    for number, op in enumerate(solution.class_ops):
        members = sorted(c for c, k in zip(datasets.crystals, solution.classes, strict=True) if k == number)
        if members:
            logger.info("  %s: %s", xyz_of(op), members)
    for row, reason in sorted({**plan.reasons, **datasets.reasons}.items()):
        logger.warning("experiment %d is left out: %s", row, reason)
    for crystal, reason in zip(datasets.crystals, solution.reasons, strict=True):
        if reason:
            logger.warning("crystal %d is left out: %s", crystal, reason)
    for i, doubt in doubts(solution, datasets).items():
        logger.warning("crystal %d: %s", datasets.crystals[i], doubt)


def doubts(solution: Solution, datasets: Datasets) -> dict[int, str]:
    """Crystals (by place in the data sets) whose setting the data do not tell, and what they do tell.

    A correlation of n pairs has a standard deviation of about 1/√n when there is nothing in it (Fisher 1915), the
    difference of two √2 times that. A crystal compared with many others has no more pairs than reflections.
    """
    out = {}
    for i, op in enumerate(solution.ops):
        n = min(int(solution.pairs[i]), len(datasets.sets[i]))
        if op is None or n == 0 or not np.isfinite(solution.score[i]):
            continue
        cc, lead, error = solution.score[i], solution.margin[i], 1.0 / np.sqrt(n)
        if cc < _SIGNIFICANT * error:
            out[i] = (
                f"it does not agree with the other crystals (CC {cc:.2f} of {n} reflections): its setting is a guess"
            )
        elif lead < _SIGNIFICANT * np.sqrt(2.0) * error:
            out[i] = f"another setting fits nearly as well (CC {cc:.2f} and {cc - lead:.2f} of {n} reflections)"
    return out


def summarise(
    experiments: ExperimentList,
    plan: Plan,
    datasets: Datasets,
    solution: Solution,
    space_group: gemmi.SpaceGroup,
    d_min: float | None,
    changes: dict[int, np.ndarray],
) -> dict[str, Any]:
    """The step's summary (JSON-able)."""
    return {
        "step": "cosym",
        "rows": _rows(experiments, plan, datasets, solution, changes),
        "space_group": symbol(space_group),
        "patterson_group": patterson_symbol(space_group),
        "unit_cell": [round(float(x), 4) for x in solution.setting.cell],
        "probability": solution.groups[0].likelihood if plan.space_group is None else None,
        "confidence": solution.groups[0].confidence if plan.space_group is None else None,
        "d_min": d_min,
        "lattice_clusters": [
            {"members": [plan.names[m] for m in c.members], "cell": [round(float(x), 4) for x in c.median]}
            for c in plan.clusters
        ],
        "operators": operator_rows(solution.operators),
        "groups": group_rows(solution.groups),
        **_pair_data(solution, datasets, plan),
    }


def _pair_data(solution: Solution, datasets: Datasets, plan: Plan) -> dict[str, Any]:
    """What the pair matrix and the coordinates look like; nothing if a reference made them superfluous."""
    if solution.coordinates is None or solution.pair_matrix is None:
        return {}
    found = solution.coordinates
    group = SettingsGroup.of(plan.lattice, plan.core)
    return {
        "dimensions": found.dimensions,
        "functional": found.functional_of_dimensions.tolist(),
        "explained_variance": found.power[: max(3, found.dimensions)].tolist(),
        "rij_histogram": _histogram(solution.pair_matrix),
        "nij_quantiles": _pair_quantiles(solution.pair_matrix),
        "coordinates": {
            "crystals": [datasets.names[i] for i in solution.solved],
            "settings": [hkl_of(op) for op in group.ops],
            "points": np.round(found.reduced, 5).tolist(),
        },
        **_matrix(solution, datasets),
    }


def _matrix(solution: Solution, datasets: Datasets) -> dict[str, Any]:
    """Correlations of crystals with each other in their final settings (None: too few pairs), for so many as one sees.

    Crystals are in the order of the experiments.
    """
    n = len(solution.solved)
    if solution.agreement is None or not 2 <= n <= _LARGEST_MATRIX:
        return {}
    order = np.argsort([datasets.crystals[i] for i in solution.solved], kind="stable")
    r, pairs = solution.agreement.r[order][:, order], solution.agreement.n[order][:, order]
    known = (pairs >= 3) & ~np.eye(n, dtype=np.bool_)
    values = [
        [round(float(x), 4) if ok else None for x, ok in zip(a, b, strict=True)] for a, b in zip(r, known, strict=True)
    ]
    return {"cc_matrix": {"crystals": [datasets.names[solution.solved[i]] for i in order], "values": values}}


def _rows(
    experiments: ExperimentList, plan: Plan, datasets: Datasets, solution: Solution, changes: dict[int, np.ndarray]
) -> list[dict[str, Any]]:
    place = {crystal: i for i, crystal in enumerate(datasets.crystals)}
    doubtful = doubts(solution, datasets)
    rows = []
    for row, experiment in enumerate(experiments):
        line: dict[str, Any] = {
            "sweep": experiment.name,
            "identifier": experiment.identifier,
            "status": "ok" if row in changes else "skipped",
            "reason": plan.reasons.get(row, "") or datasets.reasons.get(row, ""),
        }
        i = place.get(plan.crystal_of[row])
        if i is not None:
            op = solution.ops[i]
            line |= {
                "reason": line["reason"] or solution.reasons[i] or doubtful.get(i, ""),
                "n_reflections": len(datasets.sets[i]),
                "class": int(solution.classes[i]),
                "reindex": None if op is None else xyz_of(op),
                "cb_op": xyz_of(changes[row]) if row in changes else None,
                "mean_cc": _number(solution.score[i]),
                "n_common": int(solution.pairs[i]),
                "margin": _number(solution.margin[i]),
            }
        rows.append(line)
    return rows


def _number(value: float) -> float | None:
    return round(float(value), 5) if np.isfinite(value) else None


def _histogram(pairs: PairMatrix) -> dict[str, list[float]]:
    """Of the correlations of three reflections or more between different points."""
    usable = pairs.n >= 3
    usable[0][np.diag_indices(usable.shape[1])] = False
    counts, edges = np.histogram(pairs.r[usable], bins=_HISTOGRAM_EDGES)
    return {"edges": np.round(edges, 3).tolist(), "counts": counts.tolist()}


def _pair_quantiles(pairs: PairMatrix) -> dict[str, float]:
    """How many reflections pairs of crystals share."""
    different = ~np.eye(pairs.n.shape[1], dtype=np.bool_)
    n = pairs.n[:, different]
    if n.size == 0:
        return {}
    return {f"{q:g}": float(np.quantile(n, q)) for q in (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)}
