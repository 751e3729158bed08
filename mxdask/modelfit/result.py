"""What a fit gives back, and how models and tables are brought up to date with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mxdask.geometry.predict import predict_given
from mxdask.modelfit.arrow import Arrow
from mxdask.modelfit.levmar import Minimum
from mxdask.modelfit.problem import Problem
from mxdask.modelfit.selection import indexed_rows, rows_by_experiment
from mxdask.modelfit.smoother import Smoothing
from mxdask.models import Crystal, ExperimentList
from mxdask.table import Flag, ReflectionTable

# Turning beam, detector and crystal together about the spindle changes nothing that can be observed. Without priors N
# is singular in that direction; this much on its scaled diagonal makes it invertible and leaves the rest alone.
GAUGE_DAMPING = 1e-9


@dataclass(frozen=True)
class FitResult:
    """Refined experiments with predictions.

    Attributes
    ----------
    experiments : in the order given; models that were shared still are. Crystals carry ``B_covariance``.
    reflections : all rows given; ``xyzcal.mm``, ``xyzcal.px``, ``s1`` and the flags predicted, used_in_refinement,
        centroid_outlier, excluded_for_refinement of indexed rows are those of the refined models.
    n_used, n_outliers : (experiments,) reflections.
    rmsd : (experiments, 3) px, px, images over the used reflections; NaN where none is used.
    rmsd_mm : (3,) mm, mm, rad over all.
    steps : (steps + 1, 3) mm, mm, rad: the minimiser's history.
    n_parameters : free ones. esds : name → estimated standard deviation of each (mrad, mm, 10⁻⁵ Å⁻²).
    notes : what had to be held, and why.
    chi2_reduced, reason, converged : of the minimum.
    """

    experiments: ExperimentList
    reflections: ReflectionTable
    n_used: np.ndarray
    n_outliers: np.ndarray
    rmsd: np.ndarray
    rmsd_mm: np.ndarray
    steps: np.ndarray
    n_parameters: int
    esds: dict[str, float]
    notes: tuple[str, ...]
    chi2_reduced: float
    reason: str
    converged: bool


def chi2_reduced(minimum: Minimum) -> float:
    """Σw r² per degree of freedom."""
    sums = minimum.normal.sums
    freedom = 3.0 * float(sums[:, 4].sum()) - len(minimum.values)
    return float(sums[:, 3].sum()) / max(freedom, 1.0)


def covariances(minimum: Minimum, scale: float) -> list[np.ndarray] | None:
    """χ²_reduced·N⁻¹ by blocks, border first; None when N cannot be inverted."""
    try:
        arrow = Arrow(minimum.normal, GAUGE_DAMPING)
    except np.linalg.LinAlgError:
        return None
    return [scale * arrow.covariance(k) for k in range(-1, len(minimum.normal.blocks))]


def parameter_esds(problem: Problem, blocks: list[np.ndarray] | None) -> dict[str, float]:
    """Standard deviation of every free parameter by its name; none where the fit does not determine them."""
    if blocks is None:
        return {}
    names = problem.layout.names()
    esds = np.concatenate([np.sqrt(np.maximum(np.diag(block), 0.0)) for block in blocks])
    return {names[row]: float(esd) for row, esd in zip(problem.rows, esds, strict=True)}


def updated_experiments(problem: Problem, full: np.ndarray, blocks: list[np.ndarray] | None) -> ExperimentList:
    """The experiments with every model at its refined values; sharing is kept."""
    models: dict[tuple[str, int], Any] = {}
    given = {
        (kind, piece.number): getattr(experiment, kind)
        for experiment, own in zip(problem.experiments, problem.layout.of_experiment, strict=True)
        for kind, piece in own.items()
    }
    for piece in problem.layout.pieces:
        if piece.kind == "cell":
            continue
        if not np.any(problem.free[piece.rows]) and not np.any(full[piece.rows]) and piece.kind != "crystal":
            models[piece.kind, piece.number] = given[piece.kind, piece.number]
        elif piece.kind == "crystal":
            models["crystal", piece.number] = _crystal(problem, piece.number, full, blocks)
        else:
            models[piece.kind, piece.number] = piece.parameters.model(full[piece.rows])
    return problem.experiments.with_experiments(
        experiment.evolve(**{kind: models[kind, piece.number] for kind, piece in own.items()})
        for experiment, own in zip(problem.experiments, problem.layout.of_experiment, strict=True)
    )


def _crystal(problem: Problem, number: int, full: np.ndarray, blocks: list[np.ndarray] | None) -> Crystal:
    piece = problem.crystals[number]
    parameters, smoothing = piece.parameters, problem.smoothing_of(piece)
    if smoothing is not None:
        edges = smoothing.array_start + np.arange(smoothing.n_images + 1)
        middle = smoothing.array_start + 0.5 * smoothing.n_images
        A = parameters.A(smoothing.at(full[piece.rows], np.append(edges, middle)))
        covariance = parameters.crystal.B_covariance
        return parameters.crystal.with_A(A[-1], A_at_scan_points=A[:-1], B_covariance=covariance)
    values, covariance = full[piece.rows], None
    if blocks is not None:
        of_all = np.zeros((piece.size, piece.size))
        free = np.flatnonzero(problem.free[piece.rows])
        of_all[np.ix_(free, free)] = blocks[number + 1]
        covariance = parameters.B_covariance(values, of_all) if np.any(free >= 3) else None
    return parameters.crystal.with_A(parameters.A(values), B_covariance=covariance)


def crystals_at_blocks(problem: Problem, full: np.ndarray) -> list[tuple[np.ndarray, Smoothing] | None]:
    """Per experiment the setting matrices (blocks, 3, 3) along its scan, or None for a static crystal."""
    out: list[tuple[np.ndarray, Smoothing] | None] = []
    for own, smoothing in zip(problem.layout.of_experiment, problem.layout.smoothing, strict=True):
        piece = own["crystal"]
        if smoothing is None:
            out.append(None)
        else:
            out.append((piece.parameters.A(smoothing.at_blocks(full[piece.rows])), smoothing))
    return out


def updated_table(
    experiments: ExperimentList,
    reflections: ReflectionTable,
    used: np.ndarray,
    outliers: np.ndarray,
    excluded: np.ndarray,
    at_blocks: list[tuple[np.ndarray, Smoothing] | None],
) -> ReflectionTable:
    """The table with predictions of all indexed rows and the flags that say what each row did in the fit.

    used, outliers, excluded : row numbers or masks. at_blocks : see :func:`crystals_at_blocks`.
    """
    out = reflections.copy()
    n = len(out)
    xyz_mm, xyz_px, s1 = np.zeros((n, 3)), np.zeros((n, 3)), np.zeros((n, 3))
    for name, array in (("xyzcal.mm", xyz_mm), ("xyzcal.px", xyz_px), ("s1", s1)):
        if name in out:
            array[:] = out[name]
    indexed = indexed_rows(out)
    predicted = np.zeros(n, dtype=bool)
    for i, (experiment, rows) in enumerate(
        zip(experiments, rows_by_experiment(out, indexed, len(experiments)), strict=True)
    ):
        phi = out["xyzobs.mm.value"][rows, 2]
        varying = at_blocks[i]
        A, block = (None, None) if varying is None else (varying[0], varying[1].block_of(phi))
        place = predict_given(
            experiment, out["miller_index"][rows], out["entering"][rows], out["panel"][rows], phi, A, block
        )
        xyz_mm[rows], xyz_px[rows], s1[rows], predicted[rows] = place.xyz_mm, place.xyz_px, place.s1, place.possible
    out["xyzcal.mm"], out["xyzcal.px"], out["s1"] = xyz_mm, xyz_px, s1
    cleared = Flag.PREDICTED | Flag.USED_IN_REFINEMENT | Flag.CENTROID_OUTLIER | Flag.EXCLUDED_FOR_REFINEMENT
    out.unset_flags(indexed, cleared)
    for rows, flag in (
        (predicted, Flag.PREDICTED),
        (used, Flag.USED_IN_REFINEMENT),
        (outliers, Flag.CENTROID_OUTLIER),
        (excluded, Flag.EXCLUDED_FOR_REFINEMENT),
    ):
        out.set_flags(rows, flag)
    return out


def rmsd_px(experiments: ExperimentList, sums: np.ndarray) -> np.ndarray:
    """(experiments, 3) px, px, images from the sums of :class:`Normal`; in pixels of the detector's first panel."""
    out = np.full((len(experiments), 3), np.nan)
    for i, experiment in enumerate(experiments):
        assert experiment.detector is not None and experiment.scan is not None
        if sums[i, 4]:
            unit = (*experiment.detector[0].pixel_size, abs(np.deg2rad(experiment.scan.width)))
            out[i] = np.sqrt(sums[i, :3] / sums[i, 4]) / unit
    return out
