"""SMV images (ADSC and others): a text header of ``KEY=value;`` lines in braces, then plain integers.

Conventions of the header: distances in mm; the beam centre of ADSC is MOSFLM's (x along slow, in mm); that of the
TimePix detector at Stockholm (Wan et al. (2013) J. Appl. Cryst. 46, 1863) is in pixels, x along fast.
"""

from __future__ import annotations

import calendar
import re
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mxdask.errors import FileError
from mxdask.io.cbf import MAX_PIXELS
from mxdask.io.compressed import read_bytes
from mxdask.io.image_header import ImageHeader, flat_panel_origin
from mxdask.io.templates import template_of
from mxdask.models import Beam, Detector, Goniometer, Panel, Scan

_TYPES = {"unsigned_short": "u2", "signed_short": "i2", "unsigned_int": "u4", "signed_int": "i4", "long": "i4",
          "unsigned_long": "u4", "unsigned_char": "u1", "signed_char": "i1", "mad": "u2"}  # fmt: skip


@dataclass(frozen=True)
class SmvHeader:
    """``values`` of the header; where the pixels begin, their shape (slow, fast) and numpy type string."""

    values: dict[str, str]
    start: int
    shape: tuple[int, int]
    dtype: str


def is_smv(start: bytes) -> bool:
    """Whether a file that begins with ``start`` is an SMV image."""
    return re.match(rb"\{\s*HEADER_BYTES\s*=\s*\d+", start) is not None


def parse_smv(content: bytes, path: str | Path) -> SmvHeader:
    """The header at the beginning of ``content``.

    Raises
    ------
    FileError : not SMV, or size or type of the pixels is missing or absurd.
    """
    if not is_smv(content):
        raise FileError(f"{path}: not an SMV image (it does not begin with HEADER_BYTES)")
    text = content[: content.find(b"}")].decode("latin-1")
    values = {k.strip(): v.strip() for k, v in re.findall(r"([^={};]+)=([^;]*);", text.lstrip("{"))}
    start, fast, slow = (int(_number(values, key, path)) for key in ("HEADER_BYTES", "SIZE1", "SIZE2"))
    kind = _TYPES.get(values.get("TYPE", "unsigned_short").lower())
    order = {"little_endian": "<", "big_endian": ">"}.get(values.get("BYTE_ORDER", "").lower())
    if kind is None or order is None or start <= 0 or fast <= 0 or slow <= 0 or fast * slow > MAX_PIXELS:
        raise FileError(
            f"{path}: SMV header says {fast} x {slow} pixels of TYPE={values.get('TYPE')} and "
            f"BYTE_ORDER={values.get('BYTE_ORDER')} after {start} bytes; such pixels cannot be read"
        )
    return SmvHeader(values, start, (slow, fast), order + kind)


def _number(values: dict[str, str], key: str, path: str | Path, default: float | None = None) -> float:
    text = values.get(key)
    if text is None and default is not None:
        return default
    try:
        number = float(text or "")
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise FileError(f"{path}: SMV header has {key}={text}, a number is needed")
    return number


def read_smv(path: str | Path) -> ImageHeader:
    """Models of one image.

    Raises
    ------
    FileError : something needed for the geometry is missing.
    """
    path = str(path)
    header = parse_smv(read_bytes(path, 65536), path)
    values = header.values
    if "DTREK_DATE_TIME" in values or any(k.endswith("DETECTOR_DESCRIPTION") for k in values):
        raise FileError(
            f"{path}: geometry of Rigaku's d*TREK headers is not read; make an .expt file with dials.import, its "
            "pixels can be read"
        )
    wavelength = _number(values, "WAVELENGTH", path)
    start, width = _number(values, "OSC_START", path, 0.0), _number(values, "OSC_RANGE", path, 0.0)
    if values.get("BEAMLINE", "").upper() == "TIMEPIX_SU":
        detector = _timepix(header, path)
        beam = Beam(np.array([0.0, 0.0, 1.0]), wavelength, polarization_fraction=0.5)
        axis, notes = np.array([-0.755, -0.656, 0.0]), ["axis and module gaps of the TimePix at Stockholm University"]
    else:
        detector, notes = _adsc(header, path)
        beam, axis = Beam(np.array([0.0, 0.0, 1.0]), wavelength), np.array([1.0, 0.0, 0.0])
        if width < 0:
            axis, start, width = -axis, -start, -width
        notes.append("SMV headers do not say how the goniometer axis points: X assumed (goniometer.axis= overrides)")
    named = template_of(path)
    template, image = named if named is not None else (path, 1)
    scan = Scan((image, image), (start, width), (_number(values, "TIME", path, 0.0),), (_date(values),))
    goniometer = Goniometer.single_axis(axis / np.linalg.norm(axis))
    return ImageHeader(
        path,
        "SMV",
        beam,
        detector,
        goniometer,
        scan,
        False,
        template,
        tuple(notes),
        serial=values.get("DETECTOR_SN", ""),
    )


def _adsc(header: SmvHeader, path: str) -> tuple[Detector, list[str]]:
    values = header.values
    pixel = _number(values, "PIXEL_SIZE", path)
    slow_mm, fast_mm = (_number(values, f"BEAM_CENTER_{axis}", path) for axis in "XY")
    fast, slow = np.array([1.0, 0.0, 0.0]), np.array([0.0, -1.0, 0.0])
    distance = _number(values, "DISTANCE", path)
    notes = [f"gain not in the header: {1} assumed (geometry.detector.gain= overrides)"] if "GAIN" not in values else []
    two_theta = _number(values, "TWOTHETA", path, 0.0)
    if two_theta:
        notes.append(f"TWOTHETA={two_theta:g} of the header is not used: its axis is not known (give the geometry)")
    panel = Panel(
        fast, slow, flat_panel_origin(distance, (fast_mm, slow_mm), (1.0, 1.0), fast, slow), header.shape[::-1],
        (pixel, pixel), (0.0, 65534.0), gain=_number(values, "GAIN", path, 1.0), type="SENSOR_CCD",
        pedestal=_number(values, "IMAGE_PEDESTAL", path, 0.0), identifier=values.get("DETECTOR_SN", ""),
    )  # fmt: skip
    return Detector((panel,)), notes


def _timepix(header: SmvHeader, path: str) -> Detector:
    """Four chips whose outermost pixels are three pixels wide and left out."""
    pixel = _number(header.values, "PIXEL_SIZE", path)
    if header.shape != (512, 512):
        raise FileError(f"{path}: TimePix image of {header.shape} pixels; only 512 x 512 is known")
    n = 256
    # Edge of every pixel of a row in mm: 1 and 256, 257 and 512 are the wide ones.
    widths = np.full(2 * n, pixel)
    widths[[0, n - 1, n, 2 * n - 1]] = 3 * pixel
    edges = np.concatenate([[0.0], np.cumsum(widths)])
    centre = [float(np.interp(_number(header.values, f"BEAM_CENTER_{a}", path), range(2 * n + 1), edges)) for a in "XY"]
    fast, slow = np.array([1.0, 0.0, 0.0]), np.array([0.0, -1.0, 0.0])
    base = flat_panel_origin(_number(header.values, "DISTANCE", path), (centre[0], centre[1]), (1.0, 1.0), fast, slow)
    panels = []
    for number, (y, x) in enumerate((y, x) for y in (1, n + 1) for x in (1, n + 1)):
        panels.append(
            Panel(
                fast, slow, base + edges[x] * fast + edges[y] * slow, (n - 2, n - 2), (pixel, pixel), (0.0, 65534.0),
                thickness=0.3, material="Si", name=f"Panel{number}", raw_image_offset=(x, y),
            )
        )  # fmt: skip
    return Detector(tuple(panels))


def _date(values: dict[str, str]) -> float:
    text = re.sub(r"\b[A-Z]{3,4}\b ?", "", values.get("DATE", ""))
    try:
        return float(calendar.timegm(time.strptime(text, "%a %b %d %H:%M:%S %Y")))
    except ValueError:
        return 0.0
