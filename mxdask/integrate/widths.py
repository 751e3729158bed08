"""σ_b and σ_m of every crystal: its own, given by the user, or borrowed from its neighbours (back.md 2.6)."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mxdask.flow import Failed
from mxdask.integrate.params import Params
from mxdask.integrate.prepare import predict_for
from mxdask.integrate.profile_model import ProfileModel, estimate, usable_reference
from mxdask.integrate.reference import match_reference, select_reference
from mxdask.models import Experiment, ExperimentList
from mxdask.table import ReflectionTable

log = logging.getLogger(__name__)

# A crystal with this many spots teaches itself its reference profile, and may lend it to others.
MANY_SPOTS, MOST_LENDERS = 100, 5


@dataclass(frozen=True)
class Widths:
    """What one crystal's spots say.

    Attributes
    ----------
    model : estimated widths, or None where no spot was usable.
    n_spots : reference spots used; ``enough``: whether they satisfy min_spots.
    """

    model: ProfileModel | None
    n_spots: int
    enough: bool


def measure_widths(experiment: Experiment, spots: ReflectionTable, params: Params) -> Widths:
    """Match the spots with predictions and estimate the widths."""
    assert experiment.scan is not None
    settings = params.profile.gaussian_rs
    selected = select_reference(spots)
    if not len(selected):
        return Widths(None, 0, False)
    predictions = predict_for(experiment, params, only=selected["miller_index"])
    reference = match_reference(selected, predictions)
    usable = usable_reference(reference, predictions, experiment, settings.filter.min_zeta)
    degrees = abs(experiment.scan.width) * experiment.scan.n_images
    limits = settings.min_spots
    enough = len(reference) >= limits.overall or len(reference) >= limits.per_degree * degrees
    if not len(usable):
        return Widths(None, 0, False)
    model = estimate(
        usable, predictions, experiment, settings.parameters.n_sigma, scan_varying=settings.scan_varying and enough
    )
    valid = bool(np.isfinite(model.sigma_b) and np.isfinite(model.sigma_m) and model.sigma_b > 0 and model.sigma_m > 0)
    return Widths(model if valid else None, len(usable), enough and valid)


def choose_models(experiments: ExperimentList, widths: list[Any], params: Params) -> list[Any]:
    """A profile model, or Failed, for every crystal.

    A wedge with too few spots takes the median widths of the crystals measured at the same settings (wavelength,
    detector distance, image width), else of all crystals; without any it keeps what its few spots say.
    """
    given = params.profile.gaussian_rs.parameters
    own = {i: w.model for i, w in enumerate(widths) if isinstance(w, Widths) and w.enough and w.model is not None}
    keys = [_settings(e) for e in experiments]
    out: list[Any] = []
    for index, (experiment, width) in enumerate(zip(experiments, widths, strict=True)):
        if isinstance(width, Failed):
            out.append(width)
            continue
        model = own.get(index)
        if model is None and (given.sigma_b is None or given.sigma_m is None):
            alike = [m for i, m in own.items() if keys[i] == keys[index]] or list(own.values())
            model = _median(alike) if alike else width.model
            if model is None:
                out.append(Failed("no usable spot to learn the spots' widths from; give sigma_b= and sigma_m="))
                continue
            source = (
                f"median of {len(alike)} crystals at the same settings"
                if alike
                else "from these few spots all the same"
            )
            log.info(
                "%s: %d reference spots are too few for widths of its own; sigma_b %.4f°, sigma_m %.4f° %s",
                experiment.name, width.n_spots, *np.rad2deg([model.sigma_b, model.sigma_m]), source,
            )  # fmt: skip
        out.append(_override(model, given.sigma_b, given.sigma_m, given.n_sigma))
    return out


def choose_lenders(experiments: ExperimentList, widths: list[Any]) -> list[list[int]]:
    """For every crystal the crystals it borrows a reference profile from: none if it has spots enough of its own.

    Lenders are the nearest in the list (so in time) measured at the same settings.
    """
    rich = [i for i, w in enumerate(widths) if isinstance(w, Widths) and w.enough and w.n_spots >= MANY_SPOTS]
    keys = [_settings(e) for e in experiments]
    out: list[list[int]] = []
    for index, width in enumerate(widths):
        if index in rich or isinstance(width, Failed):
            out.append([])
            continue
        alike = [i for i in rich if keys[i] == keys[index]]
        out.append(sorted(sorted(alike, key=lambda i: (abs(i - index), i))[:MOST_LENDERS]))
    return out


def _override(model: ProfileModel | None, sigma_b: float | None, sigma_m: float | None, n_sigma: float) -> ProfileModel:
    if model is not None and sigma_b is None and sigma_m is None:
        return replace(model, n_sigma=n_sigma)
    b = np.deg2rad(sigma_b) if sigma_b is not None else model.sigma_b  # type: ignore[union-attr]
    m = np.deg2rad(sigma_m) if sigma_m is not None else model.sigma_m  # type: ignore[union-attr]
    return ProfileModel(float(b), float(m), n_sigma)


def _median(models: list[ProfileModel]) -> ProfileModel:
    return ProfileModel(
        float(np.median([m.sigma_b for m in models])), float(np.median([m.sigma_m for m in models])), models[0].n_sigma
    )


def _settings(experiment: Experiment) -> tuple[float, ...]:
    """What must agree for widths to carry over, rounded so that refinement's small changes do not matter."""
    if experiment.beam is None or experiment.detector is None or experiment.scan is None:
        return ()
    distance = experiment.detector[0].distance
    return round(experiment.beam.wavelength, 3), round(distance / 5.0), round(experiment.scan.width, 4)
