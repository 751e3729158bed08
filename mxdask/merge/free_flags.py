"""The test set of refinement (CCP4's convention: FreeR_flag 0 … n - 1, 0 is the test set; back.md 14.8).

Flags come from a hash of the index in the reduced cell, under the symmetry of the lattice: every file of one crystal
form has the same flags, in whatever Laue group or axes a cluster of its crystals was merged, and reflections that
twinning relates are never on both sides.
"""

from __future__ import annotations

import logging

import gemmi
import numpy as np

from mxdask.errors import FileError
from mxdask.intensity.asu import pack, reciprocal_rotations
from mxdask.intensity.merged_set import canonical_keys
from mxdask.io.mtz import read_mtz
from mxdask.lattice.cells import minimum_cell, similar
from mxdask.lattice.metric import lattice_group
from mxdask.merge.params import RFreeFlags

_log = logging.getLogger(__name__)
_LABELS = ("FreeR_flag", "FREE", "R-free-flags", "RFREE", "FREER", "FreeRflag")


def free_flags(hkl: np.ndarray, cell: gemmi.UnitCell, space_group: gemmi.SpaceGroup, params: RFreeFlags) -> np.ndarray:
    """(n,) flags of merged reflections (n, 3); NaN where a reference has none and is not to be extended.

    Raises
    ------
    FileError : the reference is not readable, has no flags, or another cell.
    """
    if params.reference is None:
        return flags_from_indices(hkl, cell, space_group, max(round(1.0 / params.fraction), 2))
    flags, n_sets = _copied(hkl, cell, space_group, params.reference)
    missing = np.isnan(flags)
    if params.extend:
        flags[missing] = flags_from_indices(hkl[missing], cell, space_group, n_sets)
    _log.info(
        "Free-R flags of %s: %d copied, %d %s", params.reference, int((~missing).sum()), int(missing.sum()),
        "new" if params.extend else "left empty",
    )  # fmt: skip
    return flags


def flags_from_indices(hkl: np.ndarray, cell: gemmi.UnitCell, space_group: gemmi.SpaceGroup, n_sets: int) -> np.ndarray:
    """(n,) 0 … n_sets - 1 from the indices (n, 3) alone; the cell only tells the lattice."""
    P, minimum = minimum_cell(np.array(cell.parameters), _centring(space_group))
    reduced = np.rint(np.asarray(hkl, dtype=np.float64) @ np.asarray(P, dtype=np.float64).T).astype(np.int64)
    return (_hash(canonical_keys(reduced, lattice_group(minimum))) % np.uint64(n_sets)).astype(np.float64)


def _centring(space_group: gemmi.SpaceGroup) -> str:
    return "P" if space_group.ext == "R" else str(space_group.centring_type())


def _hash(keys: np.ndarray) -> np.ndarray:
    """(n,) u8 of 33 well mixed bits (finalizer of splitmix64, Steele, Lea & Flood 2014)."""
    key = keys.astype(np.uint64)
    with np.errstate(over="ignore"):
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            key = (key ^ (key >> np.uint64(shift))) * np.uint64(factor)
    return key >> np.uint64(31)


def _copied(hkl: np.ndarray, cell: gemmi.UnitCell, space_group: gemmi.SpaceGroup, path: str) -> tuple[np.ndarray, int]:
    """Flags of the reference for our reflections (NaN where it has none), and how many sets it has."""
    mtz = read_mtz(path)
    column = next((c for label in _LABELS for c in mtz.columns if c.label.lower() == label.lower()), None)
    if column is None or mtz.spacegroup is None:
        raise FileError(f"{path}: no column of free-R flags ({', '.join(_LABELS[:3])}); give a file that has one")
    if not similar(cell.parameters, mtz.cell.parameters, length_tolerance=0.05, angle_tolerance=3.0):
        theirs = " ".join(f"{v:.2f}" for v in mtz.cell.parameters)
        raise FileError(f"{path}: its cell ({theirs}) is another one; flags can only be copied within a crystal form")
    values = np.array(column.array, dtype=np.float64)
    indices = np.asarray(mtz.make_miller_array())[np.isfinite(values)]
    values = values[np.isfinite(values)]
    if len(values) == 0:
        raise FileError(f"{path}: the column {column.label} is empty")
    values, n_sets = _ccp4(values, indices)
    # Equivalents under the richer of the two groups share a flag.
    group = max((space_group, mtz.spacegroup), key=lambda g: len(g.operations().sym_ops))
    ops = reciprocal_rotations(group).transpose(0, 2, 1)
    known, first = np.unique(canonical_keys(indices, ops), return_index=True)
    keys = canonical_keys(hkl, ops)
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[place] == keys, values[first][place], np.nan), n_sets


def _ccp4(values: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, int]:
    """Flags in CCP4's convention: a file of zeros and ones has its test set where there are fewer."""
    n_sets = int(values.max()) + 1
    if n_sets > 2:
        return values, n_sets
    test = values == (1 if (values == 1).sum() < (values == 0).sum() else 0)
    n_sets = max(round(len(values) / max(int(test.sum()), 1)), 2)
    work = 1 + _hash(pack(indices)) % np.uint64(n_sets - 1)
    return np.where(test, 0.0, work.astype(np.float64)), n_sets
