"""Write MTZ files, merged and unmerged, through gemmi."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import gemmi
import numpy as np

from mxdask.errors import FileError
from mxdask.io.atomic import replacing


class MtzDataset(Protocol):
    """Names and wavelength (Å) of a data set."""

    @property
    def project(self) -> str: ...
    @property
    def crystal(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def wavelength(self) -> float: ...


class MtzColumn(Protocol):
    """Label, type letter, values and data set (0, 1, …) of a column."""

    @property
    def label(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def values(self) -> np.ndarray: ...
    @property
    def dataset(self) -> int: ...


class MtzContent(Protocol):
    """What a merged file holds."""

    @property
    def hkl(self) -> np.ndarray: ...
    @property
    def columns(self) -> Sequence[MtzColumn]: ...
    @property
    def datasets(self) -> Sequence[MtzDataset]: ...
    @property
    def cell(self) -> gemmi.UnitCell: ...
    @property
    def space_group(self) -> gemmi.SpaceGroup: ...
    @property
    def title(self) -> str: ...
    @property
    def history(self) -> Sequence[str]: ...


class MtzBatch(Protocol):
    """Orientation and geometry of one image of an unmerged file.

    Angles in degrees. ``orientation`` is U and ``axis``, ``source`` are unit vectors in the Cambridge frame (x along
    the beam, z along the rotation axis). ``detector``: distance (mm) and upper limits x, y (px).
    """

    @property
    def number(self) -> int: ...
    @property
    def dataset(self) -> int: ...
    @property
    def cell(self) -> Sequence[float]: ...
    @property
    def orientation(self) -> np.ndarray: ...
    @property
    def phi(self) -> tuple[float, float]: ...
    @property
    def axis(self) -> Sequence[float]: ...
    @property
    def source(self) -> Sequence[float]: ...
    @property
    def mosaicity(self) -> float: ...
    @property
    def wavelength(self) -> float: ...
    @property
    def detector(self) -> tuple[float, float, float]: ...


def write_merged(path: str | Path, content: MtzContent) -> None:
    """Write a merged MTZ file; it appears whole or not at all."""
    mtz = _new_mtz(content)
    _fill(mtz, content.hkl, content.columns)
    mtz.sort_order = [1, 2, 3, 0, 0]
    _save(mtz, path)


def write_unmerged(path: str | Path, content: MtzContent, batches: Sequence[MtzBatch]) -> None:
    """Write an unmerged MTZ file.

    Parameters
    ----------
    content : ``hkl`` in the asymmetric unit; columns start with M/ISYM and BATCH.
    batches : one header per image, rising numbers.
    """
    mtz = _new_mtz(content)
    for batch in batches:
        mtz.batches.append(_batch_header(batch))
    _fill(mtz, content.hkl, content.columns)
    mtz.sort_order = [1, 2, 3, 4, 5]
    _save(mtz, path)


def read_mtz(path: str | Path) -> gemmi.Mtz:
    """Read an MTZ file.

    Raises
    ------
    FileError : missing, not an MTZ, or truncated.
    """
    if not Path(path).is_file():
        raise FileError(f"{path}: no such file; give an .mtz file")
    try:
        return gemmi.read_mtz_file(str(path))
    except (RuntimeError, ValueError, OSError) as error:
        raise FileError(f"{path}: not a complete MTZ file ({error})") from None


def _new_mtz(content: MtzContent) -> gemmi.Mtz:
    mtz = gemmi.Mtz()
    mtz.title = content.title
    mtz.history = [line[:80] for line in content.history]
    mtz.spacegroup = content.space_group
    mtz.set_cell_for_all(content.cell)
    for entry in content.datasets:
        dataset = mtz.add_dataset(entry.name)
        dataset.project_name, dataset.crystal_name, dataset.wavelength = entry.project, entry.crystal, entry.wavelength
        dataset.cell = content.cell
    del mtz.datasets[: len(mtz.datasets) - len(content.datasets)]  # gemmi's own HKL_base holds nothing here
    for number, dataset in enumerate(mtz.datasets, start=1):
        dataset.id = number
    return mtz


def _fill(mtz: gemmi.Mtz, hkl: np.ndarray, columns: Sequence[MtzColumn]) -> None:
    ids = [d.id for d in mtz.datasets]
    for label in "HKL":
        mtz.add_column(label, "H", dataset_id=ids[0])
    for column in columns:
        mtz.add_column(column.label, column.type, dataset_id=ids[column.dataset])
    data = np.empty((len(hkl), 3 + len(columns)), dtype=np.float32)
    data[:, :3] = hkl
    for i, column in enumerate(columns):
        data[:, 3 + i] = column.values
    mtz.set_data(data)
    mtz.update_reso()


def _batch_header(batch: MtzBatch) -> Any:
    """CCP4's batch header: 29 integers, 156 reals (library MTZLIB, "BATCH HEADERS")."""
    header = gemmi.Mtz.Batch()
    header.number = batch.number
    header.title = f"Batch {batch.number}"
    header.axes = ["AXIS"]
    header.dataset_id = batch.dataset
    header.cell = gemmi.UnitCell(*batch.cell)
    header.wavelength = batch.wavelength
    for index in range(4, 10):
        header.ints[index] = -1  # cell parameters fixed
    # One crystal, 3-D data, scan axis 1, one goniometer axis, one detector.
    integers = {12: 1, 14: 2, 15: 1, 17: 1, 19: 1}
    for index, number in integers.items():
        header.ints[index] = number
    reals: list[tuple[int, Any]] = [
        (6, np.asarray(batch.orientation).T.ravel()),  # Fortran order
        (21, [batch.mosaicity]),
        (36, batch.phi),
        (38, batch.axis),
        (43, [1.0]),  # batch scale
        (47, [batch.phi[1] - batch.phi[0]]),
        (59, batch.axis),
        (80, [-1.0, 0.0, 0.0]),
        (83, batch.source),
        (111, [batch.detector[0]]),
        (113, [0.0, batch.detector[1], 0.0, batch.detector[2]]),
    ]
    for start, values in reals:
        for offset, value in enumerate(values):
            header.floats[start + offset] = float(value)
    return header


def _save(mtz: gemmi.Mtz, path: str | Path) -> None:
    with replacing(path) as temporary:
        mtz.write_to_file(str(temporary))
