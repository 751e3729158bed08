"""Write a sweep as NXmx, the way detectors at synchrotrons do: a master, a meta file with the mask, data files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mxdask.io.atomic import replacing
from mxdask.io.hdf5_filters import BITSHUFFLE_LZ4
from mxdask.models import Beam, Goniometer, Panel

# Laboratory (Z to the source) to NeXus (McStas: Z along the beam) and back.
_TO_NEXUS = np.diag([-1.0, 1.0, -1.0])
Shape = tuple[int, ...]
_HC = 12398.419843320026  # h·c/e, eV·Å: exact by the definition of the SI


@dataclass(frozen=True, eq=False)
class Headers:
    """What the files say of the measurement.

    Attributes
    ----------
    panel : its fast and slow axes lie in the plane normal to the beam.
    mask : (slow, fast) codes of pixels that are not good, 0 = good.
    start, width : degrees. exposure : s per image. bits : 16 or 32 per pixel.
    """

    beam: Beam
    panel: Panel
    mask: np.ndarray
    goniometer: Goniometer
    n_images: int
    start: float
    width: float
    exposure: float
    bits: int


def write_sweep(
    folder: Path, name: str, frames: Iterable[np.ndarray], headers: Headers, *, images_per_file: int
) -> Path:
    """Write ``name.nxs``, ``name_meta.h5`` and ``name_000001.h5`` …; returns the master's path.

    Parameters
    ----------
    frames : ``n_images`` arrays (slow, fast), written one by one, one chunk each, bitshuffle-LZ4.
    """
    folder.mkdir(parents=True, exist_ok=True)
    n_images, panel, bits = headers.n_images, headers.panel, headers.bits
    dtype, shape = np.dtype(f"u{bits // 8}"), headers.mask.shape
    files = _write_data(folder, name, frames, n_images, shape, dtype, images_per_file)
    with replacing(folder / f"{name}_meta.h5") as temporary, h5py.File(temporary, "w") as file:
        file.create_dataset("mask", data=headers.mask, chunks=True, compression=BITSHUFFLE_LZ4)
        file["_dectris/bit_depth_image"] = bits
        file["_dectris/bit_depth_readout"] = bits
        file["_dectris/nimages"] = n_images
        file["_dectris/ntrigger"] = 1
        file["_dectris/countrate_correction_count_cutoff"] = int(panel.trusted_range[1]) + 1
    master = folder / f"{name}.nxs"
    with replacing(master) as temporary, h5py.File(temporary, "w", libver=("earliest", "v110")) as file:
        file.attrs["default"] = "entry"
        file.attrs["file_name"] = master.name
        entry = _group(file, "entry", "NXentry", default="data")
        entry["definition"] = "NXmx"
        entry["definition"].attrs["version"] = "1.5"
        entry["start_time"] = "2024-03-01T09:00:00Z"
        entry["end_time_estimated"] = "2024-03-01T09:05:00Z"
        source = _group(entry, "source", "NXsource")
        source["name"], source["type"] = "Simulated source", "Synchrotron X-ray Source"
        _write_sample(entry, name, headers)
        instrument = _group(entry, "instrument", "NXinstrument")
        instrument["name"] = "SIMULATED BEAMLINE"
        instrument["name"].attrs["short_name"] = "SIM"
        _write_beam(instrument, headers.beam)
        entry["sample/beam"] = h5py.SoftLink("/entry/instrument/beam")
        _write_detector(instrument, headers, f"{name}_meta.h5")
        _link_data(entry, files, n_images, shape, dtype)
    return master


def _write_data(
    folder: Path, name: str, frames: Iterable[np.ndarray], n_images: int, shape: Shape, dtype: np.dtype, per_file: int
) -> list[tuple[str, int]]:
    """Data files one after the other, ``per_file`` images in each; returns their names and numbers of images."""
    files = []
    iterator = iter(frames)
    for number, first in enumerate(range(0, n_images, per_file), start=1):
        count = min(per_file, n_images - first)
        path = folder / f"{name}_{number:06d}.h5"
        with replacing(path) as temporary, h5py.File(temporary, "w") as file:
            data = file.create_dataset("data", (count, *shape), dtype, chunks=(1, *shape), compression=BITSHUFFLE_LZ4)
            for row in range(count):
                data[row] = next(iterator)
        files.append((path.name, count))
    return files


def _group(parent: h5py.Group, name: str, kind: str, **attributes: Any) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = kind
    group.attrs.update(attributes)
    return group


def _value(group: h5py.Group, name: str, value: Any, units: str) -> None:
    group[name] = value
    group[name].attrs["units"] = units


def _transformation(
    group: h5py.Group, name: str, values: Any, kind: str, units: str, vector: Any, depends_on: str, offset: Any = None
) -> None:
    """One link of a chain of NXtransformations; ``offset`` in m."""
    group[name] = np.atleast_1d(np.asarray(values, dtype=np.float64))
    group[name].attrs.update(transformation_type=kind, units=units, vector=vector, depends_on=depends_on)
    if offset is not None:
        group[name].attrs.update(offset=offset, offset_units="m")


def _write_sample(entry: h5py.Group, name: str, headers: Headers) -> None:
    """The sample hangs on its axes from the crystal outward; the last one to be listed depends on nothing."""
    sample = _group(entry, "sample", "NXsample")
    sample["name"] = name
    _value(sample, "temperature", 100.0, "K")
    chain = _group(sample, "transformations", "NXtransformations")
    gonio, width, n_images = headers.goniometer, headers.width, headers.n_images
    scanned = headers.start + width * np.arange(n_images)
    axes: list[tuple[str, np.ndarray, Any]] = [("omega", gonio.rotation_axis, scanned)]
    if gonio.axes is not None and gonio.angles is not None:
        axes = list(zip(gonio.names, gonio.axes, gonio.angles, strict=True))
        axes[gonio.scan_axis] = (*axes[gonio.scan_axis][:2], scanned)
    paths = [f"/entry/sample/transformations/{axis_name}" for axis_name, *_ in axes] + ["."]
    for (axis_name, axis, values), outer in zip(axes, paths[1:], strict=True):
        _transformation(chain, axis_name, values, "rotation", "deg", _TO_NEXUS @ axis, outer)
        if values is scanned:
            _value(chain, f"{axis_name}_end", scanned + width, "deg")
            _value(chain, f"{axis_name}_increment_set", np.full(n_images, width), "deg")
    sample["depends_on"] = paths[0]


def _write_beam(instrument: h5py.Group, beam: Beam) -> None:
    group = _group(instrument, "beam", "NXbeam")
    _value(group, "incident_wavelength", beam.wavelength, "angstrom")
    _value(group, "total_flux", 5e11, "Hz")


def _write_detector(instrument: h5py.Group, headers: Headers, meta: str) -> None:
    panel, beam, exposure = headers.panel, headers.beam, headers.exposure
    group = _group(instrument, "detector", "NXdetector")
    fast, slow = panel.image_size
    centre, _ = panel.ray_mm(beam.s0[None])
    distance = panel.distance / 1000
    energy = _HC / beam.wavelength
    for name, value, units in (
        ("beam_center_x", centre[0, 0] / panel.pixel_size[0], "pixels"),
        ("beam_center_y", centre[0, 1] / panel.pixel_size[1], "pixels"),
        ("distance", distance, "m"), ("detector_distance", distance, "m"),
        ("count_time", exposure - 1e-6, "s"), ("frame_time", exposure, "s"),
        ("photon_energy", energy, "eV"), ("threshold_energy", energy / 2, "eV"),
        ("sensor_thickness", panel.thickness / 1000, "m"),
        ("x_pixel_size", panel.pixel_size[0] / 1000, "m"), ("y_pixel_size", panel.pixel_size[1] / 1000, "m"),
    ):  # fmt: skip
        _value(group, name, value, units)
    for name, plain in (
        ("bit_depth_readout", headers.bits), ("countrate_correction_applied", True), ("flatfield_applied", True),
        ("pixel_mask_applied", False), ("saturation_value", int(panel.trusted_range[1])), ("underload_value", 0),
        ("sensor_material", panel.material), ("serial_number", "SIM"), ("type", "Pixel"),
        ("description", f"Simulated Eiger-like {fast} x {slow}"),
        ("depends_on", "/entry/instrument/detector/transformations/det_z"),
    ):  # fmt: skip
        group[name] = plain
    group["pixel_mask"] = h5py.ExternalLink(meta, "/mask")
    chain = _group(group, "transformations", "NXtransformations")
    _transformation(chain, "det_z", -panel.origin[2], "translation", "mm", np.array([0.0, 0.0, 1.0]), ".")
    module = _group(group, "module", "NXdetector_module")
    module["data_origin"], module["data_size"], module["data_stride"] = [0, 0], [slow, fast], [1, 1]
    corner = (_TO_NEXUS @ panel.origin) * [1, 1, 0] / 1000
    path = "/entry/instrument/detector"
    _transformation(
        module, "module_offset", 0.0, "translation", "m", np.array([1.0, 0, 0]), f"{path}/transformations/det_z", corner
    )
    for name, axis, size in zip(("fast", "slow"), (panel.fast_axis, panel.slow_axis), panel.pixel_size, strict=True):
        _transformation(
            module, f"{name}_pixel_direction", size / 1000, "translation", "m", _TO_NEXUS @ axis,
            f"{path}/module/module_offset", np.zeros(3),
        )  # fmt: skip


def _link_data(entry: h5py.Group, files: list[tuple[str, int]], n_images: int, shape: Shape, dtype: np.dtype) -> None:
    """External links to the data files, and a virtual data set over all of them."""
    group = _group(entry, "data", "NXdata", signal="data", axes=["omega", ".", "."], omega_indices=0)
    layout = h5py.VirtualLayout((n_images, *shape), dtype)
    first = 0
    for number, (name, count) in enumerate(files, start=1):
        group[f"data_{number:06d}"] = h5py.ExternalLink(name, "/data")
        layout[first : first + count] = h5py.VirtualSource(name, "data", (count, *shape), dtype)
        first += count
    group.create_virtual_dataset("data", layout)
    group["omega"] = h5py.SoftLink("/entry/sample/transformations/omega")
