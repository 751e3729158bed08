"""What the header of an image file (or of a container of images) says, as models."""

from __future__ import annotations

import calendar
import re
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.models import Beam, Detector, Goniometer, Panel, Scan
from mxdask.models.attenuation import attenuation_coefficient, material_symbol
from mxdask.models.detector import PARALLAX, SIMPLE


@dataclass(frozen=True, eq=False)
class ImageHeader:
    """Models of one file.

    Attributes
    ----------
    path : the file; ``format`` a name of its format for people.
    beam, detector, goniometer, scan : as the header describes them; the scan covers the images of this file.
    is_container : many images in the file (numbered from 1), not one.
    template : file-name template of one-image files; the path itself for a container.
    notes : things a user should know, e.g. values that were missing.
    incomplete : which of the announced images are not there (yet), and why; "" when all are.
    serial : how the header names the detector, serial number included.
    lookups : look-up files (``mask``, ``gain`` …) that belong to the images.
    """

    path: str
    format: str
    beam: Beam
    detector: Detector
    goniometer: Goniometer | None
    scan: Scan | None
    is_container: bool
    template: str
    notes: tuple[str, ...] = ()
    incomplete: str = ""
    lookups: dict[str, str] = field(default_factory=dict)
    serial: str = ""


def sensor(material: str, thickness: float, wavelength: float) -> dict[str, Any]:
    """Panel fields of a sensor layer: ``material``, ``thickness`` (mm), ``mu`` (mm⁻¹) and the parallax strategy.

    A material or energy without known attenuation gives no parallax correction.
    """
    symbol = material_symbol(material)
    try:
        mu = attenuation_coefficient(symbol, wavelength) if symbol and thickness > 0 else 0.0
    except MxdaskError:
        mu = 0.0
    return {"material": symbol, "thickness": thickness, "mu": mu, "px_mm_strategy": PARALLAX if mu > 0 else SIMPLE}


def flat_panel_origin(
    distance: float, beam_centre: tuple[float, float], pixel_size: tuple[float, float], fast: Any, slow: Any
) -> np.ndarray:
    """(3,) mm origin of a panel perpendicular to the beam (along −Z) that the beam hits at ``beam_centre``.

    Parameters
    ----------
    distance : mm; ``beam_centre`` (fast, slow) pixels; ``pixel_size`` (fast, slow) mm.
    fast, slow : (3,) axes.
    """
    x, y = np.multiply(beam_centre, pixel_size)
    return np.array([0.0, 0.0, -distance]) - x * np.asarray(fast, dtype=float) - y * np.asarray(slow, dtype=float)


def with_sensor(panel: Panel, wavelength: float) -> dict[str, Any]:
    """The sensor fields of an existing panel at another wavelength."""
    return sensor(panel.material, panel.thickness, wavelength)


_TIME_FORMATS = ("%Y-%b-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y/%b/%d %H:%M:%S")


def parse_time(text: str) -> float | None:
    """Seconds since 1970 of a header's date, read as UTC; None when it is not understood."""
    match = re.fullmatch(r"(.*?)(\.\d+)?(Z|[+-]\d\d:?\d\d)?", text.strip())
    if match is None:
        return None
    for form in _TIME_FORMATS:
        try:
            whole = calendar.timegm(time.strptime(match.group(1), form))
        except ValueError:
            continue
        return whole + float(match.group(2) or 0.0)
    return None


Rectangle = tuple[int, int, int, int]

# Module size and gap, (fast, slow) pixels: Dectris' technical notes of Pilatus, Eiger and Eiger2.
_MODULES = {"pilatus": ((487, 195), (7, 17)), "eiger": ((1030, 514), (10, 37)), "eiger2": ((1028, 512), (12, 38))}


def module_gaps(image_size: tuple[int, int], kinds: tuple[str, ...]) -> tuple[Rectangle, ...]:
    """Rectangles (x0, y0, x1, y1) between the modules of a detector whose size fits one of ``kinds``; else none."""
    for kind in kinds:
        size, gap = _MODULES[kind]
        counts = [(n + g) / (m + g) for n, m, g in zip(image_size, size, gap, strict=True)]
        if any(c != int(c) for c in counts):
            continue
        columns = [(i * (size[0] + gap[0]) - gap[0], i * (size[0] + gap[0])) for i in range(1, int(counts[0]))]
        rows = [(j * (size[1] + gap[1]) - gap[1], j * (size[1] + gap[1])) for j in range(1, int(counts[1]))]
        width, height = image_size
        return tuple([(x0, 0, x1, height) for x0, x1 in columns] + [(0, y0, width, y1) for y0, y1 in rows])
    return ()
