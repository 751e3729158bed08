"""Open HDF5 files and say in one line what is wrong when that fails."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  registers the filters that detectors use

from mxdask.errors import FileError


def open_hdf5(path: str | Path) -> h5py.File:
    """Open for reading, also while a detector still writes (SWMR).

    Raises
    ------
    FileError : missing, or not (completely) an HDF5 file.
    """
    if not os.path.exists(path):
        raise FileError(f"{path}: no such file")
    try:
        return h5py.File(path, "r", libver="latest", swmr=True)
    except (OSError, ValueError):
        pass  # files of old layout versions cannot be opened for SWMR
    try:
        return h5py.File(path, "r")
    except OSError as error:
        reason = str(error).splitlines()[0][:200]
        what = "the file is cut off" if "truncated" in reason else "cannot be read as HDF5"
        raise FileError(f"{path}: {what} ({reason}); copy the file again") from error
