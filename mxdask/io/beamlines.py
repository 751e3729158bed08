"""What the headers of certain beamlines leave out: goniometer axes and curved detectors, by detector serial number.

Every entry can be overridden on import (``goniometer.axis=``, ``goniometer.invert_rotation_axis=``).
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mxdask.io.cbf_comments import number, numbers, sensor_of
from mxdask.models import Detector, Goniometer, Panel

Values = dict[str, str]


@dataclass(frozen=True)
class Beamline:
    """``goniometer(values)`` and ``detector(values, path, wavelength)`` of a beamline, or None for the usual ones."""

    name: str
    goniometer: Callable[[Values], Goniometer] | None = None
    detector: Callable[[Values, str, float], Detector] | None = None


def of_detector(detector: str, timestamp: float | None) -> Beamline | None:
    """The beamline whose detector a header names, or None.

    Parameters
    ----------
    detector : e.g. ``PILATUS 6M-F, S/N 60-0114-F``.
    timestamp : s since 1970, or None; some beamlines changed.
    """
    for serial, entry in _BEAMLINES.items():
        if names_serial(serial, detector):
            return entry(timestamp) if callable(entry) else entry
    return None


def names_serial(serial: str, detector: str) -> bool:
    """Whether a header's detector carries a serial number (of which the end may be left out, not in mid-number)."""
    return re.search(rf"(?<![\w-]){re.escape(serial)}(?!\d)", detector) is not None


def _angle(values: Values, key: str) -> float:
    match = re.match(r"\s*([-+]?[\d.]+)", values.get(key, ""))
    return float(match.group(1)) if match else 0.0


def _axis(vector: tuple[float, float, float]) -> Callable[[Values], Goniometer]:
    return lambda values: Goniometer.single_axis(vector)


def _smargon(values: Values) -> Goniometer:
    angles = [_angle(values, key) for key in ("Phi", "Chi", "Omega")]
    axes = [(1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (1.0, 0.0, 0.0)]
    return Goniometer.multi_axis(axes, angles, ("GON_PHI", "GON_CHI", "GON_OMEGA"), 2)


def _mini_kappa(values: Values) -> Goniometer:
    angles = [_angle(values, key) for key in ("Phi", "Kappa", "Omega")]
    axes = [(1.0, 0.0, 0.0), (0.914, 0.279, -0.297), (1.0, 0.0, 0.0)]
    return Goniometer.multi_axis(axes, angles, ("GON_PHI", "GON_KAPPA", "GON_OMEGA"), 2)


def _plate_or_vertical(values: Values) -> Goniometer:
    plate = "FAST" in values.get("Oscillation_axis", "").upper()
    return Goniometer.single_axis((-1.0, 0.0, 0.0) if plate else (0.0, 1.0, 0.0))


def _since(year: int, beamline: Beamline) -> Callable[[float | None], Beamline | None]:
    """The beamline for images taken in ``year`` or later (an unknown date counts as later)."""
    start = calendar.timegm((year, 1, 1, 0, 0, 0))
    return lambda timestamp: beamline if timestamp is None or timestamp >= start else None


# ---- I23: kappa goniometer in vacuum and a cylinder of 24 rows of modules ------------------------------------------

_I23_REVERSED_UNTIL = 1459468800.0  # 2016-04-01: direction of rotation changed
# Dates from which single modules were out of order: rectangles per row (x0, y0, x1, y1), until the next date.
_COLUMN = 487 + 7
_I23_BAD_MODULES: tuple[tuple[float, dict[int, tuple[tuple[int, int, int, int], ...]]], ...] = (
    (1567468800.0, {15: ((2 * _COLUMN, 0, 2 * _COLUMN + 487, 195),), 17: ((0, 0, 487, 195),)}),
    (1574726400.0, {17: ((0, 0, 487, 195), (4 * _COLUMN, 0, 4 * _COLUMN + 487, 195))}),
    (1582243200.0, {1: ((4 * _COLUMN, 0, 4 * _COLUMN + 487, 195),),
                    15: ((4 * _COLUMN + 60, 0, 4 * _COLUMN + 120, 97),),
                    17: ((0, 0, 487, 195), (4 * _COLUMN, 0, 4 * _COLUMN + 487, 195))}),
    (1599523200.0, {}),
    (1642982400.0, {10: ((3 * _COLUMN, 0, 3 * _COLUMN + 487, 195),)}),
    (1656633600.0, {}),
)  # fmt: skip


def _i23_goniometer(values: Values) -> Goniometer:
    alpha = np.deg2rad(50.0)
    axes = [(1.0, 0.0, 0.0), (float(np.cos(alpha)), -float(np.sin(alpha)), 0.0), (1.0, 0.0, 0.0)]
    angles = [_angle(values, key) for key in ("Phi", "Kappa", "Omega")]
    return Goniometer.multi_axis(axes, angles, ("PHI", "KAPPA", "OMEGA"), 2)


def _i23(timestamp: float | None) -> Beamline:
    reversed_axis = timestamp is not None and timestamp < _I23_REVERSED_UNTIL

    def detector(values: Values, path: str, wavelength: float) -> Detector:
        return _i23_detector(values, path, wavelength, timestamp)

    return Beamline("DLS I23", _axis((-1.0, 0.0, 0.0)) if reversed_axis else _i23_goniometer, detector)


def _i23_detector(values: Values, path: str, wavelength: float, timestamp: float | None) -> Detector:
    """24 rows on a cylinder of 250 mm radius about the goniometer axis, 8.344° apart (7.903° of pixels, 0.441° gap)."""
    pixel = 0.172
    seen = numbers(values, "Beam_xy", path)
    shift_x, shift_y = (pixel * (ideal - found) for ideal, found in zip((1075.0, 2594.0), seen, strict=True))
    distance = 1000.0 * number(values, "Detector_distance", path)
    flip = np.diag([-1.0, 1.0, -1.0])  # the drawing's axes: x and z turned round
    base = np.array([-shift_x, shift_y, -distance])
    bad: dict[int, Any] = {}
    for start, rectangles in _I23_BAD_MODULES:
        if timestamp is not None and timestamp > start:
            bad = rectangles
    panels = []
    for row in range(24):
        angle = np.deg2rad(-12.2 + 0.5 * 7.903 + row * (7.903 + 0.441))
        fast = np.array([1.0, 0.0, 0.0])
        slow = np.array([0.0, np.sin(angle), np.cos(angle)])
        origin = 250.0 * np.cross(fast, slow) - 184.9 * fast - 16.8 * slow
        y0 = row * (195 + 17)
        panels.append(
            Panel(
                flip @ fast, flip @ slow, base + flip @ origin, (2463, 195), (pixel, pixel), (0.0, 1e6),
                name=f"row-{row:02d}", raw_image_offset=(0, y0), untrusted=bad.get(row, ()),
                extra={"projection_2d": [[1, 0, 0, 1], [-y0, 0]]}, **sensor_of(values, wavelength, 0.32),
            )
        )  # fmt: skip
    return Detector(tuple(panels))


_BEAMLINES: dict[str, Any] = {
    "120-0100": _i23,
    "160-0001": Beamline("DLS I04 Eiger", _smargon),
    "60-0100": Beamline("DLS mini-kappa", _mini_kappa),
    "60-0126": Beamline("DLS I03", _mini_kappa),
    "60-0114": _since(2017, Beamline("DLS VMXi", _axis((0.0, 1.0, 0.0)))),
    "60-0119": _since(2015, Beamline("DLS I24", _plate_or_vertical)),
    "60-0115-F": Beamline("PETRA III P13", _axis((0.0, 1.0, 0.0))),
    "E-32-0107": Beamline("PETRA III P14", _axis((0.0, 1.0, 0.0))),
    "E-32-0105": Beamline("MAX IV BioMAX", _axis((0.0, 1.0, 0.0))),
    "60-0132": Beamline("APS 19-ID", _axis((-1.0, 0.0, 0.0))),
    "60-0127": Beamline("CHESS", _axis((-1.0, 0.0, 0.0))),
    "60-0125": Beamline("SPring-8", _axis((-1.0, 0.0, 0.0))),
}
