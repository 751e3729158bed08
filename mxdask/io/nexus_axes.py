"""Dependency chains of NeXus transformations (NXtransformations), in mm, degrees and the laboratory frame of mxdask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from mxdask.errors import FileError
from mxdask.io.hdf5 import value_of
from mxdask.models import rotation_matrix

# McStas frame (Z along the beam, Y up) to imgCIF frame (Z to the source): front.md 0.1.
TO_LAB = np.diag([-1.0, 1.0, -1.0])

_LENGTHS = {
    "m": 1e3, "metre": 1e3, "meter": 1e3, "meters": 1e3, "metres": 1e3, "cm": 10.0, "mm": 1.0, "millimetre": 1.0,
    "millimeter": 1.0, "um": 1e-3, "µm": 1e-3, "micron": 1e-3, "microns": 1e-3, "nm": 1e-6, "angstrom": 1e-7,
}  # fmt: skip
_RADIANS = ("rad", "radian", "radians")


@dataclass(frozen=True)
class NexusAxis:
    """One link of a chain. ``values`` in mm or degrees, one per image or a single one; vectors in the lab frame."""

    name: str
    is_rotation: bool
    vector: np.ndarray
    offset: np.ndarray
    values: np.ndarray
    dataset: h5py.Dataset


def text(value: Any) -> str:
    """A string attribute or data set value."""
    value = value_of(value) if isinstance(value, h5py.Dataset) else value
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else ""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def lengths(dataset: h5py.Dataset, default: str = "m") -> np.ndarray:
    """Values of a length in mm, (n,)."""
    units = text(dataset.attrs.get("units", default))
    if units not in _LENGTHS:
        raise FileError(f"{dataset.file.filename}: {dataset.name} has the unknown length unit {units!r}")
    return np.atleast_1d(value_of(dataset)).astype(np.float64) * _LENGTHS[units]


def degrees(dataset: h5py.Dataset) -> np.ndarray:
    """Values of an angle in degrees, (n,)."""
    values = np.atleast_1d(value_of(dataset)).astype(np.float64)
    return np.rad2deg(values) if text(dataset.attrs.get("units", "deg")) in _RADIANS else values


def chain(file: h5py.File, start: str, path: str) -> list[NexusAxis]:
    """The axis at ``start`` and all that it depends on, the one fixed to the laboratory last.

    Raises
    ------
    FileError : a link is missing, has no vector, or the chain bites its tail.
    """
    out: list[NexusAxis] = []
    while start not in (".", ""):
        if len(out) > 50:
            raise FileError(f"{path}: transformation chain at {start} never ends")
        try:
            dataset = file[start]
        except (KeyError, OSError) as error:
            raise FileError(f"{path}: transformation {start} is missing from the file") from error
        axis = _axis(dataset, path)
        out.append(axis)
        following = text(dataset.attrs.get("depends_on", "."))
        start = following if following.startswith(("/", ".")) else f"{dataset.parent.name}/{following}"
    return out


def _axis(dataset: h5py.Dataset, path: str) -> NexusAxis:
    attributes = dataset.attrs
    if "vector" not in attributes:
        raise FileError(f"{path}: transformation {dataset.name} has no vector; the file is incomplete")
    is_rotation = text(attributes.get("transformation_type", "translation")) == "rotation"
    offset = np.zeros(3)
    if "offset" in attributes:
        units = text(attributes.get("offset_units", "mm" if is_rotation else attributes.get("units", "mm")))
        offset = np.asarray(attributes["offset"], dtype=np.float64) * _LENGTHS.get(units, 1.0)
    vector = np.ravel(attributes["vector"]).astype(np.float64)
    values = degrees(dataset) if is_rotation else lengths(dataset, "mm")
    if vector.shape != (3,) or not np.linalg.norm(vector) > 0 or not values.size:
        raise FileError(
            f"{path}: transformation {dataset.name} has the vector {vector.tolist()} and {values.size} values; "
            "three numbers, not all zero, and at least one value are needed"
        )
    return NexusAxis(
        dataset.name.rsplit("/", 1)[-1], is_rotation, TO_LAB @ vector + 0.0, TO_LAB @ offset + 0.0, values, dataset
    )  # fmt: skip


def placement(axes: list[NexusAxis]) -> tuple[np.ndarray, np.ndarray]:
    """Rotation (3, 3) and origin (3,) mm in the laboratory of what hangs on the chain's first axis.

    An axis recorded once per image counts with its first value.
    """
    turn, origin = np.eye(3), np.zeros(3)
    for axis in axes:
        if axis.is_rotation:
            rotation = rotation_matrix(axis.vector, np.deg2rad(axis.values[0]))
            turn, origin = rotation @ turn, rotation @ origin + axis.offset
        else:
            origin = origin + axis.values[0] * axis.vector + axis.offset
    return turn, origin
