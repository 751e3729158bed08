"""Open HDF5 files and say in one line what is wrong when that fails."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import mxdask.io.hdf5_filters  # noqa: F401  registers the filters that detectors use
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
    except (OSError, RuntimeError, ValueError):
        pass  # files of old layout versions cannot be opened for SWMR
    try:
        return h5py.File(path, "r")
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:200]
        what = "the file is cut off" if "truncated" in reason else "cannot be read as HDF5"
        raise FileError(f"{path}: {what} ({reason}); copy the file again") from error


LARGEST_HEADER_VALUE = 2**24  # numbers: an angle, a time … per image


def value_of(dataset: Any) -> Any:
    """Value of a small data set; a damaged shape must not make us ask for all of the memory.

    Raises
    ------
    FileError : it is no data set, too large, or cannot be read.
    """
    if not isinstance(dataset, h5py.Dataset):
        raise FileError(f"{dataset.file.filename}: {dataset.name} is a group, a value is needed")
    if dataset.size is not None and dataset.size > LARGEST_HEADER_VALUE:
        raise FileError(f"{dataset.file.filename}: {dataset.name} has the shape {dataset.shape}, which cannot be right")
    try:
        return dataset[()]
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise FileError(f"{dataset.file.filename}: {dataset.name} cannot be read ({reason}); copy it again") from error


def number_of(dataset: Any) -> float:
    """The first number of a small data set.

    Raises
    ------
    FileError : it holds no number.
    """
    values = np.ravel(value_of(dataset))
    if values.size == 0 or values.dtype.kind not in "iufb":
        raise FileError(f"{dataset.file.filename}: {dataset.name} holds no number")
    return float(values[0])
