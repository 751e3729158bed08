"""Intensities that stay as they are while others are scaled to them: a merged MTZ file or scaled reflections."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from mxdask.errors import FileError
from mxdask.intensity.asu import map_to_asu, pack
from mxdask.intensity.observations import select_observations
from mxdask.io.refl import read_refl
from mxdask.scale.pool import Pool

_INTENSITIES = ("IMEAN", "I", "Imean", "I_obs", "I-obs")
_AMPLITUDES = ("F", "FP", "FOBS", "F-obs", "FC", "F-model")


def reference_intensities(path: str | Path, pool: Pool, space_group: gemmi.SpaceGroup) -> np.ndarray:
    """(m,) the reference's intensity for each unique reflection of a pool, NaN where it has none.

    Raises
    ------
    FileError : the file is neither kind, has no intensities, or shares no reflection with the pool.
    """
    path = Path(path)
    if path.suffix == ".mtz":
        hkl, value, weight = _from_mtz(path)
    elif path.suffix == ".refl":
        hkl, value, weight = _from_scaled(path)
    else:
        raise FileError(f"{path}: a reference is a merged .mtz file or a .refl file with scaled reflections")
    asu = map_to_asu(hkl, space_group)
    keys, wanted = pack(asu.unique), pack(pool.asu.unique)
    n = len(keys)
    mean = np.bincount(asu.group, weight * value, n) / np.bincount(asu.group, weight, n)
    place = np.minimum(np.searchsorted(keys, wanted), max(n - 1, 0))
    known = keys[place] == wanted if n else np.zeros(len(wanted), dtype=bool)
    if not np.any(known):
        raise FileError(f"{path}: no reflection in common with the data; is it the same crystal form and setting?")
    return np.where(known, mean[place], np.nan)


def _from_mtz(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices, intensities and weights of a merged MTZ file; amplitudes are squared."""
    try:
        mtz = gemmi.read_mtz_file(str(path))
    except (OSError, RuntimeError) as error:
        raise FileError(f"{path}: cannot be read as MTZ ({error})") from error
    labels = mtz.column_labels()
    for names, power in ((_INTENSITIES, 1), (_AMPLITUDES, 2)):
        label = next((name for name in names if name in labels), None)
        if label is not None:
            value = np.array(mtz.column_with_label(label), dtype=np.float64) ** power
            there = np.isfinite(value)
            return mtz.make_miller_array()[there], value[there], np.ones(int(there.sum()))
    wanted = ", ".join(_INTENSITIES + _AMPLITUDES)
    raise FileError(f"{path}: no column of mean intensities or amplitudes ({wanted})")


def _from_scaled(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices, intensities and weights of scaled observations."""
    table = read_refl(path)
    if "inverse_scale_factor" not in table or "intensity.scale.value" not in table:
        raise FileError(f"{path}: its reflections are not scaled; run `mxdask scale` on them first")
    o = select_observations(table, "scale")
    return o.hkl, o.intensity, 1.0 / o.variance
