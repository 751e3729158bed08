"""Models overridden after the event: ``modify_geometry``, ``modify_experiments``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from pydantic import Field

from mxdask.errors import ParameterError
from mxdask.geometry.placement import shift_to_beam_centre
from mxdask.lattice.operators import constrain_crystal
from mxdask.lattice.space_groups import parse_space_group
from mxdask.models import Beam, Crystal, Detector, Experiment, ExperimentList, Goniometer, Scan
from mxdask.models.crystal import b_matrix
from mxdask.params import StepParams

Vector = tuple[float, float, float]
Cell = tuple[float, float, float, float, float, float]


class BeamChange(StepParams):
    wavelength: float | None = Field(None, gt=0, description="New wavelength", json_schema_extra={"unit": "Å"})
    direction: Vector | None = Field(None, description="From the sample to the source")
    polarization_normal: Vector | None = Field(None, description="Normal of the plane of polarization")
    polarization_fraction: float | None = Field(None, ge=0, le=1, description="Fraction polarized")


class DetectorChange(StepParams):
    distance: float | None = Field(
        None, gt=0, description="Distance of the first panel along its normal", json_schema_extra={"unit": "mm"}
    )
    fast_slow_beam_centre: tuple[float, float] | None = Field(
        None, description="Where the beam meets the first panel: fast, slow", json_schema_extra={"unit": "px"}
    )
    shift: Vector | None = Field(
        None, description="Move the detector by x, y, z of the laboratory", json_schema_extra={"unit": "mm"}
    )
    gain: float | None = Field(None, gt=0, description="Counts per photon")
    pedestal: float | None = Field(None, description="Counts without a photon")
    trusted_range: tuple[float, float] | None = Field(None, description="Smallest and largest count to trust")


class GoniometerChange(StepParams):
    axis: Vector | None = Field(None, description="Rotation axis (of goniometers with one axis)")
    axes: tuple[float, ...] | None = Field(None, description="All axes from crystal to base, three numbers each")
    angles: tuple[float, ...] | None = Field(None, description="Angles of all axes", json_schema_extra={"unit": "°"})
    invert_rotation_axis: bool = Field(False, description="The axis turns the other way")


class ScanChange(StepParams):
    oscillation: tuple[float, float] | None = Field(
        None, description="Start of the first image and width of each", json_schema_extra={"unit": "°"}
    )
    first_image: int | None = Field(None, ge=1, description="Number of the first image")


class Geometry(StepParams):
    beam: BeamChange = BeamChange()
    detector: DetectorChange = DetectorChange()
    goniometer: GoniometerChange = GoniometerChange()
    scan: ScanChange = ScanChange()


class CrystalChange(StepParams):
    space_group: str | None = Field(None, description="New space group; the cell is averaged to obey it")
    unit_cell: Cell | None = Field(None, description="New cell, orientation kept", json_schema_extra={"unit": "Å, °"})
    A_matrix: tuple[float, ...] | None = Field(
        None, description="Nine numbers, rows of A", json_schema_extra={"unit": "Å⁻¹"}
    )


class Output(StepParams):
    experiments: str = Field("modified.expt", description="File of the experiments")


class Params(StepParams):
    """Parameters of modify_geometry."""

    geometry: Geometry = Geometry()
    crystal: CrystalChange = CrystalChange()
    select_experiments: tuple[int, ...] = Field((), description="Change only these; Auto: all")
    output: Output = Output()


def modify(experiments: ExperimentList, params: Params) -> ExperimentList:
    """Experiments with some models changed; models that were shared still are.

    Raises
    ------
    ParameterError : a value that does not fit the models (number of axes, panels …).
    """
    done: dict[tuple[str, int], Any] = {}

    def once(kind: str, model: Any, change: Callable[[Any], Any]) -> Any:
        if model is None:
            return None
        if (kind, id(model)) not in done:
            done[kind, id(model)] = change(model)
        return done[kind, id(model)]

    geometry, wanted = params.geometry, set(params.select_experiments)
    if unknown := wanted - set(range(len(experiments))):
        raise ParameterError(f"select_experiments={max(unknown)}: there are experiments 0..{len(experiments) - 1}")
    new: list[Experiment] = []
    for row, e in enumerate(experiments):
        if wanted and row not in wanted:
            new.append(e)
            continue
        beam = once("beam", e.beam, lambda b: _beam(b, geometry.beam))
        new.append(
            e.evolve(
                beam=beam,
                detector=once("detector", e.detector, partial(_detector, change=geometry.detector, beam=beam)),
                goniometer=once("goniometer", e.goniometer, lambda g: _goniometer(g, geometry.goniometer)),
                scan=once("scan", e.scan, lambda s: _scan(s, geometry.scan)),
                crystal=once("crystal", e.crystal, lambda c: _crystal(c, params.crystal)),
            )
        )
    return experiments.with_experiments(new)


def _given(change: StepParams, *names: str) -> dict[str, Any]:
    return {n: getattr(change, n) for n in names if getattr(change, n) is not None}


def _beam(beam: Beam, change: BeamChange) -> Beam:
    given = _given(change, "wavelength", "direction", "polarization_normal", "polarization_fraction")
    if not given:
        return beam
    if "polarization_normal" in given:
        normal = np.array(given["polarization_normal"])
        given["polarization_normal"] = normal / np.linalg.norm(normal)
    if "wavelength" in given or "direction" in given:
        given["s0_at_scan_points"] = None
    return replace(beam, **given)


def _detector(detector: Detector, change: DetectorChange, beam: Beam | None) -> Detector:
    shift = np.zeros(3) if change.shift is None else np.array(change.shift)
    first = detector[0]
    if change.distance is not None:
        shift = shift + (change.distance - first.distance) * first.outward
    if change.fast_slow_beam_centre is not None:
        if beam is None:
            raise ParameterError("fast_slow_beam_centre= needs a beam")
        moved = first.with_frame(first.fast_axis, first.slow_axis, first.origin + shift)
        shift = shift + shift_to_beam_centre(moved, beam, np.multiply(change.fast_slow_beam_centre, first.pixel_size))
    given = _given(change, "gain", "pedestal", "trusted_range")
    if not given and not np.any(shift):
        return detector
    panels = [replace(p, **given).with_frame(p.fast_axis, p.slow_axis, p.origin + shift) for p in detector.panels]
    if np.any(shift):
        return detector.with_panels(tuple(panels))
    return Detector(tuple(panels), detector.hierarchy)


def _goniometer(goniometer: Goniometer, change: GoniometerChange) -> Goniometer:
    changed = _with_axes(goniometer, change)
    return changed.with_scan_axis_inverted() if change.invert_rotation_axis else changed


def _with_axes(goniometer: Goniometer, change: GoniometerChange) -> Goniometer:
    if goniometer.axes is None or goniometer.angles is None:
        if change.axes is not None or change.angles is not None:
            raise ParameterError("goniometer.axes= and angles= are for goniometers with several axes; give axis=")
        if change.axis is None:
            return goniometer
        return replace(goniometer, rotation_axis=np.array(change.axis) / np.linalg.norm(change.axis))
    if change.axis is not None:
        raise ParameterError("goniometer.axis= is for goniometers with one axis; give axes=")
    if change.axes is None and change.angles is None:
        return goniometer
    n = len(goniometer.angles)
    axes = goniometer.axes if change.axes is None else np.array(change.axes, dtype=float)
    angles = goniometer.angles if change.angles is None else change.angles
    if np.size(axes) != 3 * n or len(angles) != n:
        raise ParameterError(f"the goniometer has {n} axes: give {3 * n} numbers for axes= and {n} for angles=")
    return Goniometer.multi_axis(
        axes, angles, goniometer.names, goniometer.scan_axis, goniometer.setting_rotation_at_scan_points
    )


def _scan(scan: Scan, change: ScanChange) -> Scan:
    given: dict[str, Any] = _given(change, "oscillation")
    if change.first_image is not None:
        given["image_range"] = change.first_image, change.first_image + scan.n_images - 1
    return replace(scan, **given) if given else scan


def _crystal(crystal: Crystal, change: CrystalChange) -> Crystal:
    if change.A_matrix is not None:
        if len(change.A_matrix) != 9:
            raise ParameterError(f"A_matrix: nine numbers are needed, {len(change.A_matrix)} are given")
        crystal = crystal.with_A(np.array(change.A_matrix).reshape(3, 3))
    if change.unit_cell is not None:
        crystal = crystal.with_A(crystal.U @ b_matrix(change.unit_cell))
    if change.space_group is not None:
        crystal = constrain_crystal(crystal, parse_space_group(change.space_group))
    return crystal
