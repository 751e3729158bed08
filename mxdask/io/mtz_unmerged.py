"""Read intensities of MTZ files: unmerged with the sweep and image each comes from, or merged ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from mxdask.errors import FileError

# Rotation angle (degrees) by which an image may miss the end of the one before it and still be of the same sweep.
_PHI_TOLERANCE = 0.01
# Places of the rotation angle's start and end among the reals of CCP4's batch header.
_PHI_START, _PHI_END = 36, 37


@dataclass(frozen=True)
class UnmergedMtz:
    """Observations of an unmerged MTZ file.

    Attributes
    ----------
    hkl : (n, 3) i4, as measured (M/ISYM undone).
    intensity, sigma : (n,) columns I and SIGI.
    sweep : (n,) 0, 1, …: runs of consecutive batches.
    image : (n,) 1, 2, …: place within the sweep.
    first_batches : (s,) batch number of the first image of each sweep.
    """

    hkl: np.ndarray
    intensity: np.ndarray
    sigma: np.ndarray
    sweep: np.ndarray
    image: np.ndarray
    first_batches: np.ndarray
    cell: gemmi.UnitCell
    space_group: gemmi.SpaceGroup


def read_unmerged(path: str | Path) -> UnmergedMtz:
    """Read columns H K L M/ISYM BATCH I SIGI.

    Raises
    ------
    FileError : not an MTZ file, merged, or without I and SIGI.
    """
    mtz = _opened(path)
    missing = [label for label in ("M/ISYM", "BATCH", "I", "SIGI") if mtz.column_with_label(label) is None]
    if missing:
        raise FileError(f"{path}: has no column {missing[0]}; give unmerged data, as `mxdask export` writes them")
    if mtz.spacegroup is None:
        raise FileError(f"{path}: has no space group that gemmi knows")
    mtz.switch_to_original_hkl()
    batch = np.array(mtz.column_with_label("BATCH").array, dtype=np.int64)
    starts = _starts(mtz.batches, batch)
    sweep = np.searchsorted(starts, batch, side="right") - 1
    return UnmergedMtz(
        np.ascontiguousarray(mtz.make_miller_array(), dtype=np.int32),
        np.array(mtz.column_with_label("I").array, dtype=np.float64),
        np.array(mtz.column_with_label("SIGI").array, dtype=np.float64),
        sweep, batch - starts[sweep] + 1 if len(batch) else batch, starts, mtz.get_cell(), mtz.spacegroup,
    )  # fmt: skip


def read_intensities(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Indices (n, 3) and the first intensities (n,) of a merged or unmerged file: IMEAN, I, or any of type J.

    Raises
    ------
    FileError : not an MTZ file, or there are none.
    """
    mtz = _opened(path)
    labels = [c.label for c in mtz.columns_with_type("J")]
    label = next((name for name in ("IMEAN", "I", *labels) if name in labels), None)
    if label is None:
        raise FileError(f"{path}: has no column of intensities (type J)")
    values = np.array(mtz.column_with_label(label).array, dtype=np.float64)
    known = np.isfinite(values)
    return np.ascontiguousarray(mtz.make_miller_array(), dtype=np.int32)[known], values[known]


def _opened(path: str | Path) -> gemmi.Mtz:
    try:
        return gemmi.read_mtz_file(str(path))
    except (RuntimeError, ValueError, OSError) as error:
        raise FileError(f"{path}: cannot be read as an MTZ file ({error})") from None


def _starts(headers: gemmi.MtzBatches, batch: np.ndarray) -> np.ndarray:
    """First batch of each sweep: numbers jump there, or the rotation angle does."""
    if len(headers) == 0:
        numbers = np.unique(batch)
        return numbers[np.diff(numbers, prepend=-10) > 1] if len(numbers) else np.zeros(0, np.int64)
    rows = sorted((h.number, h.floats[_PHI_START], h.floats[_PHI_END]) for h in headers)
    number = np.array([r[0] for r in rows], dtype=np.int64)
    start, end = np.array([r[1:] for r in rows]).T
    jump = np.abs((start[1:] - end[:-1] + 180.0) % 360.0 - 180.0) > _PHI_TOLERANCE
    return number[np.r_[True, jump | (np.diff(number) > 1)]]
