"""Beam position from the average image of all sweeps of a detector."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np

from mxdask.beamposition.params import Method, Params
from mxdask.beamposition.projection import inversion, maximum, midpoint
from mxdask.errors import MxdaskError
from mxdask.flow import Flow
from mxdask.geometry.placement import shift_to_beam_centre
from mxdask.images.average import sum_images
from mxdask.models import Detector, Experiment, ExperimentList


def run_projection(experiments: ExperimentList, params: Params, flow: Flow) -> tuple[ExperimentList, dict[str, Any]]:
    """One position per detector.

    Raises
    ------
    MxdaskError : a detector of several panels, or a profile without the feature that is looked for.
    """
    out, rows = list(experiments), []
    for members in experiments.groups(lambda e: id(e.detector)).values():
        sweeps = {id(experiments[row].imageset): experiments[row] for row in members}
        first = experiments[members[0]]
        detector = first.detector
        if detector is None or len(detector) != 1:
            raise MxdaskError(f"{first.name}: the projection methods need a detector of one panel")
        image = _average(list(sweeps.values()), flow)
        old = _centre(first, detector)
        guess = params.inversion.guess_position or old
        methods: tuple[Method, Method] = (params.method_x or params.method, params.method_y or params.method)
        new = [_position(image, axis, m, g, params) for axis, m, g in zip("xy", methods, guess, strict=True)]
        assert first.beam is not None
        shift = shift_to_beam_centre(detector[0], first.beam, np.multiply(new, detector[0].pixel_size))
        moved = detector.with_panels((replace(detector[0], origin=detector[0].origin + shift),))
        for row in members:
            out[row] = experiments[row].evolve(detector=moved)
        rows.append(
            {"sweep": first.name, "status": "ok", "n_sweeps": len(sweeps), "old_centre_px": list(old),
             "new_centre_px": [float(v) for v in new], "method": "/".join(dict.fromkeys(methods))}
        )  # fmt: skip
    summary = {"step": "search_beam_position", "method": rows[0]["method"], "rows": rows}
    return experiments.with_experiments(out), summary | {k: rows[0][k] for k in ("old_centre_px", "new_centre_px")}


def _average(sweeps: list[Experiment], flow: Flow) -> np.ndarray:
    """(slow, fast) mean over all images of all sweeps, NaN where masked."""
    return reduce(lambda a, b: a + b, (sum_images(e, flow=flow)[0] for e in sweeps)).mean


def _centre(experiment: Experiment, detector: Detector) -> tuple[float, float]:
    """(fast, slow) px at which the beam meets the panel."""
    assert experiment.beam is not None
    mm, _ = detector[0].ray_mm(experiment.beam.s0[None])
    x, y = (mm[0] / np.asarray(detector[0].pixel_size)).tolist()
    return x, y


def _position(image: np.ndarray, axis: str, method: Method, guess: float, params: Params) -> float:
    if method == "midpoint":
        return midpoint(image, axis, params.midpoint)
    if method == "maximum":
        return maximum(image, axis, params.maximum)
    return inversion(image, axis, guess, params.inversion)
