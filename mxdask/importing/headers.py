"""From a file name to the models its header describes, whatever the format."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import h5py

from mxdask.errors import FileError, MxdaskError
from mxdask.flow.failed import Failed
from mxdask.images.frame_index import FrameIndex, flat_shape, frame_index
from mxdask.images.zarr_store import read_store_header
from mxdask.importing.fabio_header import read_fabio
from mxdask.importing.params import Geometry
from mxdask.io.cbf import is_cbf_name, read_header
from mxdask.io.compressed import read_bytes, without_suffix
from mxdask.io.eiger import declared_frames, is_eiger, read_eiger
from mxdask.io.hdf5 import open_hdf5
from mxdask.io.image_header import ImageHeader
from mxdask.io.imgcif import is_full_cbf, read_full_cbf
from mxdask.io.mini_cbf import read_mini_cbf
from mxdask.io.nxmx import is_nxmx, read_nxmx, scan_positions
from mxdask.io.smv import is_smv, read_smv

HDF5_SUFFIXES = (".nxs", ".h5", ".hdf5", ".nx5")
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def read_headers(paths: Sequence[str], check_images: bool, geometry: Geometry) -> list[ImageHeader | Failed]:
    """Headers of several files; a file that cannot be read gives a :class:`Failed` in its place."""
    out: list[ImageHeader | Failed] = []
    for path in paths:
        try:
            out.append(read_image_header(path, check_images, geometry))
        except MxdaskError as error:
            out.append(Failed(str(error)))
    return out


def read_image_header(path: str, check_images: bool = True, geometry: Geometry | None = None) -> ImageHeader:
    """Models of one file; no pixel is read.

    Parameters
    ----------
    check_images : a master whose data files are missing is an error; else its declared number of images counts.
    geometry : what the user gives by hand, for formats whose headers say too little.

    Raises
    ------
    FileError : missing, damaged, or of a format that cannot be imported.
    """
    try:
        return _read_header(path, check_images, geometry or Geometry())
    except FileError:
        raise
    except MxdaskError as error:  # the models' own complaints do not know the file
        raise FileError(f"{path}: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else ""
        raise FileError(
            f"{path}: the header holds something unexpected ({type(error).__name__}: {reason}); "
            "have the file written anew, or make an .expt file by other means and give it to mxdask find_spots"
        ) from error


def _read_header(path: str, check_images: bool, geometry: Geometry) -> ImageHeader:
    if os.path.isdir(path):
        return read_store_header(path)
    start = read_bytes(path, 64)
    if not start:
        raise FileError(f"{path}: empty file; copy it again")
    if start.startswith(_HDF5_SIGNATURE) or path.endswith(HDF5_SUFFIXES):
        return _read_master(path, check_images)
    if is_cbf_name(path):
        header = read_header(path)
        return read_full_cbf(path, header) if is_full_cbf(header) else read_mini_cbf(path, header)
    if is_smv(start):
        return read_smv(path)
    return read_fabio(path, geometry)


def _read_master(path: str, check_images: bool) -> ImageHeader:
    with open_hdf5(path) as file:
        nxmx, eiger = is_nxmx(file), is_eiger(file)
        if not (nxmx or eiger):
            raise FileError(f"{path}: HDF5 file without NXmx entry, perhaps a data file? Give the .nxs or _master.h5")
        incomplete = ""
        try:
            index = frame_index(path)
            n_frames, shape, bits = index.n_written, index.shape, 8 * index.dtype.itemsize
            if check_images:
                incomplete = _incomplete(index, path)
            elif index.shortfall:
                n_frames = _declared(file, path, eiger)[0]
        except FileError:
            if check_images:
                raise
            n_frames, shape, bits = _declared(file, path, eiger)
    header = (read_nxmx if nxmx else read_eiger)(path, n_frames, shape, bits)
    return replace(header, incomplete=incomplete)


def _incomplete(index: FrameIndex, path: str) -> str:
    """What to tell of a file that is still being written; "" for a complete one.

    Raises
    ------
    FileError : there is not one image yet.
    """
    n_frames = index.n_written
    reason = index.shortfall or f"{len(index) - n_frames} more are announced but not written"
    if n_frames == 0:
        raise FileError(f"{path}: no image was written yet ({reason}); import it when there are some")
    if n_frames == len(index) and not index.shortfall:
        return ""
    return f"{path}: only images 1-{n_frames} are there ({reason}); import it again when it is complete"


def _declared(file: h5py.File, path: str, eiger: bool) -> tuple[int, tuple[int, int], int]:
    """Frames, shape and bits as the master alone promises them."""
    data = file.get("entry/data/data")
    if isinstance(data, h5py.Dataset) and data.ndim in (3, 4):
        slow, fast = flat_shape(data.shape)
        return data.shape[0], (slow, fast), 8 * data.dtype.itemsize
    if eiger:
        return *declared_frames(file), 32
    raise FileError(f"{path}: neither images nor their number are in the master file")


def announced_frames(path: str) -> int | None:
    """How many images a master file promises, by what the detector was asked for or by its scan axis; None: not said.

    Raises
    ------
    FileError : the file cannot be read.
    """
    with open_hdf5(path) as file:
        if is_eiger(file) and not is_nxmx(file):
            return declared_frames(file)[0]
        return scan_positions(file, path) if is_nxmx(file) else None


def is_image_name(path: str | Path) -> bool:
    """Whether a folder's entry looks like something to import."""
    name = str(path).lower()
    return is_cbf_name(name) or name.endswith((".nxs", "master.h5", ".zarr")) or without_suffix(name).endswith(".img")
