"""One pair of functions per model: as an object, and as the dictionary of an .expt file (front.md 2)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.models import Beam, Crystal, Detector, Goniometer, ImageSet, Panel, Scan
from mxdask.models.detector import SIMPLE

_LOOKUPS = ("mask", "gain", "pedestal", "dx", "dy")


def beam_from_dict(d: dict[str, Any]) -> Beam:
    """A monochromatic beam.

    Raises
    ------
    MxdaskError : the beam is polychromatic.
    """
    known = {"direction", "wavelength", "divergence", "sigma_divergence", "polarization_normal",
             "polarization_fraction", "flux", "transmission", "probe", "sample_to_source_distance"}  # fmt: skip
    if d.get("__id__", "monochromatic") == "polychromatic" or "wavelength" not in d:
        raise MxdaskError("polychromatic beams are not supported; give a monochromatic beam")
    values = {k: v for k, v in d.items() if k in known}
    extra = {k: v for k, v in d.items() if k not in known | {"__id__", "s0_at_scan_points"}}
    return Beam(**values, s0_at_scan_points=d.get("s0_at_scan_points"), extra=extra)


def beam_to_dict(beam: Beam) -> dict[str, Any]:
    """As DIALS writes it."""
    out: dict[str, Any] = {
        "__id__": "monochromatic", "direction": beam.direction.tolist(), "wavelength": beam.wavelength,
        "divergence": beam.divergence, "sigma_divergence": beam.sigma_divergence,
        "polarization_normal": beam.polarization_normal.tolist(), "polarization_fraction": beam.polarization_fraction,
        "flux": beam.flux, "transmission": beam.transmission, "probe": beam.probe,
        "sample_to_source_distance": beam.sample_to_source_distance, **beam.extra,
    }  # fmt: skip
    if beam.s0_at_scan_points is not None:
        out["s0_at_scan_points"] = beam.s0_at_scan_points.tolist()
    return out


_PANEL_KEYS = ("thickness", "material", "mu", "gain", "pedestal", "identifier", "name", "type")


def detector_from_dict(d: dict[str, Any], *, exclusive: bool = False) -> Detector:
    """``exclusive``: the trusted ranges exclude both ends (DIALS before 3.13)."""
    frames = [(np.array(p["fast_axis"]), np.array(p["slow_axis"]), np.array(p["origin"])) for p in d["panels"]]
    hierarchy = d.get("hierarchy")
    if hierarchy is not None:
        hierarchy = _globalise(hierarchy, None, frames)
    panels = []
    for entry, (fast, slow, origin) in zip(d["panels"], frames, strict=True):
        low, high = entry.get("trusted_range", (0.0, 2.0**31 - 1))
        convention = entry.get(_CONVENTION) or ("exclusive" if exclusive else "inclusive")
        whole = float(low).is_integer() and float(high).is_integer()
        low, high = _inclusive(low, high, convention == "exclusive")
        strategy = entry.get("px_mm_strategy") or {"type": SIMPLE}
        values = {k: entry[k] for k in _PANEL_KEYS if k in entry}
        if "mu" in strategy and not values.get("mu"):  # old files carry them inside the strategy
            values |= {"mu": strategy["mu"], "thickness": strategy.get("t0", values.get("thickness", 0.0))}
        known = {"fast_axis", "slow_axis", "origin", "image_size", "pixel_size", "trusted_range", "mask",
                 "raw_image_offset", "px_mm_strategy", *_PANEL_KEYS}  # fmt: skip
        panels.append(
            Panel(
                fast, slow, origin, tuple(entry["image_size"]), tuple(entry["pixel_size"]), (low, high),
                untrusted=tuple(tuple(r) for r in entry.get("mask", [])),
                raw_image_offset=tuple(entry.get("raw_image_offset", (0, 0))), px_mm_strategy=strategy["type"],
                extra={k: v for k, v in entry.items() if k not in known}
                | ({_CONVENTION: convention} if whole else {}), **values,
            )
        )  # fmt: skip
    return Detector(tuple(panels), hierarchy)


# A panel read with whole numbers as ends remembers what they meant, and is written as it was.
_CONVENTION = "trusted_range_convention"


def _written_range(panel: Panel) -> list[float]:
    """The trusted range for a file: as it was read, or (from image headers) half a count wider at both ends.

    DIALS before 3.13 leaves both ends out, later versions include them. Pixels are integers, so a range that ends
    between two of them means the same to every version. With a lower end of 0, DIALS 3.12 masks all empty pixels.
    """
    low, high = panel.trusted_range
    margin = {"exclusive": 1.0, "inclusive": 0.0}.get(panel.extra.get(_CONVENTION, ""), 0.5)
    return [low - margin, high + margin]


def _inclusive(low: float, high: float, exclusive: bool) -> tuple[float, float]:
    """Lowest and highest raw value that is a measurement, from the range of a file (see :func:`_written_range`)."""
    if float(low).is_integer() and exclusive:
        low = low + 1
    if float(high).is_integer() and exclusive:
        high = high - 1
    return float(np.ceil(low)), float(np.floor(high))


def _globalise(group: dict[str, Any], parent: np.ndarray | None, frames: list[Any]) -> dict[str, Any]:
    """Turn the local frames of a file's tree into global ones; ``frames`` of the panels are replaced in place."""
    fast, slow, origin = _to_global(parent, group["fast_axis"], group["slow_axis"], group["origin"])
    here = np.column_stack([fast, slow, np.cross(fast, slow), origin])
    children = []
    for child in group.get("children", []):
        if "panel" in child:
            frames[child["panel"]] = _to_global(here, *frames[child["panel"]])
            children.append({"panel": child["panel"]})
        else:
            children.append(_globalise(child, here, frames))
    return {**group, "fast_axis": fast.tolist(), "slow_axis": slow.tolist(), "origin": origin.tolist(),
            "children": children}  # fmt: skip


_IS_IDENTITY = np.column_stack([np.eye(3), np.zeros(3)])


def _to_global(parent: np.ndarray | None, fast: Any, slow: Any, origin: Any) -> tuple[np.ndarray, ...]:
    fast, slow, origin = (np.asarray(v, dtype=np.float64) for v in (fast, slow, origin))
    if parent is None or np.array_equal(parent, _IS_IDENTITY):  # bit for bit what the file said
        return fast, slow, origin
    return parent[:, :3] @ fast, parent[:, :3] @ slow, parent[:, 3] + parent[:, :3] @ origin


def _to_local(parent: np.ndarray | None, fast: Any, slow: Any, origin: Any) -> tuple[list[float], ...]:
    fast, slow, origin = (np.asarray(v, dtype=np.float64) for v in (fast, slow, origin))
    if parent is None or np.array_equal(parent, _IS_IDENTITY):
        return fast.tolist(), slow.tolist(), origin.tolist()
    turn = parent[:, :3].T
    return (turn @ fast).tolist(), (turn @ slow).tolist(), (turn @ (origin - parent[:, 3])).tolist()


def _root_group(n_panels: int) -> dict[str, Any]:
    return {
        "name": "", "type": "", "fast_axis": [1.0, 0.0, 0.0], "slow_axis": [0.0, 1.0, 0.0],
        "origin": [0.0, 0.0, 0.0], "raw_image_offset": [0, 0], "image_size": [0, 0], "pixel_size": [0.0, 0.0],
        "trusted_range": [0.0, 0.0], "thickness": 0.0, "material": "", "mu": 0.0, "identifier": "", "mask": [],
        "gain": 1.0, "pedestal": 0.0, "px_mm_strategy": {"type": SIMPLE},
        "children": [{"panel": i} for i in range(n_panels)],
    }  # fmt: skip


def detector_to_dict(detector: Detector) -> dict[str, Any]:
    """As DIALS writes it: frames of groups and panels relative to the group above."""
    frames = [(p.fast_axis, p.slow_axis, p.origin) for p in detector.panels]
    local: list[Any] = list(frames)

    def localise(group: dict[str, Any], parent: np.ndarray | None) -> dict[str, Any]:
        fast, slow, origin = (np.asarray(group[k], dtype=np.float64) for k in ("fast_axis", "slow_axis", "origin"))
        here = np.column_stack([fast, slow, np.cross(fast, slow), origin])
        children = []
        for child in group.get("children", []):
            if "panel" in child:
                local[child["panel"]] = _to_local(here, *frames[child["panel"]])
                children.append({"panel": child["panel"]})
            else:
                children.append(localise(child, here))
        f, s, o = _to_local(parent, fast, slow, origin)
        return {**group, "fast_axis": f, "slow_axis": s, "origin": o, "children": children}

    hierarchy = localise(detector.hierarchy or _root_group(len(detector)), None)
    panels = []
    for p, (fast, slow, origin) in zip(detector.panels, local, strict=True):
        panels.append(
            {
                "name": p.name, "type": p.type, "fast_axis": list(map(float, fast)),
                "slow_axis": list(map(float, slow)), "origin": list(map(float, origin)),
                "raw_image_offset": list(p.raw_image_offset), "image_size": list(p.image_size),
                "pixel_size": list(p.pixel_size), "trusted_range": _written_range(p),
                "thickness": p.thickness,
                "material": p.material, "mu": p.mu, "identifier": p.identifier, "mask": [list(r) for r in p.untrusted],
                "gain": p.gain, "pedestal": p.pedestal, "px_mm_strategy": {"type": p.px_mm_strategy}, **p.extra,
            }
        )  # fmt: skip
    return {"panels": panels, "hierarchy": hierarchy}


def goniometer_from_dict(d: dict[str, Any]) -> Goniometer:
    """One axis, or several where the file lists ``axes``."""
    points = d.get("setting_rotation_at_scan_points") or None
    if "axes" in d:
        return Goniometer.multi_axis(d["axes"], d["angles"], d["names"], d["scan_axis"], points)
    return Goniometer.single_axis(d["rotation_axis"], d.get("fixed_rotation"), d.get("setting_rotation"), points)


def goniometer_to_dict(g: Goniometer) -> dict[str, Any]:
    """As DIALS writes it."""
    if g.axes is not None and g.angles is not None:
        out: dict[str, Any] = {
            "axes": g.axes.tolist(), "angles": g.angles.tolist(), "names": list(g.names), "scan_axis": g.scan_axis,
        }  # fmt: skip
    else:
        out = {
            "rotation_axis": g.rotation_axis.tolist(), "fixed_rotation": g.fixed_rotation.ravel().tolist(),
            "setting_rotation": g.setting_rotation.ravel().tolist(),
        }  # fmt: skip
    if g.setting_rotation_at_scan_points is not None:
        out["setting_rotation_at_scan_points"] = [m.ravel().tolist() for m in g.setting_rotation_at_scan_points]
    return out


def scan_from_dict(d: dict[str, Any]) -> Scan:
    """Both layouts: values at the top (older DIALS), and per-image ``properties``."""
    first, last = d["image_range"]
    properties = dict(d.get("properties") or {})
    oscillation: tuple[float, float] | None = None
    if properties:
        starts = properties.pop("oscillation", None)
        widths = properties.pop("oscillation_width", None)
        exposure, epochs = properties.pop("exposure_time", []), properties.pop("epochs", [])
        if starts:
            # The old key, written beside it, holds the width exactly; differences carry rounding.
            width = widths[0] if widths else (starts[-1] - starts[0]) / (len(starts) - 1) if len(starts) > 1 else 0.0
            old = d.get("oscillation")
            oscillation = (starts[0], old[1] if old and abs(old[1] - width) < 1e-9 else width)
    else:
        oscillation = tuple(d["oscillation"]) if d.get("oscillation") else None
        exposure, epochs = d.get("exposure_time", []), d.get("epochs", [])
    return Scan(
        (first, last), oscillation, tuple(exposure), tuple(epochs), d.get("batch_offset", 0),
        d.get("valid_image_ranges") or {}, properties,
    )  # fmt: skip


def scan_to_dict(scan: Scan) -> dict[str, Any]:
    """Both forms at once: old DIALS reads the top-level keys, the newest ``properties``."""
    n = scan.n_images
    exposure = list(scan.exposure_times) or [0.0] * n
    epochs = list(scan.epochs) or [0.0] * n
    properties: dict[str, Any] = dict(scan.properties)
    out: dict[str, Any] = {"image_range": list(scan.image_range), "batch_offset": scan.batch_offset}
    if scan.oscillation is not None:
        start, width = scan.oscillation
        out["oscillation"] = [start, width]
        properties["oscillation"] = [start + i * width for i in range(n)]
        if n == 1:
            properties["oscillation_width"] = [width]
    else:
        out["oscillation"] = [0.0, 0.0]
    out |= {"exposure_time": exposure, "epochs": epochs}
    properties |= {"exposure_time": exposure, "epochs": epochs}
    return {**out, "properties": properties, "valid_image_ranges": scan.valid_image_ranges}


def crystal_from_dict(d: dict[str, Any]) -> Crystal:
    """Setting matrices and covariances at scan points are stored by rows."""
    known = {"__id__", "real_space_a", "real_space_b", "real_space_c", "space_group_hall_symbol", "A_at_scan_points",
             "B_covariance", "B_covariance_at_scan_points", "recalculated_unit_cell",
             "recalculated_cell_parameter_sd", "recalculated_cell_volume_sd"}  # fmt: skip

    def matrices(name: str, shape: tuple[int, ...]) -> np.ndarray | None:
        return np.array(d[name], dtype=np.float64).reshape(shape) if d.get(name) else None

    def values(name: str) -> tuple[float, ...] | None:
        return tuple(d[name]) if d.get(name) else None

    return Crystal(
        np.array([d["real_space_a"], d["real_space_b"], d["real_space_c"]]), d["space_group_hall_symbol"],
        A_at_scan_points=matrices("A_at_scan_points", (-1, 3, 3)), B_covariance=matrices("B_covariance", (9, 9)),
        B_covariance_at_scan_points=matrices("B_covariance_at_scan_points", (-1, 9, 9)),
        recalculated_cell=values("recalculated_unit_cell"),
        recalculated_cell_esd=values("recalculated_cell_parameter_sd"),
        recalculated_volume_esd=d.get("recalculated_cell_volume_sd"),
        extra={"__id__": d.get("__id__", "crystal")} | {k: v for k, v in d.items() if k not in known},
    )  # fmt: skip


def crystal_to_dict(c: Crystal) -> dict[str, Any]:
    """As DIALS writes it."""
    a, b, vec_c = c.real_space.tolist()
    out: dict[str, Any] = {
        "__id__": c.extra.get("__id__", "crystal"), "real_space_a": a, "real_space_b": b, "real_space_c": vec_c,
        "space_group_hall_symbol": c.space_group_hall,
    }  # fmt: skip
    if c.A_at_scan_points is not None:
        out["A_at_scan_points"] = [m.ravel().tolist() for m in c.A_at_scan_points]
    if c.B_covariance is not None:
        out["B_covariance"] = c.B_covariance.ravel().tolist()
    if c.B_covariance_at_scan_points is not None:
        out["B_covariance_at_scan_points"] = [m.ravel().tolist() for m in c.B_covariance_at_scan_points]
    if c.recalculated_cell is not None:
        out["recalculated_unit_cell"] = list(c.recalculated_cell)
    if c.recalculated_cell_esd is not None:
        out["recalculated_cell_parameter_sd"] = list(c.recalculated_cell_esd)
    if c.recalculated_volume_esd is not None:
        out["recalculated_cell_volume_sd"] = c.recalculated_volume_esd
    return out | {k: v for k, v in c.extra.items() if k != "__id__"}


def imageset_from_dict(d: dict[str, Any], folder: Path) -> ImageSet | None:
    """Names of files made absolute from the file's ``folder``; None for images in memory.

    Raises
    ------
    MxdaskError : a pixel shift map is missing.
    """
    kind = {"ImageSweep": "ImageSequence"}.get(d["__id__"], d["__id__"])
    if kind == "MemImageSet":
        return None

    def absolute(name: str | None) -> str | None:
        if not name:
            return None
        name = os.path.expandvars(os.path.expanduser(name))
        return name if os.path.isabs(name) else str(folder / name)

    known = {"__id__", "template", "images", "single_file_indices", "params", *_LOOKUPS}
    lookups = {k: absolute(d.get(k)) for k in _LOOKUPS}
    for key in ("dx", "dy"):
        if lookups[key] and not os.path.exists(str(lookups[key])):
            raise MxdaskError(f"the pixel shift map {key} {lookups[key]} does not exist; put it back or import again")
    indices = d.get("single_file_indices")
    return ImageSet(
        template=absolute(d.get("template")) or "",
        single_file_indices=tuple(indices) if indices else None,
        paths=tuple(str(absolute(p)) for p in d.get("images", [])),
        params=d.get("params", {}), kind=kind, **lookups,
        extra={k: v for k, v in d.items() if k not in known},
    )  # fmt: skip


def imageset_to_dict(s: ImageSet) -> dict[str, Any]:
    """As DIALS writes it."""
    out: dict[str, Any] = {"__id__": s.kind}
    if s.kind == "ImageSequence":
        out["template"] = s.template
    else:
        out["images"] = list(s.paths)
    if s.single_file_indices is not None:
        out["single_file_indices"] = list(s.single_file_indices)
    # DIALS writes "" where a look-up is absent when it loads them itself, null when it does not: null is read by all.
    return out | {k: getattr(s, k) for k in _LOOKUPS} | {"params": s.params} | s.extra
