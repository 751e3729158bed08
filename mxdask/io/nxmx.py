"""NXmx master files (NeXus for macromolecular crystallography; front.md 4.5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mxdask.errors import FileError
from mxdask.io.hdf5 import number_of, open_hdf5, value_of
from mxdask.io.image_header import ImageHeader, flat_panel_origin, sensor
from mxdask.io.nexus_axes import TO_LAB, NexusAxis, chain, degrees, lengths, placement, text
from mxdask.models import Beam, Detector, Goniometer, Panel, Scan

_WAVELENGTH_UNITS = {"angstrom": 1.0, "Å": 1.0, "a": 1.0, "nm": 10.0, "m": 1e10}
LARGEST_COUNT = 2.0**31 - 1


def entry_of(file: h5py.File) -> h5py.Group | None:
    """The first NXentry, or None."""
    for name in ("entry", *file):
        group = file.get(name)
        if isinstance(group, h5py.Group) and text(group.attrs.get("NX_class", "")) == "NXentry":
            return group
    return None


def detector_of(file: h5py.File) -> h5py.Group | None:
    """The first NXdetector of the first entry, or None."""
    entry = entry_of(file)
    instrument = None if entry is None else _maybe(entry, "NXinstrument")
    return None if instrument is None else _maybe(instrument, "NXdetector")


def instrument_name(file: h5py.File) -> str:
    """Name of the instrument of the first entry, the short one if there is one; "" if unknown."""
    entry = entry_of(file)
    instrument = None if entry is None else _maybe(entry, "NXinstrument")
    if instrument is None:
        return ""
    named = instrument.get("name")
    short = instrument.attrs.get("short_name", "" if named is None else named.attrs.get("short_name", ""))
    return text(short) or _string(instrument, "name")


def modules_of(detector: h5py.Group) -> list[h5py.Group]:
    """The NXdetector_module groups in the order of their names, which is the order of panels."""
    groups = [detector.get(name) for name in sorted(detector)]
    return [g for g in groups if isinstance(g, h5py.Group) and text(g.attrs.get("NX_class", "")) == "NXdetector_module"]


def module_origin(module: h5py.Group) -> tuple[int, int]:
    """(slow, fast) pixel of the frame at which a module begins.

    Modules of data with an axis of their own (frame, module, slow, fast) lie one below the other.
    """
    if "data_origin" not in module:
        return 0, 0
    *above, slow, fast = (int(n) for n in np.ravel(value_of(module["data_origin"])))
    if above and "data_size" in module:
        slow += above[-1] * int(np.ravel(value_of(module["data_size"]))[-2])
    return slow, fast


def is_nxmx(file: h5py.File) -> bool:
    """Whether an HDF5 file says of itself that it is NXmx."""
    entry = entry_of(file)
    return entry is not None and "definition" in entry and text(entry["definition"]) == "NXmx"


def read_nxmx(path: str | Path, n_frames: int, frame_shape: tuple[int, int], bits: int) -> ImageHeader:
    """Models of a master file.

    Parameters
    ----------
    n_frames, frame_shape : of the image data set, (slow, fast).
    bits : per pixel of the data set; used when the file does not give the bit depth.

    Raises
    ------
    FileError : something needed for the geometry is missing.
    """
    path = str(path)
    with open_hdf5(path) as file:
        entry = entry_of(file)
        if entry is None:
            raise FileError(f"{path}: no NXentry group; not a NeXus file")
        sample, instrument = _one(entry, "NXsample", path), _one(entry, "NXinstrument", path)
        detector = _one(instrument, "NXdetector", path)
        wavelength = _wavelength([g for g in (_maybe(sample, "NXbeam"), _maybe(instrument, "NXbeam")) if g], path)
        beam = Beam(np.array([0.0, 0.0, 1.0]), wavelength)
        rotations = [a for a in _sample_chain(file, sample, path) if a.is_rotation]
        goniometer, scan, notes = _rotation(rotations, n_frames, detector, path)
        panels = _panels(file, detector, wavelength, frame_shape, bits, path)
        return ImageHeader(
            path, "NXmx", beam, Detector(panels), goniometer, scan, True, path, tuple(notes), serial=serial_of(detector)
        )


def serial_of(detector: h5py.Group) -> str:
    """Description and serial number of a detector, as far as the file has them."""
    names = ("description", "serial_number", "detector_number")
    return ", ".join(dict.fromkeys(text(detector[n]) for n in names if isinstance(detector.get(n), h5py.Dataset)))


def _maybe(group: h5py.Group, kind: str) -> h5py.Group | None:
    for name in group:
        child = group.get(name)
        if isinstance(child, h5py.Group) and text(child.attrs.get("NX_class", "")) == kind:
            return child
    return None


def _one(group: h5py.Group, kind: str, path: str) -> h5py.Group:
    found = _maybe(group, kind)
    if found is None:
        raise FileError(f"{path}: {group.name} has no {kind} group; the master file is incomplete")
    return found


def _wavelength(beams: list[h5py.Group], path: str) -> float:
    for beam in beams:
        if "incident_wavelength" in beam:
            dataset = beam["incident_wavelength"]
            factor = _WAVELENGTH_UNITS.get(text(dataset.attrs.get("units", "angstrom")).lower(), 1.0)
            values = np.atleast_1d(value_of(dataset)).astype(np.float64).ravel() * factor
            weights = beam.get("incident_wavelength_weights")
            if weights is not None and weights.size == values.size and np.sum(value_of(weights)) > 0:
                return float(np.average(values, weights=np.ravel(value_of(weights))))
            return float(values[0])
    raise FileError(f"{path}: no incident_wavelength in the file; give geometry.beam.wavelength= with another format")


# ---- sample rotation -----------------------------------------------------------------------------------------------


def _sample_chain(file: h5py.File, sample: h5py.Group, path: str) -> list[NexusAxis]:
    if "depends_on" not in sample:
        return []
    start = text(sample["depends_on"])
    return chain(file, start if start.startswith(("/", ".")) else f"{sample.name}/{start}", path)


def scan_positions(file: h5py.File, path: str) -> int | None:
    """Number of positions of the axis that moves; None if none does."""
    entry = entry_of(file)
    sample = None if entry is None else entry.get("sample")
    axes = _sample_chain(file, sample, path) if isinstance(sample, h5py.Group) else []
    return max((len(a.values) for a in axes if len(a.values) > 1), default=None)


def _rotation(
    axes: list[NexusAxis], n_frames: int, detector: h5py.Group, path: str
) -> tuple[Goniometer | None, Scan, list[str]]:
    """Goniometer and scan. A scan that runs backwards becomes a forward one about the opposite axis."""
    notes: list[str] = []
    exposure = _seconds(detector, "frame_time") or _seconds(detector, "count_time") or 0.0
    times = (exposure,) * n_frames
    epochs = tuple(k * exposure for k in range(n_frames))
    if not axes:
        return None, Scan((1, n_frames), None, times, epochs), ["no goniometer in the file: taken as stills"]
    moving = [k for k, a in enumerate(axes) if len(a.values) > 1 and np.ptp(a.values) > 0]
    if len(moving) > 1:
        raise FileError(f"{path}: more than one goniometer axis moves: {[axes[k].name for k in moving]}")
    scan_axis = moving[0] if moving else 0
    start, width = float(axes[scan_axis].values[0]), 0.0
    if moving or _end_values(axes[scan_axis]) is not None:
        width, note = _width(axes[scan_axis])
        notes += [note] if note else []
    if moving and len(axes[scan_axis].values) != n_frames:
        notes.append(f"{path}: {axes[scan_axis].name} has {len(axes[scan_axis].values)} values for {n_frames} images")
    vectors = [a.vector for a in axes]
    angles = [float(a.values[0]) for a in axes]
    if width < 0:
        vectors[scan_axis] = -vectors[scan_axis] + 0.0
        angles[scan_axis], start, width = -angles[scan_axis], -start, -width
    if len(axes) == 1:
        goniometer = Goniometer.single_axis(vectors[0])
    else:
        goniometer = Goniometer.multi_axis(vectors, angles, [a.name for a in axes], scan_axis)
    return goniometer, Scan((1, n_frames), (start, width), times, epochs), notes


def _end_values(axis: NexusAxis) -> np.ndarray | None:
    parent, name = axis.dataset.parent, f"{axis.name}_end"
    if name not in parent or parent[name].size != axis.values.size:
        return None
    ends = degrees(parent[name])
    return ends if np.any(ends != axis.values) else None


def _width(axis: NexusAxis) -> tuple[float, str]:
    """Rotation per image (degrees, median) and a note when single images deviate by more than a tenth."""
    ends = _end_values(axis)
    widths = ends - axis.values if ends is not None else np.diff(axis.values)
    width = float(np.median(widths))
    odd = int(np.sum(np.abs(widths - width) > 0.1 * abs(width)))
    note = f"{odd} images are not {width:.4g} degrees wide; the scan is taken as even" if odd else ""
    return width, note


def _seconds(group: h5py.Group, name: str) -> float | None:
    value = _number(group, name)
    return value if value is not None and np.isfinite(value) and value >= 0 else None


# ---- detector ------------------------------------------------------------------------------------------------------


def _panels(
    file: h5py.File, detector: h5py.Group, wavelength: float, frame_shape: tuple[int, int], bits: int, path: str
) -> tuple[Panel, ...]:
    modules = modules_of(detector)
    common: dict[str, Any] = {
        "trusted_range": trusted_range(detector, bits),
        "gain": 1.0 / (_number(detector, "data_scale_factor") or 1.0),
        **sensor(_string(detector, "sensor_material"), _millimetres(detector, "sensor_thickness"), wavelength),
    }
    if not modules:
        return (_panel_from_centre(detector, frame_shape, common, path),)
    return tuple(_module(file, m, detector, frame_shape if len(modules) == 1 else None, common, path) for m in modules)


def _module(
    file: h5py.File, module: h5py.Group, detector: h5py.Group, frame_shape: tuple[int, int] | None,
    common: dict[str, Any], path: str,
) -> Panel:  # fmt: skip
    """One panel. ``frame_shape`` is given when the module is the whole frame."""
    try:
        fast, slow = (chain(file, f"{module.name}/{name}_pixel_direction", path) for name in ("fast", "slow"))
        height, width = (int(n) for n in np.ravel(value_of(module["data_size"]))[-2:])
    except KeyError as error:
        raise FileError(f"{path}: {module.name} is incomplete ({error})") from error
    if frame_shape is not None and (width, height) == tuple(frame_shape):
        height, width = frame_shape  # old files of Diamond give (fast, slow)
    axes = []
    for links in (fast, slow):
        turn, _ = placement(links[1:])
        axes.append(turn @ links[0].vector + 0.0)
    turn, base = placement(fast[1:])
    origin = base + turn @ fast[0].offset
    pixel_size = (float(fast[0].values[0]), float(slow[0].values[0]))
    if origin[0] == 0.0 and origin[1] == 0.0 and "beam_center_x" in detector:
        centre = (_number(detector, "beam_center_x") or 0.0, _number(detector, "beam_center_y") or 0.0)
        origin = origin - sum(c * p * a for c, p, a in zip(centre, pixel_size, axes, strict=True))
    if origin[2] > 0 and abs(axes[0][2]) < 1e-9 and abs(axes[1][2]) < 1e-9:  # upstream: the distance has the other sign
        origin = origin * (1.0, 1.0, -1.0)
    return Panel(
        axes[0], axes[1], origin + 0.0, (width, height), pixel_size, name=module.name,
        raw_image_offset=module_origin(module)[::-1] if frame_shape is None else (0, 0), **common,
    )  # fmt: skip


def _panel_from_centre(detector: h5py.Group, frame_shape: tuple[int, int], common: dict[str, Any], path: str) -> Panel:
    """A panel perpendicular to the beam from beam centre, distance and pixel size alone."""
    distance = _millimetres(detector, "detector_distance") or _millimetres(detector, "distance")
    size = (_millimetres(detector, "x_pixel_size"), _millimetres(detector, "y_pixel_size"))
    centre = (_number(detector, "beam_center_x"), _number(detector, "beam_center_y"))
    if not distance or not all(size) or None in centre:
        raise FileError(f"{path}: no module with axes, nor distance, pixel size and beam centre, in {detector.name}")
    fast, slow = TO_LAB @ (-1.0, 0.0, 0.0) + 0.0, TO_LAB @ (0.0, -1.0, 0.0) + 0.0
    origin = flat_panel_origin(distance, (centre[0] or 0.0, centre[1] or 0.0), size, fast, slow)
    return Panel(fast, slow, origin, frame_shape[::-1], size, name=detector.name, **common)


def trusted_range(detector: h5py.Group, bits: int) -> tuple[float, float]:
    """Raw values that are measurements, both ends included.

    The two highest codes of the bit depth never are: 2^b - 1 marks bad pixels, 2^b - 2 saturated ones (front.md 4.5).
    """
    low, high = _number(detector, "underload_value"), _number(detector, "saturation_value")
    depths = (_number(detector, name) for name in ("bit_depth_image", "bit_depth_readout"))
    depth = next((d for d in depths if d is not None and d > 0), bits)
    highest = high if high is not None and high > 0 else LARGEST_COUNT  # NaN is no limit either
    lowest = low if low is not None and np.isfinite(low) else 0.0
    return lowest, float(min(highest, 2.0 ** min(depth, bits) - 3))


def _number(group: h5py.Group, name: str) -> float | None:
    return number_of(group[name]) if name in group and group[name].size else None


def _millimetres(group: h5py.Group, name: str) -> float:
    return float(lengths(group[name])[0]) if name in group else 0.0


def _string(group: h5py.Group, name: str) -> str:
    return text(group[name]) if name in group else ""
