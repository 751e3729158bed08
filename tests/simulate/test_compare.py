"""Comparison with the truth: right answers score 1 whatever basis they come in."""

from __future__ import annotations

from pathlib import Path

import gemmi
import h5py
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mxdask.errors import FileError, MxdaskError
from mxdask.models import Crystal, ExperimentList
from mxdask.simulate.compare import crystals_against_truth, crystals_table, merged_against_truth
from mxdask.simulate.crystals import true_crystal
from mxdask.simulate.params import quick
from mxdask.simulate.spots import primitive_basis, strong_spots
from mxdask.simulate.step import make

SIM = quick()


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("truth")
    sweep = SIM.sweep.model_copy(update={"images": 2})
    return make(SIM.model_copy(update={"sweep": sweep}), folder).truth


def _write_mtz(path: Path, hkl: np.ndarray, I: np.ndarray) -> Path:
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = gemmi.SpaceGroup("I 2 3")
    mtz.set_cell_for_all(gemmi.UnitCell(78, 78, 78, 90, 90, 90))
    mtz.add_dataset("x")
    mtz.add_column("IMEAN", "J")
    mtz.add_column("SIGIMEAN", "Q")
    mtz.set_data(np.column_stack([hkl, I, np.ones(len(I))]).astype(np.float32))
    mtz.write_to_file(str(path))
    return path


@pytest.mark.parametrize("swapped", [False, True])
def test_perfect_data_correlate_perfectly_in_either_setting(truth, tmp_path, swapped):
    group = next(iter(h5py.File(truth)["structures"].values()))
    hkl, I = group["hkl"][...], group["I"][...]
    if swapped:
        hkl = hkl[:, [1, 0, 2]] * [1, 1, -1]
    result = merged_against_truth(_write_mtz(tmp_path / "m.mtz", hkl, I), truth)
    assert result.cc == pytest.approx(1, abs=1e-6)
    assert result.mean_shell_cc == pytest.approx(1, abs=1e-6)
    assert result.n == len(hkl)
    assert (result.reindexing == "h,k,l") is not swapped
    assert result.shells[0].d_max > result.shells[-1].d_min
    assert "reflections" in result.table()


def test_noise_lowers_the_correlation(truth, tmp_path):
    group = next(iter(h5py.File(truth)["structures"].values()))
    I = group["I"][...]
    noisy = I + np.random.default_rng(0).normal(0, I.std(), len(I))
    result = merged_against_truth(_write_mtz(tmp_path / "m.mtz", group["hkl"][...], noisy), truth)
    assert result.cc == pytest.approx(np.sqrt(0.5), abs=0.05)


def test_wrong_files_are_one_line(truth, tmp_path):
    with pytest.raises(FileError, match=r"none\.mtz"):
        merged_against_truth(tmp_path / "none.mtz", truth)
    path = _write_mtz(tmp_path / "m.mtz", np.array([[1, 0, 0]]), np.ones(1))
    with pytest.raises(MxdaskError, match="in common"):
        merged_against_truth(path, truth)
    with pytest.raises(MxdaskError, match="no structure"):
        merged_against_truth(path, truth, "other")


def _with_crystals(A: list[np.ndarray], hall: str) -> ExperimentList:
    experiments, _ = strong_spots(SIM)
    return ExperimentList(e.evolve(crystal=Crystal.from_A(a, hall)) for e, a in zip(experiments, A, strict=True))


@pytest.mark.parametrize("primitive", [False, True])
def test_crystals_in_any_basis_agree(truth, primitive):
    turned = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]]) @ np.diag([1, -1, -1])
    A = [true_crystal(SIM, i).A @ turned for i in range(2)]
    hall = " I 2 2 3"
    if primitive:
        A, hall = [a @ np.linalg.inv(primitive_basis("I")) for a in A], " P 1"
    for row in crystals_against_truth(_with_crystals(A, hall), truth):
        assert row.lattice_found
        assert row.misorientation < 1e-4
        assert row.cell_error < 1e-9


def test_turned_and_stretched_crystals_are_told(truth):
    turn = Rotation.from_rotvec([0, np.deg2rad(0.3), 0]).as_matrix()
    A = [turn @ true_crystal(SIM, 0).A / 1.01, true_crystal(SIM, 1).A * 2]
    good, bad = crystals_against_truth(_with_crystals(A, " I 2 2 3"), truth)
    assert good.misorientation == pytest.approx(0.3, abs=1e-3)
    assert good.cell_error == pytest.approx(0.01, abs=1e-6)
    assert not bad.lattice_found
    assert "wrong lattice" in crystals_table([good, bad])
