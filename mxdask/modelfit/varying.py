"""Refinement of crystals that change along the scan (front.md 12.6)."""

from __future__ import annotations

from mxdask.modelfit.fit import fit, select
from mxdask.modelfit.options import FitOptions
from mxdask.modelfit.part import Hands
from mxdask.modelfit.result import FitResult
from mxdask.modelfit.smoother import Smoothing
from mxdask.models import ExperimentList
from mxdask.table import ReflectionTable


def refine_varying(
    experiments: ExperimentList,
    reflections: ReflectionTable,
    options: FitOptions,
    smoothing: tuple[Smoothing | None, ...],
    *,
    reference: ExperimentList | None = None,
    hands: Hands | None = None,
) -> FitResult:
    """Refine with crystals sampled along their scans, starting from static ones.

    Parameters
    ----------
    experiments : no two scans share a crystal.
    reflections : with the predictions (``xyzcal.mm``) of the models before: their residuals show the outliers.
    smoothing : per experiment, None to keep that crystal static.

    Returns
    -------
    FitResult whose crystals carry ``A_at_scan_points`` at the n + 1 image boundaries; ``xyzcal`` are those of the
    block's model; the covariance of B stays that of the static solution given.
    """
    selection = select(experiments, reflections, options, as_predicted=True, hands=hands)
    return fit(experiments, reflections, selection, options, smoothing=smoothing, reference=reference, hands=hands)
