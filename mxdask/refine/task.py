"""Refinement of one set of experiments: what a Dask task does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.modelfit.fit import Selection, fit, select, select_flagged
from mxdask.modelfit.options import FitOptions
from mxdask.modelfit.part import Hands
from mxdask.modelfit.result import FitResult
from mxdask.modelfit.selection import observations
from mxdask.modelfit.static import refine_static
from mxdask.modelfit.varying import refine_varying
from mxdask.models import ExperimentList
from mxdask.refine.params import Params, fit_options
from mxdask.refine.wedge import varying_model
from mxdask.table import ReflectionTable

# What a fit needs of the table, and what it changes.
INPUT_COLUMNS = ("id", "panel", "miller_index", "entering", "flags", "xyzobs.mm.value", "xyzobs.mm.variance")
OPTIONAL_COLUMNS = ("bbox",)
# Relative change of the rmsds from one static macrocycle to the next below which no further one is made.
SETTLED = 0.1
OUTPUT_COLUMNS = ("xyzcal.mm", "xyzcal.px", "s1", "flags")


@dataclass(frozen=True)
class SetResult:
    """A refined set.

    Attributes
    ----------
    static : after the static macrocycles. final : after the scan-varying ones, or the same.
    why_static : per experiment, why its crystal was not followed along the scan; "" where it was, or was not asked to.
    """

    static: FitResult
    final: FitResult
    why_static: tuple[str, ...]


def refine_alone(experiments: ExperimentList, reflections: ReflectionTable, params: Params) -> FitResult:
    """One static macrocycle: outliers and a starting point before geometries are shared."""
    return refine_static(experiments, reflections, fit_options(params))


def refine_set(
    experiments: ExperimentList,
    reflections: ReflectionTable,
    params: Params,
    noise: float | None = None,
    hands: Hands | None = None,
) -> SetResult:
    """All macrocycles of experiments that are refined together.

    Parameters
    ----------
    reflections : rows of INPUT_COLUMNS, ids by row of ``experiments``.
    noise : when geometries were just made one, χ² per residual before that: the first macrocycle then keeps the
        outliers that the flags tell, since residuals of crystals that fitted another geometry say nothing.
    hands : who works on the experiments, for sets that are too large for one task; default: this process.
    """
    options = fit_options(params)
    reference = experiments
    results: list[FitResult] = []
    while not _settled(results, params.n_static_macrocycles):
        selection: Selection
        if not results and noise is not None:
            selection = select_flagged(experiments, reflections, noise)
        else:
            selection = select(experiments, reflections, options, hands=hands)
        results.append(fit(experiments, reflections, selection, options, reference=reference, hands=hands))
        experiments, reflections = results[-1].experiments, results[-1].reflections
    return _vary(results[-1], options, params, reference, hands)


def _settled(results: list[FitResult], at_most: int) -> bool:
    """Whether another round of outlier rejection and fit would change little.

    Outliers are judged by the residuals of the models a round starts from. Where these were far off (one orientation
    for sweeps that differ by several images, as joint indexing leaves it) the first rounds keep wrong ones.
    """
    if len(results) < 2 or len(results) >= at_most:
        return len(results) >= at_most
    before, now = results[-2].rmsd_mm, results[-1].rmsd_mm
    return bool(np.all(np.abs(now - before) <= SETTLED * before))


def _vary(
    static: FitResult, options: FitOptions, params: Params, reference: ExperimentList, hands: Hands | None
) -> SetResult:
    """The scan-varying macrocycles, for the crystals that can be followed."""
    model = params.refinement.parameterisation
    chosen = [
        varying_model(experiment, int(n), model)
        for experiment, n in zip(static.experiments, static.n_used, strict=True)
    ]
    smoothing = tuple(c[0] for c in chosen)
    result = static
    if any(s is not None for s in smoothing):
        for _ in range(params.n_varying_macrocycles):
            result = refine_varying(
                result.experiments, result.reflections, options, smoothing, reference=reference, hands=hands
            )
    return SetResult(static, result, tuple(c[1] for c in chosen))


def unusable(experiments: ExperimentList, reflections: ReflectionTable, params: Params) -> dict[int, str]:
    """Experiments that cannot be refined at all, and why; they must not spoil the set they belong to."""
    options = fit_options(params)
    counts = [len(d) for d in observations(experiments, reflections, options)[0]]
    needed = 1 if options.auto_reduction == "fix" else options.min_reflections_per_parameter
    indexed = np.bincount(reflections["id"][reflections["id"] >= 0], minlength=len(experiments))
    return {
        i: f"{n} of {indexed[i]} indexed reflections can be used, {needed} are needed"
        for i, n in enumerate(counts)
        if n < needed
    }
