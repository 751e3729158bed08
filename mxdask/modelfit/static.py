"""Refinement of experiments whose crystals do not change along the scan."""

from __future__ import annotations

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.modelfit.layout import build_layout
from mxdask.modelfit.levmar import minimise
from mxdask.modelfit.options import FitOptions
from mxdask.modelfit.outliers import find_outliers
from mxdask.modelfit.problem import Problem
from mxdask.modelfit.reduction import reduced
from mxdask.modelfit.result import (
    FitResult,
    chi2_reduced,
    covariances,
    parameter_esds,
    pixel_sizes,
    rmsd_px,
    updated_experiments,
    updated_table,
)
from mxdask.modelfit.selection import Observations, observations
from mxdask.models import ExperimentList
from mxdask.table import ReflectionTable

DEFAULT = FitOptions()


def refine_static(
    experiments: ExperimentList, reflections: ReflectionTable, options: FitOptions = DEFAULT
) -> FitResult:
    """Refine all models of the experiments together (front.md 12).

    Models that experiments share (by identity) are refined as one. Outliers are looked for once, on the residuals of
    the starting models.

    Parameters
    ----------
    experiments : with beam, detector, goniometer, scan and crystal each.
    reflections : rows with ``id`` = row of the experiment list (-1: not indexed), ``miller_index``, ``panel``,
        ``entering``, ``flags``, ``xyzobs.mm.value`` and ``xyzobs.mm.variance``. Rows that are not indexed are
        handed through.

    Raises
    ------
    MxdaskError : no reflection can be used, or (auto_reduction fail) too few for the parameters.
    """
    data, excluded = observations(experiments, reflections, options)
    layout = build_layout(experiments, options)
    start = Problem(experiments, data, layout)
    residuals = start.residuals(start.start)
    masks = find_outliers(experiments, data, residuals, options)
    kept = [d.keep(~m) for d, m in zip(data, masks, strict=True)]
    if not any(len(d) for d in kept):
        raise MxdaskError(_nothing_left(experiments, data))
    free, notes = reduced(layout, kept, options)
    problem = Problem(experiments, kept, layout, free, prior_scale(data, masks, residuals))
    minimum = minimise(
        problem.evaluate, problem.start, max_iterations=options.max_iterations, convergence=options.convergence
    )
    scale = chi2_reduced(minimum)
    blocks = covariances(minimum, scale)
    refined = updated_experiments(problem, problem.full(minimum.values), blocks)
    used = np.concatenate([d.rows for d in kept])
    outliers = np.concatenate([d.rows[m] for d, m in zip(data, masks, strict=True)])
    return FitResult(
        experiments=refined,
        reflections=updated_table(refined, reflections, used, outliers, excluded),
        n_used=np.array([len(d) for d in kept]),
        n_outliers=np.array([int(m.sum()) for m in masks]),
        rmsd=rmsd_px(experiments, minimum.normal.sums, pixel_sizes(experiments)),
        rmsd_mm=minimum.normal.rmsd,
        steps=minimum.rmsds,
        n_parameters=len(minimum.values),
        esds=parameter_esds(problem, blocks),
        notes=tuple(notes),
        chi2_reduced=scale,
        reason=minimum.reason,
        converged=minimum.converged,
    )


def prior_scale(data: list[Observations], masks: list[np.ndarray], residuals: list[np.ndarray]) -> float:
    """Factor that puts the priors on the scale of the weights, at most 1.

    The variances of centroids may be too large by a constant factor; priors in mm and mrad would then weigh too much.
    χ² per residual of the starting models says by how much, unless it is above 1, when it is the start that is off.
    """
    terms = [(d.weight * r * r)[~m] for d, m, r in zip(data, masks, residuals, strict=True)]
    return min(1.0, sum(float(t.sum()) for t in terms) / max(1, sum(t.size for t in terms)))


def _nothing_left(experiments: ExperimentList, data: list[Observations]) -> str:
    names = ", ".join(dict.fromkeys(e.name for e in experiments))
    return f"{names}: no reflection can be used for refinement (of {sum(len(d) for d in data)} indexed)"
