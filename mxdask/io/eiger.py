"""Masters of early Dectris Eiger file writers, which lack the NXmx definition (front.md 4.5)."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from mxdask.errors import FileError
from mxdask.io.hdf5 import number_of, open_hdf5, value_of
from mxdask.io.image_header import ImageHeader, flat_panel_origin, parse_time, sensor
from mxdask.io.nexus_axes import TO_LAB, lengths, text
from mxdask.io.nxmx import serial_of, trusted_range
from mxdask.models import Beam, Detector, Goniometer, Panel, Scan

_DETECTOR = "entry/instrument/detector"


def is_eiger(file: h5py.File) -> bool:
    """Whether an HDF5 file is an Eiger master of the older kind, without NXmx definition."""
    return f"{_DETECTOR}/detectorSpecific" in file


def declared_frames(file: h5py.File) -> tuple[int, tuple[int, int]]:
    """Number of images and (slow, fast) shape that the detector was asked for."""
    specific = file[f"{_DETECTOR}/detectorSpecific"]
    triggers = int(number_of(specific["ntrigger"])) if "ntrigger" in specific else 1
    shape = tuple(int(number_of(specific[f"{axis}_pixels_in_detector"])) for axis in "yx")
    return int(number_of(specific["nimages"])) * triggers, (shape[0], shape[1])


def read_eiger(path: str | Path, n_frames: int, frame_shape: tuple[int, int], bits: int) -> ImageHeader:
    """Models of a master file; arguments as for :func:`mxdask.io.nxmx.read_nxmx`.

    Raises
    ------
    FileError : something needed for the geometry is missing.
    """
    path = str(path)
    with open_hdf5(path) as file:
        detector = file[_DETECTOR]
        try:
            wavelength = number_of(file["entry/instrument/beam/incident_wavelength"])
            panel = _panel(detector, wavelength, frame_shape, bits)
        except KeyError as error:
            raise FileError(f"{path}: the Eiger master is incomplete ({error})") from error
        width, start = _rotation(file)
        exposure = number_of(detector["frame_time"]) if "frame_time" in detector else 0.0
        date = detector.get("detectorSpecific/data_collection_date")
        serial = serial_of(detector)
        begin = (parse_time(text(date)) if date is not None else None) or 0.0
    scan = Scan(
        (1, n_frames), (start, width), (exposure,) * n_frames, tuple(begin + k * exposure for k in range(n_frames))
    )
    # The file writer does not record axes; omega about McStas -X is the commonest.
    axis = TO_LAB @ (-1.0, 0.0, 0.0) + 0.0
    if width < 0:
        axis, scan = -axis, Scan(scan.image_range, (-start, -width), scan.exposure_times, scan.epochs)
    notes = ("the file does not say how the goniometer axis points: +X assumed (goniometer.axis= overrides)",)
    beam, goniometer = Beam(np.array([0.0, 0.0, 1.0]), wavelength), Goniometer.single_axis(axis)
    return ImageHeader(path, "Eiger", beam, Detector((panel,)), goniometer, scan, True, path, notes, serial=serial)


def _panel(detector: h5py.Group, wavelength: float, frame_shape: tuple[int, int], bits: int) -> Panel:
    pixel_size = tuple(float(lengths(detector[f"{axis}_pixel_size"])[0]) for axis in "xy")
    centre = tuple(number_of(detector[f"beam_center_{axis}"]) for axis in "xy")
    directions = np.array([[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    if "geometry/orientation/value" in detector:
        directions = np.asarray(value_of(detector["geometry/orientation/value"]), dtype=np.float64).reshape(2, 3)
    fast, slow = (TO_LAB @ d + 0.0 for d in directions)
    if "geometry/translation/distances" in detector:
        origin = TO_LAB @ (1000.0 * np.asarray(value_of(detector["geometry/translation/distances"]), dtype=np.float64))
    else:
        distance = float(lengths(detector["detector_distance"])[0])
        origin = flat_panel_origin(distance, (centre[0], centre[1]), (pixel_size[0], pixel_size[1]), fast, slow)
    if origin[2] > 0 and abs(fast[2]) < 1e-9 and abs(slow[2]) < 1e-9:
        origin = origin * (1.0, 1.0, -1.0)
    low, high = trusted_range(detector, bits)
    cutoff = detector.get("detectorSpecific/countrate_correction_count_cutoff")
    return Panel(
        fast, slow, origin + 0.0, frame_shape[::-1], (pixel_size[0], pixel_size[1]),
        (low, high if cutoff is None else min(high, number_of(cutoff))), name="/" + _DETECTOR,
        **sensor(text(detector["sensor_material"]), float(lengths(detector["sensor_thickness"])[0]), wavelength),
    )  # fmt: skip


def _rotation(file: h5py.File) -> tuple[float, float]:
    """Width and start of the omega rotation in degrees."""
    goniometer = file.get("entry/sample/goniometer")
    if goniometer is None or "omega" not in goniometer:
        return 0.0, 0.0
    start = number_of(goniometer["omega"])
    for name in ("omega_range_average", "omega_increment"):
        if name in goniometer:
            return number_of(goniometer[name]), start
    return 0.0, start
