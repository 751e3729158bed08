"""One fit: choose reflections, minimise, bring models and table up to date (front.md 12)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.modelfit.layout import build_layout
from mxdask.modelfit.levmar import minimise
from mxdask.modelfit.options import FitOptions
from mxdask.modelfit.outliers import find_outliers
from mxdask.modelfit.part import Hands
from mxdask.modelfit.problem import Problem
from mxdask.modelfit.reduction import reduced
from mxdask.modelfit.result import (
    FitResult,
    chi2_reduced,
    covariances,
    crystals_at_blocks,
    parameter_esds,
    rmsd_px,
    updated_experiments,
    updated_table,
)
from mxdask.modelfit.selection import Observations, gather, indexed_rows, observations, rows_by_experiment
from mxdask.modelfit.smoother import Smoothing
from mxdask.modelfit.turns import common_turns, drift_weight
from mxdask.models import ExperimentList
from mxdask.table import Flag, ReflectionTable


@dataclass(frozen=True)
class Selection:
    """The reflections of a fit.

    Attributes
    ----------
    data : per experiment what is fitted, outliers removed. outliers : (m,) their rows of the table.
    n_outliers : (experiments,). excluded : (n,) rows that may not be used.
    noise : χ² per residual of the starting models, at most 1 (see :func:`noise_scale`).
    """

    data: list[Observations]
    outliers: np.ndarray
    n_outliers: np.ndarray
    excluded: np.ndarray
    noise: float


def select(
    experiments: ExperimentList,
    reflections: ReflectionTable,
    options: FitOptions,
    *,
    as_predicted: bool = False,
    hands: Hands | None = None,
) -> Selection:
    """Usable reflections, without the outliers among the residuals of the models given.

    Parameters
    ----------
    as_predicted : take the residuals from ``xyzcal.mm`` of the table (crystals that vary along the scan) instead of
        those of the static crystals.
    hands : who works on the experiments (see :mod:`mxdask.modelfit.part`); default: this process.

    Raises
    ------
    MxdaskError : no reflection is left.
    """
    data, excluded = observations(experiments, reflections, options)
    if as_predicted:
        residuals = [reflections["xyzcal.mm"][d.rows] - d.observed for d in data]
    else:
        start = Problem(experiments, data, build_layout(experiments, options), hands=hands)
        residuals = start.residuals(start.start)
    masks = find_outliers(experiments, data, residuals, options, hands)
    kept = [d.keep(~m) for d, m in zip(data, masks, strict=True)]
    if not any(len(d) for d in kept):
        names = ", ".join(dict.fromkeys(e.name for e in experiments))
        raise MxdaskError(f"{names}: no reflection can be used for refinement (of {sum(map(len, data))} indexed)")
    return Selection(
        kept,
        np.concatenate([d.rows[m] for d, m in zip(data, masks, strict=True)]),
        np.array([int(m.sum()) for m in masks]),
        excluded,
        noise_scale(data, masks, residuals),
    )


def select_flagged(experiments: ExperimentList, reflections: ReflectionTable, noise: float) -> Selection:
    """The reflections that the table's flags say an earlier fit used, with its outliers and exclusions."""
    used = rows_by_experiment(reflections, reflections.has_flags(Flag.USED_IN_REFINEMENT), len(experiments))
    outliers = np.flatnonzero(reflections.has_flags(Flag.CENTROID_OUTLIER) & indexed_rows(reflections))
    return Selection(
        [gather(reflections, rows) for rows in used],
        outliers,
        np.bincount(reflections["id"][outliers], minlength=len(experiments)),
        reflections.has_flags(Flag.EXCLUDED_FOR_REFINEMENT),
        min(1.0, noise),
    )


def noise_scale(data: list[Observations], masks: list[np.ndarray], residuals: list[np.ndarray]) -> float:
    """Factor that puts priors on the scale of the weights.

    The variances of centroids may be too large by a constant factor; priors in mm and mrad would then weigh too much.
    χ² per residual of the starting models says by how much, unless it is above 1, when it is the start that is off.
    """
    terms = [(d.weight * r * r)[~m] for d, m, r in zip(data, masks, residuals, strict=True)]
    return min(1.0, sum(float(t.sum()) for t in terms) / max(1, sum(t.size for t in terms)))


def fit(
    experiments: ExperimentList,
    reflections: ReflectionTable,
    selection: Selection,
    options: FitOptions,
    *,
    smoothing: tuple[Smoothing | None, ...] | None = None,
    reference: ExperimentList | None = None,
    hands: Hands | None = None,
) -> FitResult:
    """Minimise over the selected reflections.

    Parameters
    ----------
    smoothing : per experiment how its crystal varies along the scan, None for a static one.
    reference : experiments whose beams and detectors the priors are about; default: the starting ones.
    hands : who makes the normal equations; default: this process.
    """
    layout = build_layout(experiments, options, smoothing, reference)
    free, notes = reduced(experiments, layout, selection.data, options)
    problem = Problem(experiments, selection.data, layout, free, selection.noise, hands)
    problem.restrain(drift_weight(problem, common_turns(experiments, layout, options.priors)))
    minimum = minimise(
        problem.evaluate, problem.start, max_iterations=options.max_iterations, convergence=options.convergence
    )
    scale = chi2_reduced(minimum)
    blocks = covariances(minimum, scale)
    full = problem.full(minimum.values)
    refined = updated_experiments(problem, full, blocks)
    used = np.concatenate([d.rows for d in selection.data])
    table = updated_table(
        refined, reflections, used, selection.outliers, selection.excluded, crystals_at_blocks(problem, full)
    )
    return FitResult(
        experiments=refined,
        reflections=table,
        n_used=np.array([len(d) for d in selection.data]),
        n_outliers=selection.n_outliers,
        rmsd=rmsd_px(experiments, minimum.normal.sums),
        rmsd_mm=minimum.normal.rmsd,
        steps=minimum.rmsds,
        n_parameters=len(minimum.values),
        esds=parameter_esds(problem, blocks),
        notes=tuple(notes),
        chi2_reduced=scale,
        reason=minimum.reason,
        converged=minimum.converged,
    )
