"""σ_b and σ_m of every crystal: its own, given by the user, or borrowed from its neighbours (back.md 2.6)."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mxdask.flow import Failed
from mxdask.geometry.kabsch import partiality, zeta
from mxdask.geometry.predict_all import PredictedReflections
from mxdask.integrate.params import Params
from mxdask.integrate.prepare import predict_for
from mxdask.integrate.profile_model import ProfileModel, estimate, usable_reference
from mxdask.integrate.reference import Reference, match_reference, select_reference
from mxdask.models import Experiment, ExperimentList
from mxdask.table import ReflectionTable

log = logging.getLogger(__name__)

# A crystal with this many wholly recorded spots teaches itself its reference profile, and may lend it to others.
MANY_SPOTS, MOST_LENDERS = 100, 5
WHOLE = 0.99  # part of a spot that is recorded
NO_SPOTS = (
    "no indexed spot belongs to a prediction, so the spots' widths are not known; give the .refl that was refined "
    "together with the .expt, or sigma_b= and sigma_m="
)


@dataclass(frozen=True)
class Widths:
    """What one crystal's spots say.

    Attributes
    ----------
    model : estimated widths, or None where no spot was usable.
    n_spots : reference spots used; ``n_whole``: those whose rocking curve lies inside the scan.
    lack : why the widths are not to be trusted; "" if they are.
    """

    model: ProfileModel | None
    n_spots: int
    lack: str
    n_whole: int = 0

    @property
    def enough(self) -> bool:
        return not self.lack


def measure_widths(experiment: Experiment, spots: ReflectionTable, params: Params) -> Widths:
    """Match the spots with predictions and estimate the widths.

    One image does not tell σ_m, however many its spots: of no rocking curve is there more than one value. (Two do, to
    1 % on slices of ins6_1m, since the angles at which spots should be are known.)
    """
    assert experiment.scan is not None
    settings = params.profile.gaussian_rs
    selected = select_reference(spots)
    if not len(selected):
        return Widths(None, 0, "no reference spots")
    predictions = predict_for(experiment, params, only=selected["miller_index"])
    reference = match_reference(selected, predictions)
    usable = usable_reference(reference, predictions, experiment, settings.filter.min_zeta)
    if not len(usable):
        return Widths(None, 0, "no reference spots")
    n_sigma, limits = settings.parameters.n_sigma, settings.min_spots
    degrees = abs(experiment.scan.width) * experiment.scan.n_images
    lack = ""
    if len(reference) < limits.overall and len(reference) < limits.per_degree * degrees:
        lack = f"{len(usable)} reference spots are too few"
    model = estimate(usable, predictions, experiment, n_sigma, scan_varying=settings.scan_varying and not lack)
    if not all(np.isfinite(sigma) and sigma > 0 for sigma in (model.sigma_b, model.sigma_m)):
        return Widths(None, len(usable), lack or "its spots have no counts")
    if experiment.scan.n_images == 1:
        lack = "a single image is too little"
    return Widths(model, len(usable), lack, _count_whole(experiment, predictions, usable, model))


def _count_whole(
    experiment: Experiment, predictions: PredictedReflections, reference: Reference, model: ProfileModel
) -> int:
    """Reference spots of which (nearly) everything was recorded."""
    scan, beam, goniometer = experiment.scan, experiment.beam, experiment.goniometer
    assert scan is not None and beam is not None and goniometer is not None
    z = zeta(goniometer.lab_axis, beam.s0, predictions.s1[reference.predicted])
    phi = predictions.xyz_mm[reference.predicted, 2]
    ends = (np.full(len(phi), scan.angle(float(edge))) for edge in scan.array_range)
    return int(np.sum(partiality(z, model.sigma_m, phi, *ends) > WHOLE))


def choose_models(experiments: ExperimentList, widths: list[Any], params: Params) -> list[Any]:
    """A profile model, or Failed, for every crystal.

    A wedge with too few spots takes the median widths of the crystals measured at the same settings (wavelength,
    detector distance, image width); without any it keeps what its few spots say; without spots it takes the median of
    all crystals.
    """
    given = params.profile.gaussian_rs.parameters
    few = {i: w.model for i, w in enumerate(widths) if isinstance(w, Widths) and w.model is not None}
    own = {i: model for i, model in few.items() if widths[i].enough}
    out: list[Any] = []
    for index, (experiment, width) in enumerate(zip(experiments, widths, strict=True)):
        if isinstance(width, Failed):
            out.append(width)
            continue
        model = own.get(index)
        if model is None and (given.sigma_b is None or given.sigma_m is None):
            lenders = few if width.model is None and not own else own
            model, source = _borrowed(experiments, index, lenders, width.model)
            if model is None:
                out.append(Failed(NO_SPOTS))
                continue
            log.info(
                "%s: %s for widths of its own; sigma_b %.4f°, sigma_m %.4f° %s",
                experiment.name, width.lack, *np.rad2deg([model.sigma_b, model.sigma_m]), source,
            )  # fmt: skip
        out.append(_override(model, given.sigma_b, given.sigma_m, given.n_sigma))
    return out


def _borrowed(
    experiments: ExperimentList, index: int, lenders: dict[int, ProfileModel], few: ProfileModel | None
) -> tuple[ProfileModel | None, str]:
    """Widths for a crystal that has none of its own, and where they are from. ``few``: what its few spots say."""
    alike = [lenders[i] for i in _alike(experiments, index, lenders)]
    if alike:
        return _median(alike), f"median of {len(alike)} crystals at the same settings"
    if few is not None or not lenders:
        return few, "from its own spots all the same"
    return _median(list(lenders.values())), f"median of {len(lenders)} crystals at other settings"


def choose_lenders(experiments: ExperimentList, widths: list[Any]) -> list[list[int]]:
    """For every crystal the crystals it borrows a reference profile from: none if it has spots enough of its own.

    Lenders are the nearest in the list (so in time) measured at the same settings.
    """
    rich = [i for i, w in enumerate(widths) if isinstance(w, Widths) and w.enough and w.n_whole >= MANY_SPOTS]
    out: list[list[int]] = []
    for index, width in enumerate(widths):
        if index in rich or isinstance(width, Failed):
            out.append([])
            continue
        alike = _alike(experiments, index, rich)
        out.append(sorted(sorted(alike, key=lambda i: (abs(i - index), i))[:MOST_LENDERS]))
        if alike:
            names = ", ".join(experiments[i].name for i in out[-1])
            log.info("%s: its reference profile starts from those of %s", experiments[index].name, names)
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


def _alike(experiments: ExperimentList, index: int, others: Iterable[int]) -> list[int]:
    """Those of ``others`` measured at the settings of experiment ``index``, so that widths carry over.

    Wavelength, distance and image width to 5 %: refinement moves those of a weak crystal by a few per cent.
    """
    own = np.array(_settings(experiments[index]))
    return [j for j in others if np.all(np.abs(np.array(_settings(experiments[j])) - own) <= 0.05 * own)]


def _settings(experiment: Experiment) -> tuple[float, float, float]:
    """Wavelength (Å), detector distance (mm), image width (degrees); zeros where a model is missing."""
    if experiment.beam is None or experiment.detector is None or experiment.scan is None:
        return 0.0, 0.0, 0.0
    return experiment.beam.wavelength, abs(experiment.detector[0].distance), abs(experiment.scan.width)
