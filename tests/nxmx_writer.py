"""Small NXmx files for the tests: a master, data files, a pixel mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np


def write_data(path: Path, frames: np.ndarray, **options: Any) -> None:
    """A data file with the data set ``/data``; by default one bitshuffle-LZ4 chunk per frame."""
    options = options or {"chunks": (1, *frames.shape[1:]), **hdf5plugin.Bitshuffle(cname="lz4")}
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=frames, **options)


def write_master(
    path: Path,
    data_files: list[tuple[str, int]],
    shape: tuple[int, int],
    dtype: str,
    *,
    virtual: bool = True,
    start: float = 10.0,
    width: float = 0.5,
    mask: np.ndarray | None = None,
    two_theta: float = 0.0,
    **detector_values: Any,
) -> Path:
    """A master for (file name, number of frames) pairs: a virtual data set, or external links data_000001 …"""
    n = sum(count for _, count in data_files)
    with h5py.File(path, "w") as file:
        entry = _group(file, "entry", "NXentry")
        entry["definition"] = b"NXmx"
        data = _group(entry, "data", "NXdata")
        data.attrs["signal"] = "data"
        if virtual:
            layout = h5py.VirtualLayout((n, *shape), dtype=dtype)
            at = 0
            for name, count in data_files:
                layout[at : at + count] = h5py.VirtualSource(name, "data", shape=(count, *shape))
                at += count
            data.create_virtual_dataset("data", layout)
        else:
            for k, (name, _) in enumerate(data_files):
                data[f"data_{k + 1:06d}"] = h5py.ExternalLink(name, "/data")
        sample = _group(entry, "sample", "NXsample")
        sample["depends_on"] = "/entry/sample/transformations/omega"
        _axis(_group(sample, "transformations", "NXtransformations"), "omega", start + width * np.arange(n), "rotation",
              (-1, 0, 0), ".", "deg")  # fmt: skip
        sample["transformations/omega_end"] = start + width * np.arange(1, n + 1)
        instrument = _group(entry, "instrument", "NXinstrument")
        _group(instrument, "beam", "NXbeam")["incident_wavelength"] = 1.0
        instrument["beam/incident_wavelength"].attrs["units"] = "angstrom"
        _detector(instrument, shape, mask, two_theta, detector_values)
    return path


def _detector(
    instrument: h5py.Group, shape: tuple[int, int], mask: np.ndarray | None, two_theta: float, values: dict[str, Any]
) -> None:
    detector = _group(instrument, "detector", "NXdetector")
    if mask is not None:
        detector["pixel_mask"] = mask
    detector["sensor_material"] = b"Silicon"
    for name, length in (("sensor_thickness", 0.00045), ("x_pixel_size", 7.5e-5), ("y_pixel_size", 7.5e-5)):
        detector[name] = length
        detector[name].attrs["units"] = "m"
    for name, value in ({"frame_time": 0.02, "saturation_value": 5000, "underload_value": 0} | values).items():
        detector[name] = value
    moves = _group(detector, "transformations", "NXtransformations")
    here = moves.name
    _axis(moves, "two_theta", [two_theta], "rotation", (-1, 0, 0), ".", "deg")
    _axis(moves, "det_z", [100.0], "translation", (0, 0, 1), f"{here}/two_theta", "mm")
    module = _group(detector, "module", "NXdetector_module")
    module["data_size"], module["data_origin"] = shape, (0, 0)
    _axis(module, "module_offset", [0.0], "translation", (1, 0, 0), f"{here}/det_z", "m")
    module["module_offset"].attrs["offset"] = (0.003, 0.002, 0.0)
    for name, vector in (("fast", (-1, 0, 0)), ("slow", (0, -1, 0))):
        depends = f"{module.name}/module_offset"
        _axis(module, f"{name}_pixel_direction", [7.5e-5], "translation", vector, depends, "m")


def _group(parent: h5py.Group, name: str, kind: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = kind
    return group


def _axis(
    group: h5py.Group, name: str, values: Any, kind: str, vector: tuple[float, ...], depends_on: str, units: str
) -> None:
    group[name] = np.asarray(values, dtype=np.float64)
    group[name].attrs.update(
        {"transformation_type": kind, "vector": np.asarray(vector, dtype=np.float64), "depends_on": depends_on,
         "units": units}
    )  # fmt: skip
