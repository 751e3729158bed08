"""A reference data set: merged intensities whose setting all crystals are to take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from mxdask.errors import FileError


@dataclass(frozen=True, eq=False)
class Reference:
    """Merged reflections: hkl (n, 3), intensity and variance (n,), cell (6,) and space group."""

    hkl: np.ndarray
    intensity: np.ndarray
    variance: np.ndarray
    cell: np.ndarray
    space_group: gemmi.SpaceGroup


def read_reference(path: str) -> Reference:
    """Intensities (or squared amplitudes) of an MTZ file; mean of I(+) and I(-) where there is no mean.

    Raises
    ------
    FileError : no such file, not an MTZ, or without intensities and amplitudes.
    """
    if not Path(path).is_file():
        raise FileError(f"reference={path}: no such file")
    try:
        mtz = gemmi.read_mtz_file(path)
    except (RuntimeError, ValueError) as error:
        raise FileError(f"reference={path}: not an MTZ file ({error})") from None
    if mtz.spacegroup is None:
        raise FileError(f"reference={path}: the file names no space group")
    hkl = np.asarray(mtz.make_miller_array())
    cell = np.array(mtz.cell.parameters)
    for kind, power in (("J", 1), ("K", 1), ("F", 2), ("G", 2)):
        columns = list(mtz.columns_with_type(kind))[: 2 if kind in "KG" else 1]
        if columns:
            with np.errstate(invalid="ignore"):
                value = np.nanmean([np.asarray(c, dtype=np.float64) for c in columns], axis=0) ** power
            good = np.isfinite(value)
            # Only order and size matter for correlations; errors are taken as a tenth of the intensity.
            sigma = 0.1 * np.abs(value[good]) + 0.01 * float(np.mean(np.abs(value[good])))
            return Reference(hkl[good], value[good], sigma**2, cell, mtz.spacegroup)
    raise FileError(f"reference={path}: no column of intensities (J, K) or amplitudes (F, G)")
