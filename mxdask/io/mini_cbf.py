"""Headers of miniCBF images (Pilatus and Eiger written as CBF; front.md 4.3)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mxdask.io import beamlines
from mxdask.io.cbf import binary_of_header
from mxdask.io.cbf_comments import comments, number, numbers, sensor_of
from mxdask.io.image_header import ImageHeader, flat_panel_origin, module_gaps, parse_time
from mxdask.io.templates import template_of
from mxdask.models import Beam, Detector, Goniometer, Panel, Scan

NO_CUTOFF = 2**20  # counts: beyond what the counters of these detectors hold


def read_mini_cbf(path: str | Path, header: str) -> ImageHeader:
    """Models of one image.

    Parameters
    ----------
    header : text before the binary section.

    Raises
    ------
    FileError : something needed is missing.
    """
    path = str(path)
    values = comments(header)
    wavelength = number(values, "Wavelength", path)
    beam = Beam(
        np.array([0.0, 0.0, 1.0]), wavelength, flux=number(values, "Flux", path, 0.0),
        transmission=number(values, "Transmission", path, 1.0),
    )  # fmt: skip
    beamline = beamlines.of_detector(values.get("Detector", ""), parse_time(values.get("timestamp", "")))
    if beamline is not None and beamline.detector is not None:
        detector = beamline.detector(values, path, wavelength)
    else:
        detector = _flat_detector(values, header, path, wavelength)
    goniometer = Goniometer.single_axis((1.0, 0.0, 0.0))
    if beamline is not None and beamline.goniometer is not None:
        goniometer = beamline.goniometer(values)
    named = template_of(path)
    template, image = named if named is not None else (path, 1)
    scan = Scan(
        (image, image),
        (number(values, "Start_angle", path, 0.0), number(values, "Angle_increment", path, 0.0)),
        (number(values, "Exposure_period", path, 0.0),),
        (parse_time(values.get("timestamp", "")) or 0.0,),
    )
    return ImageHeader(
        path, "miniCBF", beam, detector, goniometer, scan, False, template, serial=values.get("Detector", "")
    )


def _flat_detector(values: dict[str, str], header: str, path: str, wavelength: float) -> Detector:
    pixel_x, pixel_y = (1000.0 * size for size in numbers(values, "Pixel_size", path))
    distance = 1000.0 * number(values, "Detector_distance", path)
    slow_size, fast_size = binary_of_header(header, 0, path).shape
    is_eiger = "eiger" in values.get("Detector", "").lower()
    kinds = ("eiger", "eiger2") if is_eiger else ("pilatus",)
    fast, slow = np.array([1.0, 0.0, 0.0]), np.array([0.0, -1.0, 0.0])
    panel = Panel(
        fast, slow, flat_panel_origin(distance, numbers(values, "Beam_xy", path), (pixel_x, pixel_y), fast, slow),
        (fast_size, slow_size), (pixel_x, pixel_y), (0.0, number(values, "Count_cutoff", path, NO_CUTOFF)),
        identifier=values.get("Detector", ""), untrusted=module_gaps((fast_size, slow_size), kinds),
        **sensor_of(values, wavelength, 0.45 if is_eiger else 0.32),
    )  # fmt: skip
    return Detector((panel,))
