"""Headers of formats that fabio reads (MarCCD, EDF, Bruker …): pixels from the file, geometry mostly from the user.

Only MarCCD headers have a fixed meaning here. Everything a header does not give must be given as ``geometry.…``; the
message lists what is missing, a note of the sweep says where each quantity came from.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mxdask.errors import FileError
from mxdask.images.fabio_frames import open_image
from mxdask.importing.params import Geometry
from mxdask.io.cbf import MAX_PIXELS
from mxdask.io.image_header import ImageHeader, flat_panel_origin
from mxdask.io.templates import template_of
from mxdask.models import Beam, Detector, Goniometer, Panel, Scan

_PARAMETER = {
    "wavelength": "geometry.beam.wavelength", "distance": "geometry.detector.distance",
    "pixel_size": "geometry.detector.panel.pixel_size", "beam_centre": "geometry.detector.fast_slow_beam_centre",
    "oscillation": "geometry.scan.oscillation",
}  # fmt: skip


def read_fabio(path: str, geometry: Geometry) -> ImageHeader:
    """Models of one image: fast = +X, slow = −Y, rotation about +X unless the user says otherwise.

    Raises
    ------
    FileError : fabio cannot read it, or a quantity is neither in the header nor given.
    """
    with open_image(path) as image:
        kind, shape, dtype = type(image).__name__.removesuffix("Image"), tuple(image.shape), np.dtype(image.dtype)
        header = dict(image.header)
    if len(shape) != 2 or not 0 < shape[0] * shape[1] <= MAX_PIXELS or dtype.kind not in "iu":
        raise FileError(f"{path}: {shape} pixels of {dtype} ({kind}); one frame of integers is needed")
    from_header = _mar_ccd(header) if kind.lower() in ("marccd", "mar") else {}
    given = _given(geometry)
    known = from_header | given
    missing = [name for name in _PARAMETER if name not in known]
    if missing:
        words = ", ".join(f"{_PARAMETER[name]}=" for name in missing)
        raise FileError(
            f"{path}: {kind} header says nothing of {', '.join(missing)}; give {words} "
            "or take the .expt file of dials.import"
        )
    fast, slow = np.array([1.0, 0.0, 0.0]), np.array([0.0, -1.0, 0.0])
    origin = flat_panel_origin(known["distance"], known["beam_centre"], known["pixel_size"], fast, slow)
    limits = np.iinfo(dtype)
    panel = Panel(
        fast, slow, origin, (shape[1], shape[0]), known["pixel_size"], (0.0, float(min(limits.max, 2**31) - 1)),
        type="SENSOR_CCD" if from_header else "SENSOR_UNKNOWN",
    )  # fmt: skip
    named = template_of(path)
    template, number = named if named is not None else (path, 1)
    start, width = known["oscillation"]
    notes = (
        f"{kind} image: from its header {', '.join(sorted(set(from_header) - set(given))) or 'only the pixels'}, "
        f"given {', '.join(sorted(given)) or 'nothing'}; assumed: fast +X, slow -Y, rotation about +X",
    )
    beam = Beam(np.array([0.0, 0.0, 1.0]), known["wavelength"])
    scan = Scan((number, number), (start, width), (known.get("exposure", 0.0),), (0.0,))
    goniometer = Goniometer.single_axis((1.0, 0.0, 0.0))
    return ImageHeader(path, f"{kind} (fabio)", beam, Detector((panel,)), goniometer, scan, False, template, notes)


def _given(geometry: Geometry) -> dict[str, Any]:
    """What the user says; sequences of images with a start angle for the first one are not told apart here."""
    detector = geometry.detector
    values: dict[str, Any] = {
        "wavelength": geometry.beam.wavelength, "distance": detector.distance, "pixel_size": detector.panel.pixel_size,
        "oscillation": geometry.scan.oscillation,
    }  # fmt: skip
    if detector.fast_slow_beam_centre is not None:
        values["beam_centre"] = detector.fast_slow_beam_centre[:2]
    elif detector.slow_fast_beam_centre is not None:
        values["beam_centre"] = detector.slow_fast_beam_centre[1::-1]
    elif detector.panel.origin is not None:  # put in place later; any numbers do until then
        values["beam_centre"] = (0.0, 0.0)
        values["distance"] = max(abs(detector.panel.origin[2]), 1.0)
    return {k: v for k, v in values.items() if v is not None}


def _mar_ccd(header: dict[str, Any]) -> dict[str, Any]:
    """Quantities of the MarCCD frame header (lengths there in µm and 0.001 mm, angles in 0.001°, λ in 10⁻⁵ Å)."""

    def number(key: str, scale: float) -> float | None:
        try:
            value = float(header[key]) * scale
        except (KeyError, TypeError, ValueError):
            return None
        return value if np.isfinite(value) and value > -1e6 else None

    out: dict[str, Any] = {}
    for name, key, scale in (
        ("wavelength", "source_wavelength", 1e-5), ("distance", "xtal_to_detector", 1e-3),
        ("exposure", "exposure_time", 1e-3),
    ):  # fmt: skip
        value = number(key, scale)
        if value is not None and value > 0:
            out[name] = value
    for name, keys, scale in (
        ("pixel_size", ("pixelsize_x", "pixelsize_y"), 1e-6), ("beam_centre", ("beam_x", "beam_y"), 1e-3),
    ):  # fmt: skip
        pair = tuple(number(key, scale) for key in keys)
        if all(v is not None and v > 0 for v in pair):
            out[name] = pair
    start, end = number("start_phi", 1e-3), number("end_phi", 1e-3)
    if start is not None and end is not None and end != start:
        out["oscillation"] = (start, end - start)
    return out
