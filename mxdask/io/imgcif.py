"""Headers of full imgCIF images, which describe every axis of goniometer and detector (front.md 4.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from mxdask.errors import FileError
from mxdask.io.cbf_comments import comments, sensor_of
from mxdask.io.image_header import ImageHeader, module_gaps, parse_time
from mxdask.io.templates import template_of
from mxdask.models import Beam, Detector, Goniometer, Panel, Scan, rotation_matrix


@dataclass(frozen=True)
class CifAxis:
    """One row of the ``_axis`` loop with its setting (degrees or mm) and increment per image."""

    name: str
    kind: str
    equipment: str
    depends_on: str
    vector: np.ndarray
    offset: np.ndarray
    angle: float = 0.0
    displacement: float = 0.0
    increment: float = 0.0


def is_full_cbf(header: str) -> bool:
    """Whether a CBF header describes the geometry as imgCIF tables."""
    return "_axis.id" in header and "_array_structure_list_axis." in header


def read_full_cbf(path: str | Path, header: str) -> ImageHeader:
    """Models of one image.

    Parameters
    ----------
    header : text before the binary section.

    Raises
    ------
    FileError : not CIF, or axes or sizes are missing or contradict each other.
    """
    path = str(path)
    block = _parse(header, path)
    values = comments(header)
    axes = _axes(block, path)
    wavelength = _value(block, "_diffrn_radiation_wavelength.wavelength", path)
    source = [a for a in axes.values() if a.equipment == "source"]
    beam = Beam(source[0].vector if source else np.array([0.0, 0.0, 1.0]), wavelength)
    goniometer, start, width = _goniometer(axes, path)
    named = template_of(path)
    template, image = named if named is not None else (path, 1)
    epoch = _first(block, "_diffrn_scan_frame.date")
    scan = Scan(
        (image, image), (start, width),
        (_value(block, "_diffrn_scan_frame.integration_time", path, 0.0),),
        (parse_time(epoch or values.get("timestamp", "")) or 0.0,),
    )  # fmt: skip
    detector = _detector(block, axes, values, wavelength, path)
    serial = values.get("Detector", "")
    return ImageHeader(path, "full imgCIF CBF", beam, detector, goniometer, scan, False, template, serial=serial)


def _parse(header: str, path: str) -> gemmi.cif.Block:
    end = header.rfind("_array_data.data")
    try:
        return gemmi.cif.read_string(header[:end] if end > 0 else header)[0]
    except (ValueError, RuntimeError, IndexError) as error:
        raise FileError(f"{path}: CBF header is not correct CIF ({error})") from error


def _first(block: gemmi.cif.Block, tag: str) -> str | None:
    column = block.find_values(tag)
    text = gemmi.cif.as_string(column[0]) if len(column) else ""
    return text or None


def _value(block: gemmi.cif.Block, tag: str, path: str, default: float | None = None) -> float:
    text = _first(block, tag)
    try:
        return float(text) if text is not None else _required(default, tag, path)
    except ValueError as error:
        raise FileError(f"{path}: {tag} is {text!r}, not a number") from error


def _required(value: float | None, tag: str, path: str) -> float:
    if value is None:
        raise FileError(f"{path}: header has no {tag}; it is needed for the geometry")
    return value


def _number(text: str) -> float:
    return 0.0 if text in (".", "?") else float(text)


def _axes(block: gemmi.cif.Block, path: str) -> dict[str, CifAxis]:
    tags = ["id", "type", "equipment", "depends_on"]
    tags += [f"{what}[{i}]" for what in ("vector", "offset") for i in (1, 2, 3)]
    settings = {
        row[0]: tuple(_number(v) for v in (row[1], row[2], row[3]))
        for row in block.find("_diffrn_scan_axis.", ["axis_id", "angle_start", "displacement_start", "angle_increment"])
    }
    axes = {}
    for row in block.find("_axis.", tags):
        name, kind, equipment, depends = (gemmi.cif.as_string(v) for v in list(row)[:4])
        vector, offset = (np.array([_number(row[i]) for i in span]) for span in (range(4, 7), range(7, 10)))
        axes[name] = CifAxis(
            name, kind, equipment, depends or ".", vector, offset, *settings.get(name, (0.0, 0.0, 0.0))
        )
    if not axes:
        raise FileError(f"{path}: the _axis loop of the CBF header is empty or incomplete")
    return axes


def _goniometer(axes: dict[str, CifAxis], path: str) -> tuple[Goniometer, float, float]:
    """Goniometer, start and width (degrees). A negative width turns into a reversed scan axis."""
    chain = _chain_from_crystal({n: a for n, a in axes.items() if a.equipment == "goniometer"}, path)
    moving = [k for k, a in enumerate(chain) if abs(a.increment) > 1e-9]
    if not chain:
        raise FileError(f"{path}: the CBF header has no goniometer axis")
    if len(moving) > 1:
        raise FileError(f"{path}: more than one goniometer axis moves: {[chain[k].name for k in moving]}")
    scan_axis = moving[0] if moving else 0
    vectors = [a.vector for a in chain]
    angles = [a.angle for a in chain]
    width = chain[scan_axis].increment
    if width < 0:
        vectors[scan_axis], angles[scan_axis], width = -vectors[scan_axis], -angles[scan_axis], -width
    start = angles[scan_axis]
    if len(chain) == 1:
        return Goniometer.single_axis(vectors[0]), start, width
    return Goniometer.multi_axis(vectors, angles, [a.name for a in chain], scan_axis), start, width


def _chain_from_crystal(axes: dict[str, CifAxis], path: str) -> list[CifAxis]:
    """Axes ordered from the crystal to the base by ``depends_on``."""
    carried = {a.depends_on for a in axes.values()}
    ends = [a for a in axes.values() if a.name not in carried]
    if axes and len(ends) != 1:
        raise FileError(f"{path}: goniometer axes {sorted(axes)} do not form one chain")
    return _chain(ends[0].name, axes, path) if ends else []


def _chain(name: str, axes: dict[str, CifAxis], path: str) -> list[CifAxis]:
    """The axis and all that carry it, outermost (base) last."""
    out: list[CifAxis] = []
    while name != ".":
        if name not in axes or len(out) > len(axes):
            raise FileError(f"{path}: axis {name!r} of the CBF header is missing or depends on itself")
        out.append(axes[name])
        name = axes[name].depends_on
    return out


def _to_lab(chain: list[CifAxis]) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Where the chain's origin lies (mm), and a function that turns its vectors into the laboratory frame."""
    origin, turn = np.zeros(3), np.eye(3)
    for axis in chain:
        if axis.kind == "rotation":
            rotation = rotation_matrix(axis.vector, np.deg2rad(axis.angle))
            origin, turn = rotation @ origin + axis.offset, rotation @ turn
        else:
            origin = origin + axis.displacement * axis.vector + axis.offset
    return origin, lambda vector: turn @ vector


def _detector(
    block: gemmi.cif.Block, axes: dict[str, CifAxis], values: dict[str, str], wavelength: float, path: str
) -> Detector:
    rows = block.find("_array_structure_list.", ["precedence", "dimension", "axis_set_id"])
    by_precedence = {int(r[0]): (int(r[1]), gemmi.cif.as_string(r[2])) for r in rows}
    steps = {
        gemmi.cif.as_string(r[0]): (gemmi.cif.as_string(r[1]), _number(r[2]))
        for r in block.find("_array_structure_list_axis.", ["axis_set_id", "axis_id", "displacement_increment"])
    }
    try:
        (fast_size, fast_set), (slow_size, slow_set) = by_precedence[1], by_precedence[2]
        (fast_name, fast_step), (slow_name, slow_step) = steps[fast_set], steps[slow_set]
        chains = [_chain(name, axes, path) for name in (fast_name, slow_name)]
    except KeyError as error:
        raise FileError(f"{path}: _array_structure_list of the CBF header lacks {error}") from error
    (_, turn_fast), (_, turn_slow) = _to_lab(chains[0]), _to_lab(chains[1])
    origin, _ = _to_lab(max(chains, key=len))  # one element axis carries the other; both offsets count
    overload = _value(block, "_array_intensities.overload", path, 2.0**31 - 1)
    undefined = _value(block, "_array_intensities.undefined_value", path, -1.0)
    identifier = values.get("Detector", "")
    kinds = ("pilatus",) if "pilatus" in identifier.lower() else ("eiger", "eiger2") if identifier else ()
    size = (fast_size, slow_size)
    panel = Panel(
        turn_fast(np.sign(fast_step) * axes[fast_name].vector), turn_slow(np.sign(slow_step) * axes[slow_name].vector),
        origin, size, (abs(fast_step), abs(slow_step)), (undefined + 1.0, overload - 1.0),
        gain=_value(block, "_array_intensities.gain", path, 1.0), identifier=identifier,
        untrusted=module_gaps(size, kinds), **sensor_of(values, wavelength, 0.0),
    )  # fmt: skip
    return Detector((panel,))
