"""From a file name to the models its header describes, whatever the format."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import h5py

from mxdask.errors import FileError, MxdaskError
from mxdask.flow.failed import Failed
from mxdask.images.frame_index import frame_index
from mxdask.images.zarr_store import read_store_header
from mxdask.io.cbf import is_cbf_name, read_header
from mxdask.io.eiger import declared_frames, is_eiger, read_eiger
from mxdask.io.hdf5 import open_hdf5
from mxdask.io.image_header import ImageHeader
from mxdask.io.imgcif import is_full_cbf, read_full_cbf
from mxdask.io.mini_cbf import read_mini_cbf
from mxdask.io.nxmx import is_nxmx, read_nxmx

HDF5_SUFFIXES = (".nxs", ".h5", ".hdf5", ".nx5")
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def read_headers(paths: Sequence[str], check_images: bool) -> list[ImageHeader | Failed]:
    """Headers of several files; a file that cannot be read gives a :class:`Failed` in its place."""
    out: list[ImageHeader | Failed] = []
    for path in paths:
        try:
            out.append(read_image_header(path, check_images))
        except MxdaskError as error:
            out.append(Failed(str(error)))
    return out


def read_image_header(path: str, check_images: bool = True) -> ImageHeader:
    """Models of one file; no pixel is read.

    Parameters
    ----------
    check_images : a master whose data files are missing is an error; else its declared number of images counts.

    Raises
    ------
    FileError : missing, damaged, or of a format that cannot be imported.
    """
    try:
        return _read_header(path, check_images)
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


def _read_header(path: str, check_images: bool) -> ImageHeader:
    if os.path.isdir(path):
        return read_store_header(path)
    try:
        with open(path, "rb") as file:
            start = file.read(16)
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}); check the name") from error
    if not start:
        raise FileError(f"{path}: empty file; copy it again")
    if start.startswith(_HDF5_SIGNATURE) or path.endswith(HDF5_SUFFIXES):
        return _read_master(path, check_images)
    if is_cbf_name(path):
        header = read_header(path)
        return read_full_cbf(path, header) if is_full_cbf(header) else read_mini_cbf(path, header)
    raise FileError(
        f"{path}: images of this format cannot be imported (NXmx, Eiger, CBF and Zarr can): their headers do not "
        "describe the geometry in a common way; make an .expt file with dials.import and give it to mxdask find_spots"
    )


def _read_master(path: str, check_images: bool) -> ImageHeader:
    with open_hdf5(path) as file:
        nxmx, eiger = is_nxmx(file), is_eiger(file)
        if not (nxmx or eiger):
            raise FileError(f"{path}: HDF5 file without NXmx entry, perhaps a data file? Give the .nxs or _master.h5")
        try:
            index = frame_index(path)
            n_frames, shape, bits = len(index), index.shape, 8 * index.dtype.itemsize
        except FileError:
            if check_images:
                raise
            n_frames, shape, bits = _declared(file, path, eiger)
    return (read_nxmx if nxmx else read_eiger)(path, n_frames, shape, bits)


def _declared(file: h5py.File, path: str, eiger: bool) -> tuple[int, tuple[int, int], int]:
    """Frames, shape and bits as the master alone promises them."""
    data = file.get("entry/data/data")
    if isinstance(data, h5py.Dataset):
        return data.shape[0], data.shape[1:], 8 * data.dtype.itemsize
    if eiger:
        return *declared_frames(file), 32
    raise FileError(f"{path}: neither images nor their number are in the master file")


def is_image_name(path: str | Path) -> bool:
    """Whether a folder's entry looks like something to import."""
    name = str(path).lower()
    return is_cbf_name(name) or name.endswith((".nxs", "master.h5", ".zarr"))
