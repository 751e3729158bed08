"""What an import found, as numbers and as text."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from mxdask.models import Detector, Experiment, ExperimentList
from mxdask.text import text_table


def sweep_row(experiment: Experiment) -> dict[str, Any]:
    """One experiment's numbers: images, scan, wavelength (Å), distance (mm), beam centre (px), axis."""
    beam, detector, scan, goniometer = experiment.beam, experiment.detector, experiment.scan, experiment.goniometer
    row: dict[str, Any] = {
        "sweep": experiment.name, "identifier": experiment.identifier, "status": "ok", "reason": "",
        "template": experiment.imageset.template if experiment.imageset else "",
    }  # fmt: skip
    if scan is not None:
        start, width = scan.oscillation or (0.0, 0.0)
        exposure = scan.exposure_times[0] if scan.exposure_times else None
        row |= {"n_images": scan.n_images, "image_range": list(scan.image_range), "start": start, "width": width,
                "still": scan.is_still, "exposure_time": exposure}  # fmt: skip
    if beam is not None and detector is not None:
        row |= {"wavelength": beam.wavelength, "distance": detector[0].distance, "n_panels": len(detector),
                "beam_centre": _beam_centre(detector, beam.s0)}  # fmt: skip
    if goniometer is not None:
        row |= {"axis": goniometer.lab_axis.tolist()}
        if goniometer.angles is not None:
            fixed = [k for k in range(len(goniometer.names)) if k != goniometer.scan_axis]
            row["setting"] = {goniometer.names[k]: float(goniometer.angles[k]) for k in fixed}
    return row


def _beam_centre(detector: Detector, s0: np.ndarray) -> list[float] | None:
    """[fast, slow] pixels, with the panel's number when there are several; None when the beam misses."""
    panel, xy = detector.ray_intersection(np.asarray(s0)[None])
    index = int(panel[0])
    if index < 0:
        return None
    centre = [float(v) for v in xy[0] / detector[index].pixel_size]
    return [*centre, index] if len(detector) > 1 else centre


def overall(experiments: ExperimentList, formats: Sequence[str]) -> dict[str, Any]:
    """Counts over all experiments."""
    scans = [e.scan for e in experiments if e.scan is not None]
    return {
        "formats": sorted(set(formats)),
        "n_sweeps": sum(not s.is_still for s in scans),
        "n_stills": sum(s.is_still for s in scans),
        "n_images": sum(s.n_images for s in scans),
        **{f"n_{kind}s": len(experiments.unique(kind)) for kind in ("beam", "detector", "goniometer")},
    }


_COMPARED = (
    ("wavelength", "wavelength", "{:.6g} Å", 1e-6), ("distance", "distance", "{:.3f} mm", 0.05),
    ("beam_centre", "beam centre", "{}", 0.5), ("axis", "rotation axis", "{}", 1e-4),
    ("setting", "setting", "{}", 1e-3),
    ("width", "image width", "{:.4g}°", 1e-4), ("exposure_time", "exposure", "{:.4g} s", 1e-6),
    ("n_panels", "panels", "{}", 0),
)  # fmt: skip


def differences(rows: Sequence[dict[str, Any]]) -> list[str]:
    """One line for each quantity in which a sweep differs from the one before it."""
    out = []
    for before, after in itertools.pairwise(rows):
        for key, label, form, tolerance in _COMPARED:
            a, b = before.get(key), after.get(key)
            if not _alike(a, b, tolerance):
                words = [_shown(form, value) for value in (a, b)]
                out.append(f"{after['sweep']}: {label} {words[1]}, {before['sweep']} has {words[0]}")
    return out


def _alike(a: Any, b: Any, tolerance: float) -> bool:
    if a is None or b is None:
        return a is b
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(abs(a[k] - b[k]) <= tolerance for k in a)
    return np.shape(a) == np.shape(b) and bool(np.all(np.abs(np.subtract(a, b)) <= tolerance))


def _shown(form: str, value: Any) -> str:
    if isinstance(value, list):
        return "(" + ", ".join(f"{v:.4g}" for v in value) + ")"
    if isinstance(value, dict):
        return ", ".join(f"{k}={v:.4g}°" for k, v in value.items())
    return "none" if value is None else form.format(value)


def summary_table(rows: Sequence[dict[str, Any]]) -> str:
    """The sweeps as a table for the log."""
    header = ("sweep", "images", "range", "start/°", "width/°", "λ/Å", "distance/mm", "beam centre/px")
    body: list[tuple[Any, ...]] = []
    for row in rows:
        if row["status"] != "ok":
            body.append((row["sweep"], "-", row["reason"], None, None, None, None, None))
            continue
        first, last = row.get("image_range", (0, 0))
        body.append(
            (
                row["sweep"], row.get("n_images"), f"{first}-{last}",
                f"{row.get('start', 0):.2f}", f"{row.get('width', 0):.3f}",
                f"{row['wavelength']:.5f}", f"{row['distance']:.2f}", _shown("{}", row["beam_centre"]),
            )
        )  # fmt: skip
    return text_table(header, body)
