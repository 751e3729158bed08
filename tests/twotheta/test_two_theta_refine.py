"""Cells from scattering angles: truth with noise, symmetry, sharing, files, and DIALS on the same input."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import gemmi
import numpy as np
import pytest
from synthetic_sweeps import TRICLINIC, a_crystal, a_detector, a_sweep, disturbed, spots

from mxdask.cli import main
from mxdask.errors import MxdaskError
from mxdask.flow import Flow
from mxdask.io.experiments import load
from mxdask.io.expt import read_expt, write_expt
from mxdask.io.refl import write_refl
from mxdask.models import ExperimentList
from mxdask.params import parse
from mxdask.table import Flag, ReflectionTable
from mxdask.twotheta.cell_files import cif_text, mmcif_text, p4p_text
from mxdask.twotheta.params import Params, Refinement
from mxdask.twotheta.selection import usable
from mxdask.twotheta.step import run

SYSTEMS = {
    "P 1": TRICLINIC,
    "C 1 2 1": (80.0, 50.0, 60.0, 90.0, 105.0, 90.0),
    "P 21 21 21": (40.0, 55.0, 70.0, 90.0, 90.0, 90.0),
    "P 43 21 2": (78.0, 78.0, 37.0, 90.0, 90.0, 90.0),
    "P 31 2 1": (60.0, 60.0, 90.0, 90.0, 90.0, 120.0),
    "R 3:H": (80.0, 80.0, 33.0, 90.0, 90.0, 120.0),
    "I 21 3": (78.0, 78.0, 78.0, 90.0, 90.0, 90.0),
}


def refine(experiments, table, *words):
    with Flow("sync") as flow:
        return run(experiments, table, parse(Params, words), flow=flow)


def crystals(n, cell, group, n_spots=300):
    """Sweeps of crystals with this cell whose models are a little off, and spots of the true ones."""
    detector = a_detector()
    sweeps, tables = [], []
    for i in range(n):
        sweep = a_sweep(f"s{i}", a_crystal(i, cell, group), detector=detector)
        tables.append(spots(sweep, n_spots, row=i, seed=i))
        sweeps.append(replace(sweep, crystal=disturbed(sweep.crystal, i)))
    return ExperimentList(sweeps), ReflectionTable.concat(tables)


@pytest.mark.parametrize(("group", "cell"), SYSTEMS.items(), ids=SYSTEMS)
def test_the_true_cell_within_its_esds_and_its_symmetry(group, cell):
    experiments, table = crystals(2, cell, group)
    refined, _, summary = refine(experiments, table)
    found, esd = np.array(summary["cell"]), np.array(summary["cell_esd"])
    free = esd > 1e-9
    assert np.all(np.abs(found - cell)[free] < 4 * esd[free])
    assert np.allclose(found[~free], np.array(cell)[~free], atol=1e-9)
    assert np.all(esd[:3] < 0.02)
    if gemmi.SpaceGroup(group).crystal_system_str() in ("tetragonal", "trigonal", "cubic"):
        assert found[0] == found[1]
    assert refined[0].crystal.recalculated_cell == refined[1].crystal.recalculated_cell
    assert np.array_equal(refined[0].crystal.A, experiments[0].crystal.A)  # what integration used stays


def test_esds_are_those_of_repeated_experiments():
    found = []
    for seed in range(12):
        sweep = a_sweep("s", a_crystal(3, SYSTEMS["P 21 21 21"], "P 21 21 21"))
        found.append(refine(ExperimentList([sweep]), spots(sweep, 300, seed=seed))[2])
    scatter = np.std([f["cell"] for f in found], axis=0)[:3]
    told = np.mean([f["cell_esd"] for f in found], axis=0)[:3]
    assert np.all(scatter < 2.0 * told)
    assert np.all(scatter > 0.4 * told)


def test_one_each_and_rows_that_fail():
    experiments, table = crystals(3, TRICLINIC, "P 1")
    table = table.select((table["id"] < 2) | (np.arange(len(table)) % 100 == 0))
    refined, _, summary = refine(experiments, table, "combine_crystal_models=False")
    json.dumps(summary)
    assert [r["status"] for r in summary["rows"]] == ["ok", "ok", "failed"]
    assert "too few" in summary["rows"][2]["reason"]
    assert refined[0].crystal.recalculated_cell != refined[1].crystal.recalculated_cell
    assert refined[2].crystal.recalculated_cell is None


def test_only_strong_integrated_reflections_count_where_there_are_any():
    experiments, table = crystals(1, TRICLINIC, "P 1")
    table.set_flags(np.arange(100, 300), Flag.INTEGRATED_SUM)
    table.unset_flags(np.arange(250, 300), Flag.STRONG)
    assert refine(experiments, table)[2]["n_reflections"] <= 150
    assert refine(experiments, table, "filter_integrated_centroids=False")[2]["n_reflections"] > 250


def test_each_reason_leaves_its_reflection_out():
    table = ReflectionTable(
        {
            "id": np.array([0, -1, 0, 0, 0], np.int32),
            "miller_index": np.array([[1, 0, 0], [1, 0, 0], [0, 0, 0], [1, 0, 0], [1, 0, 0]], np.int32),
            "flags": np.array([0, 0, 0, int(Flag.OVERLOADED), 0], np.uint64),
            "partiality": np.array([1.0, 1.0, 1.0, 1.0, 0.3]),
        }
    )
    assert usable(table, Refinement()).tolist() == [True, False, False, False, False]
    assert usable(table, Refinement(partiality_threshold=None)).tolist() == [True, False, False, False, True]


def test_triclinic_leaves_the_symmetry_out():
    experiments, table = crystals(1, SYSTEMS["I 21 3"], "I 21 3", 600)
    hkl = table["miller_index"]
    table = table.select(hkl.sum(axis=1) % 2 == 0)
    refined, out, summary = refine(experiments, table, "triclinic=True")
    assert np.allclose(summary["cell"][:3], 78.0 * np.sqrt(3) / 2, rtol=1e-3)
    assert np.count_nonzero(summary["cell_esd"]) == 6
    assert refined[0].crystal.space_group.hm == "P 1"
    before = np.linalg.norm(table["miller_index"] @ experiments[0].crystal.A.T, axis=1)
    after = np.linalg.norm(out["miller_index"] @ refined[0].crystal.A.T, axis=1)
    assert np.allclose(before, after)


def test_crystals_that_have_no_common_cell():
    experiments, table = crystals(2, SYSTEMS["I 21 3"], "I 21 3")
    other = experiments[1].evolve(crystal=replace(experiments[1].crystal, space_group_hall=" P 1"))
    with pytest.raises(MxdaskError, match="different space groups"):
        refine(ExperimentList([experiments[0], other]), table)
    with pytest.raises(MxdaskError, match="give integrated"):
        refine(experiments, None)


def test_files(tmp_path, monkeypatch):
    experiments, table = crystals(2, TRICLINIC, "P 1")
    write_expt(tmp_path / "i.expt", experiments)
    write_refl(tmp_path / "i.refl", table)
    monkeypatch.chdir(tmp_path)
    words = ["cif=a.cif", "mmcif=b.cif", "p4p=c.p4p"]
    assert main(["two_theta_refine", "i.expt", "i.refl", *words]) == 0
    numbers = json.loads((tmp_path / "two_theta_refine.json").read_text())
    assert np.allclose(read_expt(tmp_path / "refined_cell.expt")[0].crystal.recalculated_cell, numbers["cell"])
    block = gemmi.cif.read(str(tmp_path / "a.cif")).sole_block()
    assert gemmi.cif.as_number(block.find_value("_cell_length_a")) == pytest.approx(numbers["cell"][0], abs=0.01)
    block = gemmi.cif.read(str(tmp_path / "b.cif")).sole_block()
    assert float(block.find_value("_cell.angle_beta")) == pytest.approx(numbers["cell"][4], abs=1e-4)
    assert re.search(r"^CELL +41\.", (tmp_path / "c.p4p").read_text(), re.M)
    assert main(["two_theta_refine", "i.expt", "i.refl", "combine=False", "cif=a.cif"]) == 2


def test_text_of_the_cell_files():
    numbers = {
        "cell": [5.4219, 8.1356, 12.02, 90.0, 90.0, 90.0], "cell_esd": [0.0008, 0.0018, 0.002, 0.0, 0.0, 0.0],
        "volume": 530.2, "volume_esd": 0.12, "n_reflections": 321,
    }  # fmt: skip
    assert "_cell_length_a 5.4219(8)" in cif_text(numbers)
    assert re.search(r"_cell\.length_b_esd +0\.001800", mmcif_text(numbers))
    assert "CELLSD   0.0008 0.0018 0.0020 0.0000 0.0000 0.0000 0.1200" in p4p_text(numbers, 0.7)


@pytest.mark.dials
@pytest.mark.data
def test_cell_and_esds_are_those_of_dials(dials, data_dir, tmp_path):
    files = [data_dir / "reflections/l_cysteine_4_sweeps_scaled" / f"scaled_20_25.{kind}" for kind in ("expt", "refl")]
    dials("two_theta_refine", *files, cwd=tmp_path)
    theirs = read_expt(tmp_path / "refined_cell.expt")[0].crystal
    ours = refine(*load(files[:1], files[1:]))[2]
    esd = np.array(theirs.recalculated_cell_esd)
    assert np.all(np.abs(np.subtract(ours["cell"], theirs.recalculated_cell)) <= 0.5 * esd + 1e-5)
    assert np.allclose(ours["cell_esd"][:3], esd[:3], rtol=0.05)
    assert ours["volume_esd"] == pytest.approx(theirs.recalculated_volume_esd, rel=0.05)
