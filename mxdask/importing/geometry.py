"""Geometry that replaces what headers say: a reference experiment first, then values given by hand (front.md 4.1)."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from mxdask.errors import ParameterError
from mxdask.geometry.placement import shift_to_beam_centre
from mxdask.importing.params import DetectorGeometry, Geometry, GoniometerGeometry, Input, PanelGeometry
from mxdask.importing.sweeps import Sweep
from mxdask.io.expt import read_expt
from mxdask.io.image_header import with_sensor
from mxdask.models import Beam, Detector, Goniometer, Panel, Scan
from mxdask.models.detector import PARALLAX, SIMPLE

log = logging.getLogger(__name__)

Model = TypeVar("Model")


def apply_overrides(sweeps: Sequence[Sweep], given: Input, geometry: Geometry) -> list[Sweep]:
    """Sweeps with reference models and manual values put in. Models that were shared stay shared.

    Raises
    ------
    ParameterError : a value does not fit the detector or goniometer it is meant for.
    FileError : the reference cannot be read.
    """
    sweeps = list(sweeps)
    if given.reference_geometry is not None:
        sweeps = _with_reference(sweeps, given)
    beams: dict[int, Beam] = {}
    goniometers: dict[int, Goniometer] = {}
    detectors: dict[tuple[int, int], Detector] = {}
    out = []
    for sweep in sweeps:
        beam = _once(beams, id(sweep.beam), sweep.beam, lambda b: _beam(b, geometry))
        is_new = beam.wavelength != sweep.beam.wavelength
        change = functools.partial(_detector, beam=beam, given=geometry.detector, new_wavelength=is_new)
        detector = _once(detectors, (id(sweep.detector), id(sweep.beam)), sweep.detector, change)
        goniometer = sweep.goniometer
        if goniometer is not None:
            goniometer = _once(goniometers, id(goniometer), goniometer, lambda g: _goniometer(g, geometry.goniometer))
        elif geometry.goniometer.axis is not None:
            goniometer = Goniometer.single_axis(geometry.goniometer.axis)
        scan = _scan(sweep.scan, geometry)
        out.append(replace(sweep, beam=beam, detector=detector, goniometer=goniometer, scan=scan))
    return out


def _once(done: dict[Any, Model], key: Any, model: Model, change: Callable[[Model], Model]) -> Model:
    if key not in done:
        done[key] = change(model)
    return done[key]


def _with_reference(sweeps: list[Sweep], given: Input) -> list[Sweep]:
    reference = read_expt(str(given.reference_geometry))
    models: dict[str, Any] = {}
    for kind, wanted in (
        ("beam", given.use_beam_reference), ("detector", given.use_detector_reference),
        ("goniometer", given.use_gonio_reference),
    ):  # fmt: skip
        found = reference.unique(kind)
        if wanted and len(found) > 1:
            raise ParameterError(
                f"reference_geometry={given.reference_geometry}: holds {len(found)} {kind} models, one is needed"
            )
        if wanted and found:
            models[kind] = found[0]
    if not models:
        raise ParameterError(f"reference_geometry={given.reference_geometry}: holds no model that is wanted")
    if given.check_reference_geometry and "detector" in models:
        for sweep in sweeps:
            _check_same_kind(sweep.detector, models["detector"], sweep.template, str(given.reference_geometry))
    return [replace(sweep, **models) for sweep in sweeps]


def _check_same_kind(found: Detector, reference: Detector, template: str, name: str) -> None:
    """Refuse a reference detector that cannot be the one of the images: what no experiment changes must agree."""

    def facts(detector: Detector) -> dict[str, list[Any]]:
        return {
            "panels of (fast, slow) pixels": [p.image_size for p in detector.panels],
            "pixel sizes (mm)": [tuple(round(v, 6) for v in p.pixel_size) for p in detector.panels],
            "sensor thickness (mm)": [round(p.thickness, 6) for p in detector.panels],
            "sensor material": [p.material for p in detector.panels],
        }

    for (what, here), there in zip(facts(found).items(), facts(reference).values(), strict=True):
        if here != there:
            raise ParameterError(
                f"reference_geometry={name}: its detector has {what} {_few(there)}, {template} has {_few(here)}; "
                "give a reference of the same detector (or check_reference_geometry=False)"
            )


def _few(values: list[Any]) -> str:
    distinct = list(dict.fromkeys(values))
    return f"{len(values)} × {distinct[0]}" if len(distinct) == 1 else str(values[:3])


def _beam(beam: Beam, geometry: Geometry) -> Beam:
    values = {k: v for k, v in geometry.beam.model_dump().items() if v is not None}
    return replace(beam, **values) if values else beam


def _scan(scan: Scan, geometry: Geometry) -> Scan:
    oscillation = geometry.scan.oscillation
    if geometry.convert_sequences_to_stills:
        return replace(scan, oscillation=None, properties={})
    if scan.is_still and not geometry.convert_stills_to_sequences and oscillation is not None:
        log.info("stills become a sweep: geometry.scan.oscillation= was given")
    return scan if oscillation is None else replace(scan, oscillation=oscillation)


def _goniometer(goniometer: Goniometer, given: GoniometerGeometry) -> Goniometer:
    rotations = {k: getattr(given, k) for k in ("fixed_rotation", "setting_rotation") if getattr(given, k) is not None}
    if not rotations:
        return _axes_changed(goniometer, given)
    if goniometer.axes is not None or given.axes is not None:
        raise ParameterError(f"goniometer.{next(iter(rotations))}=: the goniometer has several axes; give angles=")
    goniometer = _axes_changed(goniometer, given)
    fixed, setting = (
        np.reshape(rotations.get(k, getattr(goniometer, k)), (3, 3)) for k in ("fixed_rotation", "setting_rotation")
    )
    for name, matrix in (("fixed_rotation", fixed), ("setting_rotation", setting)):
        if not np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-4) or np.linalg.det(matrix) < 0:
            raise ParameterError(f"goniometer.{name}={matrix.ravel().tolist()}: not a rotation matrix")
    return Goniometer.single_axis(goniometer.rotation_axis, fixed, setting)


def _axes_changed(goniometer: Goniometer, given: GoniometerGeometry) -> Goniometer:
    changed = _with_axes(goniometer, given)
    return changed.with_scan_axis_inverted() if given.invert_rotation_axis else changed


def _with_axes(goniometer: Goniometer, given: GoniometerGeometry) -> Goniometer:
    if given.axes is not None:
        return _multi_axis(goniometer, given)
    if goniometer.axes is not None and given.axis is not None:
        raise ParameterError(f"goniometer.axis=: the goniometer has {len(goniometer.axes)} axes; give goniometer.axes=")
    if goniometer.axes is not None and goniometer.angles is not None:
        angles = goniometer.angles if given.angles is None else given.angles
        names = goniometer.names if given.names is None else given.names
        scan_axis = goniometer.scan_axis if given.scan_axis is None else given.scan_axis
        if given.angles is not None or given.names is not None or given.scan_axis is not None:
            goniometer = Goniometer.multi_axis(goniometer.axes, angles, names, scan_axis)
    elif given.axis is not None:
        axis = np.asarray(given.axis) / np.linalg.norm(given.axis)
        goniometer = Goniometer.single_axis(axis, goniometer.fixed_rotation, goniometer.setting_rotation)
    return goniometer


def _multi_axis(goniometer: Goniometer, given: GoniometerGeometry) -> Goniometer:
    axes = np.asarray(given.axes, dtype=np.float64)
    if axes.size % 3 or axes.size == 0:
        raise ParameterError(f"goniometer.axes= takes three numbers per axis, {axes.size} were given")
    axes = axes.reshape(-1, 3)
    n = len(axes)
    old_angles = goniometer.angles if goniometer.angles is not None and len(goniometer.angles) == n else np.zeros(n)
    angles = old_angles if given.angles is None else np.asarray(given.angles)
    names = given.names or (goniometer.names if len(goniometer.names) == n else tuple(f"AXIS_{k}" for k in range(n)))
    scan_axis = given.scan_axis if given.scan_axis is not None else min(goniometer.scan_axis, n - 1)
    if len(angles) != n or len(names) != n:
        raise ParameterError(f"goniometer: {n} axes, {len(angles)} angles and {len(names)} names do not fit together")
    return Goniometer.multi_axis(axes, angles, names, scan_axis)


# ---- detector ------------------------------------------------------------------------------------------------------


def _detector(detector: Detector, beam: Beam, given: DetectorGeometry, new_wavelength: bool) -> Detector:
    frame = [given.panel.fast_axis, given.panel.slow_axis, given.panel.origin]
    only = given.panel.id
    if only is not None and only >= len(detector):
        raise ParameterError(f"geometry.detector.panel.id={only}: the detector has {len(detector)} panels, from 0")
    if len(detector) > 1 and only is None and any(v is not None for v in frame):
        raise ParameterError(
            f"detector: fast_axis, slow_axis and origin suit one panel, this one has {len(detector)}; "
            "say which with geometry.detector.panel.id="
        )
    panels = [
        _panel(p, beam, given.panel if only in (None, number) else PanelGeometry(), new_wavelength)
        for number, p in enumerate(detector.panels)
    ]
    panels = _with_hierarchy(panels, detector, given)
    shift = np.zeros(3)
    if given.distance is not None:
        shift = _distance_shift(panels[0], beam, given.distance, several=len(panels) > 1)
        panels = [_moved(p, shift) for p in panels]
    centre = _beam_centre(given, panels)
    if centre is not None:
        panel, target = centre
        panels = [_moved(p, shift_to_beam_centre(panels[panel], beam, target)) for p in panels]
    if all(a is b for a, b in zip(panels, detector.panels, strict=True)):
        return detector
    return detector.with_panels(tuple(panels))


_PANEL_FIELDS = (
    "fast_axis", "slow_axis", "origin", "pixel_size", "thickness", "material", "trusted_range", "gain", "pedestal",
    "name", "type", "image_size",
)  # fmt: skip


def _with_hierarchy(panels: list[Panel], detector: Detector, given: DetectorGeometry) -> list[Panel]:
    """Panels after the frame of the whole detector was put elsewhere; parts of it not given stay as they were."""
    new = {k: v for k, v in given.hierarchy.model_dump().items() if v is not None}
    if not new:
        return panels
    root = detector.hierarchy or {}
    names, identity = ("fast_axis", "slow_axis", "origin"), ((1.0, 0, 0), (0, 1.0, 0), (0, 0, 0))
    frames = []
    for values in (root, {**root, **new}):
        fast, slow, origin = (np.array(values.get(k, v), dtype=float) for k, v in zip(names, identity, strict=True))
        fast = fast / np.linalg.norm(fast)
        normal = np.cross(fast, slow)
        if not np.linalg.norm(normal) > 1e-6:
            raise ParameterError("geometry.detector.hierarchy: fast and slow axis are parallel")
        normal = normal / np.linalg.norm(normal)
        frames.append((np.column_stack([fast, np.cross(normal, fast), normal]), origin))
    (old_axes, old_origin), (axes, origin) = frames
    turn = axes @ old_axes.T
    return [
        p.with_frame(turn @ p.fast_axis, turn @ p.slow_axis, origin + turn @ (p.origin - old_origin)) for p in panels
    ]


def _panel(panel: Panel, beam: Beam, given: PanelGeometry, new_wavelength: bool) -> Panel:
    values: dict[str, Any] = {k: getattr(given, k) for k in _PANEL_FIELDS if getattr(given, k) is not None}
    for axis in {"fast_axis", "slow_axis"} & values.keys():
        values[axis] = np.asarray(values[axis]) / np.linalg.norm(values[axis])
    if values:
        panel = replace(panel, **values)
    if new_wavelength or {"thickness", "material"} & values.keys():
        panel = replace(panel, **with_sensor(panel, beam.wavelength))
    if given.parallax_correction is not None:
        panel = replace(panel, px_mm_strategy=PARALLAX if given.parallax_correction else SIMPLE)
    return panel


def _moved(panel: Panel, shift: np.ndarray) -> Panel:
    return replace(panel, origin=panel.origin + shift) if np.any(shift) else panel


def _distance_shift(panel: Panel, beam: Beam, distance: float, *, several: bool) -> np.ndarray:
    """One panel moves along its normal; several move together along the beam, by the first one's difference."""
    difference = distance - panel.distance
    if several:
        return -beam.direction * difference
    return panel.outward * difference


def _beam_centre(given: DetectorGeometry, panels: Sequence[Panel]) -> tuple[int, np.ndarray] | None:
    """Panel and place on it (mm) where the beam shall hit, or None when not given."""
    if given.mosflm_beam_centre is not None:
        return 0, np.array(given.mosflm_beam_centre[::-1])
    pixels = given.fast_slow_beam_centre
    if pixels is None and given.slow_fast_beam_centre is not None:
        slow, fast, *rest = given.slow_fast_beam_centre
        pixels = (fast, slow, *rest)
    if pixels is None:
        return None
    panel = int(pixels[2]) if len(pixels) > 2 else 0
    if not 0 <= panel < len(panels):
        raise ParameterError(f"fast_slow_beam_centre: there is no panel {panel}, the detector has {len(panels)}")
    return panel, np.multiply(pixels[:2], panels[panel].pixel_size)
