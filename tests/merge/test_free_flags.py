"""Free-R flags: the same for every cluster of a run, whatever its group and axes, and copied from a reference."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from mxdask.errors import FileError
from mxdask.merge.free_flags import flags_from_indices, free_flags
from mxdask.merge.params import RFreeFlags

CELL = gemmi.UnitCell(78.2, 78.3, 37.2, 90.0, 90.1, 89.9)
HKL = np.random.default_rng(0).integers(-30, 31, (20000, 3))
P1, P43212 = gemmi.SpaceGroup("P 1"), gemmi.SpaceGroup("P 43 21 2")


def test_depend_on_the_index_only():
    flags = flags_from_indices(HKL, CELL, P1, 20)
    assert set(np.unique(flags)) == set(range(20))
    assert abs((flags == 0).mean() - 0.05) < 0.01
    assert np.array_equal(flags_from_indices(HKL[::-1], CELL, P1, 20)[::-1], flags)


def test_symmetry_mates_and_other_laue_groups_share_them():
    flags = flags_from_indices(HKL, CELL, P1, 20)
    for op in P43212.operations().sym_ops:
        mates = HKL @ (np.array(op.rot) // op.DEN)
        assert np.array_equal(flags_from_indices(mates, CELL, P1, 20), flags)
    assert np.array_equal(flags_from_indices(-HKL, CELL, P43212, 20), flags)


def test_other_axes_of_the_same_lattice_share_them():
    """c a b instead of a b c, and a C-centred description of a primitive lattice."""
    cell = gemmi.UnitCell(50, 60, 70, 90, 100, 90)
    flags = flags_from_indices(HKL, cell, gemmi.SpaceGroup("P 1 2 1"), 20)
    moved = gemmi.UnitCell(70, 50, 60, 90, 90, 100)
    assert np.array_equal(flags_from_indices(HKL[:, [2, 0, 1]], moved, P1, 20), flags)


def write_reference(path, hkl, flags, group="P 43 21 2", cell=CELL, label="FreeR_flag"):
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup, mtz.cell = gemmi.SpaceGroup(group), cell
    mtz.add_dataset("x").wavelength = 1.0
    mtz.add_column(label, "I")
    mtz.set_data(np.column_stack([hkl, flags]).astype(np.float32))
    mtz.write_to_file(str(path))
    return str(path)


def test_reference_is_copied_and_extended(tmp_path):
    hkl = np.unique(np.abs(HKL[:4000]), axis=0)
    theirs = np.random.default_rng(1).integers(0, 10, len(hkl)).astype(float)
    asu = gemmi.ReciprocalAsu(P43212)
    inside = np.array([asu.is_in(h) for h in hkl.tolist()])
    hkl, theirs = hkl[inside], theirs[inside]
    half = len(hkl) // 2
    path = write_reference(tmp_path / "ref.mtz", hkl[:half], theirs[:half])
    op = P43212.operations().sym_ops[3]
    ours = hkl @ (np.array(op.rot) // op.DEN)
    flags = free_flags(ours, CELL, P43212, RFreeFlags(reference=path))
    assert np.array_equal(flags[:half], theirs[:half])
    assert set(np.unique(flags[half:])) <= set(range(10))
    kept = free_flags(ours, CELL, P43212, RFreeFlags(reference=path, extend=False))
    assert np.isnan(kept[half:]).all()


def test_flags_of_zero_and_one_become_ccp4s(tmp_path):
    hkl = np.unique(np.abs(HKL[:500]), axis=0)
    test = np.arange(len(hkl)) % 20 == 0
    path = write_reference(tmp_path / "phenix.mtz", hkl, test.astype(float), group="P 1", label="R-free-flags")
    flags = free_flags(hkl, CELL, P1, RFreeFlags(reference=path))
    assert np.array_equal(flags == 0, test)
    assert flags.max() >= 15


def test_bad_references_are_clear(tmp_path):
    with pytest.raises(FileError, match="no such file"):
        free_flags(HKL, CELL, P1, RFreeFlags(reference=str(tmp_path / "none.mtz")))
    (tmp_path / "cut.mtz").write_bytes(b"MTZ nonsense")
    with pytest.raises(FileError, match="not a complete MTZ"):
        free_flags(HKL, CELL, P1, RFreeFlags(reference=str(tmp_path / "cut.mtz")))
    path = write_reference(tmp_path / "no.mtz", HKL[:5], np.ones(5), label="N")
    with pytest.raises(FileError, match="no column of free-R flags"):
        free_flags(HKL, CELL, P1, RFreeFlags(reference=path))
    path = write_reference(tmp_path / "cell.mtz", HKL[:5], np.ones(5), cell=gemmi.UnitCell(50, 50, 50, 90, 90, 90))
    with pytest.raises(FileError, match="another one"):
        free_flags(HKL, CELL, P1, RFreeFlags(reference=path))
