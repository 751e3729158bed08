"""The ``# Key value`` comments that Dectris detectors put into CBF headers."""

from __future__ import annotations

import re
from typing import Any

from mxdask.errors import FileError
from mxdask.io.image_header import parse_time, sensor

_KEYS = (
    "Detector", "Pixel_size", "Exposure_time", "Exposure_period", "Count_cutoff", "Wavelength", "Detector_distance",
    "Beam_xy", "Start_angle", "Angle_increment", "Flux", "Transmission", "Phi", "Kappa", "Chi", "Omega", "Alpha",
    "Oscillation_axis",
)  # fmt: skip


def comments(header: str) -> dict[str, str]:
    """The ``# Key value`` lines; the date under ``timestamp``, the sensor line under ``sensor``."""
    out: dict[str, str] = {}
    for line in header.splitlines():
        if not line.startswith("#"):
            continue
        text = line.lstrip("#").strip()
        key, _, value = text.replace("=", " ").partition(" ")
        key = key.rstrip(":")
        if key in _KEYS:
            out.setdefault(key, value.strip())
        elif "sensor" in text and "thickness" in text:
            out.setdefault("sensor", text)
        elif text.count(":") == 2 and parse_time(text) is not None:
            out.setdefault("timestamp", text)
    return out


def number(values: dict[str, str], key: str, path: str, default: float | None = None) -> float:
    """The first number of a header value.

    Raises
    ------
    FileError : absent or not a number, and there is no default.
    """
    match = re.search(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", values.get(key, ""))
    if match:
        return float(match.group())
    if default is None:
        raise FileError(f"{path}: header has no {key}; give the geometry by hand or use another image format")
    return default


def numbers(values: dict[str, str], key: str, path: str) -> tuple[float, float]:
    """The first two numbers of a header value."""
    found = re.findall(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", values.get(key, ""))
    if len(found) < 2:
        raise FileError(f"{path}: header has no {key} with two numbers")
    return float(found[0]), float(found[1])


def sensor_of(values: dict[str, str], wavelength: float, default_thickness: float) -> dict[str, Any]:
    """Panel fields from the line ``Silicon sensor, thickness 0.000320 m``."""
    text = values.get("sensor", "")
    match = re.search(r"^(\w+) sensor.*thickness\s+([\d.eE+-]+)", text)
    if match:
        return sensor(match.group(1), 1000.0 * float(match.group(2)), wavelength)
    return sensor("Si", default_thickness, wavelength)
