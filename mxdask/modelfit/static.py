"""Refinement of experiments whose crystals do not change along the scan."""

from __future__ import annotations

from mxdask.modelfit.fit import fit, select
from mxdask.modelfit.options import FitOptions
from mxdask.modelfit.result import FitResult
from mxdask.models import ExperimentList
from mxdask.table import ReflectionTable

DEFAULT = FitOptions()


def refine_static(
    experiments: ExperimentList,
    reflections: ReflectionTable,
    options: FitOptions = DEFAULT,
    *,
    reference: ExperimentList | None = None,
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
    reference : experiments, row by row, whose beams and detectors the priors of the options are about (as imported,
        say, when this is one of several macrocycles); default: the starting ones.

    Raises
    ------
    MxdaskError : no reflection can be used, or (auto_reduction fail) too few for the parameters.
    """
    return fit(experiments, reflections, select(experiments, reflections, options), options, reference=reference)
