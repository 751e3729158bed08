"""Whether models of two experiments agree within tolerances, and models shared where they do."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from mxdask.models import Beam, Crystal, Detector, Experiment, ExperimentList, Goniometer, Scan
from mxdask.params import StepParams


class BeamTolerance(StepParams):
    wavelength: float = Field(1e-6, ge=0, description="Difference of wavelengths", json_schema_extra={"unit": "Å"})
    direction: float = Field(1e-6, ge=0, description="Difference of components of the direction")
    polarization_normal: float = Field(1e-6, ge=0, description="Difference of components of the normal")
    polarization_fraction: float = Field(1e-6, ge=0, description="Difference of fractions")


class DetectorTolerance(StepParams):
    fast_axis: float = Field(1e-6, ge=0, description="Difference of components")
    slow_axis: float = Field(1e-6, ge=0, description="Difference of components")
    origin: float = Field(5e-2, ge=0, description="Difference of components", json_schema_extra={"unit": "mm"})


class GoniometerTolerance(StepParams):
    rotation_axis: float = Field(1e-6, ge=0, description="Difference of components of the axes and rotations")


class ScanTolerance(StepParams):
    oscillation: float = Field(0.03, ge=0, description="Difference of widths, as a fraction of the width")


class Tolerance(StepParams):
    beam: BeamTolerance = BeamTolerance()
    detector: DetectorTolerance = DetectorTolerance()
    goniometer: GoniometerTolerance = GoniometerTolerance()
    scan: ScanTolerance = ScanTolerance()


def same_model(a: Any, b: Any, tolerance: Tolerance) -> bool:
    """Whether two models of one kind (beam, detector, goniometer, scan, crystal) agree."""
    if a is b:
        return True
    if a is None or b is None:
        return False
    if isinstance(a, Beam):
        return _same_beam(a, b, tolerance.beam)
    if isinstance(a, Detector):
        return _same_detector(a, b, tolerance.detector)
    if isinstance(a, Goniometer):
        return a.is_similar_to(b, tolerance.goniometer.rotation_axis)
    if isinstance(a, Scan):
        return _same_scan(a, b, tolerance.scan)
    assert isinstance(a, Crystal)
    return _same_crystal(a, b)


def _near(a: Any, b: Any, tolerance: float) -> bool:
    return bool(np.all(np.abs(np.asarray(a) - np.asarray(b)) <= tolerance))


def _same_beam(a: Beam, b: Beam, t: BeamTolerance) -> bool:
    return (
        _near(a.wavelength, b.wavelength, t.wavelength)
        and _near(a.direction, b.direction, t.direction)
        and _near(a.polarization_normal, b.polarization_normal, t.polarization_normal)
        and _near(a.polarization_fraction, b.polarization_fraction, t.polarization_fraction)
        and a.s0_at_scan_points is None
        and b.s0_at_scan_points is None
    )


def _same_detector(a: Detector, b: Detector, t: DetectorTolerance) -> bool:
    if len(a) != len(b):
        return False
    return all(
        p.image_size == q.image_size
        and np.allclose(p.pixel_size, q.pixel_size, rtol=0, atol=1e-7)
        and _near(p.fast_axis, q.fast_axis, t.fast_axis)
        and _near(p.slow_axis, q.slow_axis, t.slow_axis)
        and _near(p.origin, q.origin, t.origin)
        for p, q in zip(a.panels, b.panels, strict=True)
    )


def _same_scan(a: Scan, b: Scan, t: ScanTolerance) -> bool:
    if a.image_range != b.image_range or (a.oscillation is None) != (b.oscillation is None):
        return False
    if a.oscillation is None or b.oscillation is None:
        return True
    allowed = t.oscillation * abs(a.width) if a.width else 1e-7
    return _near(a.oscillation, b.oscillation, allowed)


def _same_crystal(a: Crystal, b: Crystal) -> bool:
    """Cells within 1e-4 and orientations within 0.01°: one crystal, not two of a kind."""
    if a.space_group_hall != b.space_group_hall or not np.allclose(a.cell, b.cell, rtol=1e-4, atol=1e-3):
        return False
    points = a.A_at_scan_points, b.A_at_scan_points
    if (points[0] is None) != (points[1] is None):
        return False
    turn = np.linalg.norm(a.U @ b.U.T - np.eye(3)) / np.sqrt(2)
    same = np.rad2deg(turn) < 0.01
    if points[0] is not None and points[1] is not None:
        same = same and points[0].shape == points[1].shape and np.allclose(points[0], points[1], rtol=1e-4, atol=1e-7)
    return bool(same)


def share_similar(
    experiments: ExperimentList, tolerance: Tolerance, kinds: tuple[str, ...] = ("beam", "detector", "goniometer")
) -> ExperimentList:
    """Models that agree with an earlier one are replaced by it, so that the file holds each only once."""
    found: dict[str, list[Any]] = {kind: [] for kind in kinds}
    shared = []
    for experiment in experiments:
        changes = {kind: _first_like(getattr(experiment, kind), found[kind], tolerance) for kind in kinds}
        shared.append(experiment.evolve(**changes))
    return experiments.with_experiments(shared)


def _first_like(model: Any, known: list[Any], tolerance: Tolerance) -> Any:
    if model is None:
        return None
    for other in known:
        if same_model(other, model, tolerance):
            return other
    known.append(model)
    return model


def first_difference(reference: Any, experiments: ExperimentList, kind: str, tolerance: Tolerance) -> Experiment | None:
    """The first experiment whose model differs from the reference's."""
    for experiment in experiments:
        if not same_model(reference, getattr(experiment, kind), tolerance):
            return experiment
    return None
