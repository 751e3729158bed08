"""Export: DIALS' numbers for the same reflections, and files that other programs read."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from dataclasses import replace

import gemmi
import numpy as np
import pytest

from mxdask.errors import FileError, MxdaskError, ParameterError
from mxdask.io.expt import read_expt
from mxdask.io.refl import read_refl
from mxdask.io.scalepack import write_sca_merged
from mxdask.io.shelx import formula, latt, symm, write_hklf4
from mxdask.merge.export import experiment_batches
from mxdask.merge.export_files import export
from mxdask.merge.export_params import Params
from mxdask.merge.export_points import reciprocal_points
from mxdask.models import ExperimentList
from mxdask.models.crystal import Crystal, b_matrix, busing_levy


@pytest.fixture(scope="module")
def files(data_dir):
    folder = data_dir / "reflections" / "l_cysteine_4_sweeps_scaled"
    return folder / "scaled_30.expt", folder / "scaled_30.refl"


@pytest.fixture(scope="module")
def scaled(files):
    """Real L-cysteine data, scaled by DIALS."""
    return read_expt(files[0]), read_refl(files[1])


def hklf4(path):
    rows = []
    for line in path.read_text().splitlines():
        rows.append([float(line[i : i + 4]) for i in (0, 4, 8)] + [float(line[12:20]), float(line[20:28])])
        if rows[-1][:3] == [0, 0, 0]:
            return np.array(rows[:-1])
    raise AssertionError("no line of zeros")


def test_shelx_is_that_of_dials(scaled, files, dials, tmp_path):
    dials("export", *files, "format=shelx", "intensity=scale", cwd=tmp_path)
    out, _ = export(*scaled, Params(format="shelx", shelx={"composition": "C3H7NO2S"}), tmp_path / ".")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    dials("export", *files, "format=shelx", "intensity=scale", cwd=theirs)
    np.testing.assert_allclose(hklf4(out[0]), hklf4(theirs / "dials.hkl"), atol=0.011)
    lines = out[1].read_text().splitlines()
    for theirs_line in (theirs / "dials.ins").read_text().splitlines():
        if theirs_line.startswith(("CELL", "LATT")):
            assert theirs_line.split() == next(x for x in lines if x.startswith(theirs_line[:4])).split()
    assert "SFAC C H N O S" in lines
    assert lines[-2:] == ["HKLF 4", "END"]


@pytest.mark.parametrize(
    ("name", "number", "n_symm"),
    [("P 1", -1, 0), ("P -1", 1, 0), ("P 1 21/c 1", 1, 1), ("I 2 3", -2, 11), ("F d d 2", -4, 3), ("R 3 :H", -3, 2),
     ("C 1 2 1", -7, 1)],
)  # fmt: skip
def test_shelx_symmetry(name, number, n_symm):
    group = gemmi.SpaceGroup(name)
    assert latt(group) == number
    assert len(symm(group)) == n_symm


def test_compositions():
    assert formula("C3H7NO2S") == {"C": 3, "H": 7, "N": 1, "O": 2, "S": 1}
    assert formula("CH") == {"C": 1, "H": 1}
    for wrong in ("", "c3h7", "Xx2", "C3-H"):
        with pytest.raises(ParameterError, match="composition"):
            formula(wrong)


def test_numbers_that_do_not_fit(tmp_path):
    write_hklf4(tmp_path / "x.hkl", np.array([[1, 2, 3]]), np.array([123456.0]), np.array([1.0]))
    assert (tmp_path / "x.hkl").read_text().splitlines()[0] == "   1   2   3  123456    1.00"
    big = (np.array([1e9]), np.array([1.0]))
    with pytest.raises(FileError, match="too large"):
        write_sca_merged(tmp_path / "x.sca", gemmi.SpaceGroup(1), gemmi.UnitCell(9, 9, 9, 90, 90, 90),
                         hkl=np.array([[1, 2, 3]]), plus=big, minus=big)  # fmt: skip


def test_mmcif_is_read_and_holds_the_intensities(scaled, tmp_path):
    for version, category, tag in (("v5", "_diffrn_refln.", "intensity_net"),
                                   ("v5_next", "_pdbx_diffrn_unmerged_refln.", "intensity_meas")):  # fmt: skip
        (path,), told = export(*scaled, Params(format="mmcif", mmcif={"pdb_version": version}), tmp_path)
        block = gemmi.cif.read(str(path)).sole_block()
        rows = np.array([[float(v) for v in r] for r in block.find(category, ["index_h", "index_k", "index_l", tag])])
        assert len(rows) == told["n_observations"]
        r = scaled[1]
        known = {}
        for h, i in zip(
            r["miller_index"].tolist(), r["intensity.scale.value"] / r["inverse_scale_factor"], strict=True
        ):
            known.setdefault(tuple(h), []).append(i)
        for row in rows[:200]:
            assert min(abs(v - row[3]) for v in known[tuple(row[:3].astype(int))]) < 1e-3
        assert float(block.find_value("_reflns.pdbx_Rmerge_I_obs")) > 0
    assert len(block.find("_pdbx_diffrn_scan.", ["scan_id"])) == len(scaled[0])
    (path,), _ = export(*scaled, Params(format="mmcif", mmcif={"compress": "gz"}), tmp_path)
    assert path.name == "scaled.cif.gz"
    assert gzip.decompress(path.read_bytes()).startswith(b"data_mxdask")


def test_sca_both_ways(scaled, tmp_path):
    (unmerged,), told = export(*scaled, Params(format="sca"), tmp_path)
    lines = unmerged.read_text().splitlines()
    n_ops = int(lines[0][:5])
    assert len(lines) == 1 + 2 * n_ops + told["n_observations"]
    row = lines[1 + 2 * n_ops]
    assert len(row) == 6 * 4 + 6 + 2 + 2 + 3 + 16
    (merged,), told = export(*scaled, Params(format="sca", sca={"merged": True}), tmp_path)
    assert (unmerged.name, merged.name) == ("scaled_unmerged.sca", "scaled.sca")
    assert len(merged.read_text().splitlines()) == 3 + told["n_unique"]
    if shutil.which("iotbx.reflection_file_reader"):
        done = subprocess.run(["iotbx.reflection_file_reader", str(merged), str(unmerged)], capture_output=True,
                              text=True, timeout=120)  # fmt: skip
        assert "scalepack_merge" in done.stdout
        assert "scalepack_no_merge_original_index" in done.stdout


def test_points_are_those_of_dials(data_dir, dials, tmp_path):
    image = data_dir / "reflections" / "l_cysteine_4_sweeps_scaled"
    experiments, reflections = read_expt(image / "scaled_30.expt"), read_refl(image / "scaled_30.refl")
    one = ExperimentList([experiments[0]])
    table = reflections.select(reflections["id"] == 0)
    from mxdask.io.expt import write_expt
    from mxdask.io.refl import write_refl

    table.identifiers = {0: one[0].identifier}
    write_expt(tmp_path / "one.expt", one)
    write_refl(tmp_path / "one.refl", table)
    dials("export", "one.expt", "one.refl", "format=json", cwd=tmp_path)
    theirs = json.loads((tmp_path / "rlp.json").read_text())
    ours = reciprocal_points(one, table, 6)
    np.testing.assert_allclose(ours["rlp"], theirs["rlp"], atol=2e-6)
    assert ours["imageset_id"] == theirs["imageset_id"]


def test_orientation_in_batches_is_busing_and_levys(scaled):
    """U·B of the header is the orientation whatever the cell; B of the PDB would do for right angles only."""
    cell = np.array([50.0, 60.0, 70.0, 80.0, 95.0, 110.0])
    B = busing_levy(cell)
    np.testing.assert_allclose(B[[1, 2, 2], [0, 0, 1]], 0, atol=1e-15)
    assert B[2, 2] == pytest.approx(1 / 70.0)
    pdb = b_matrix(cell)
    np.testing.assert_allclose(B.T @ B, pdb.T @ pdb, atol=1e-12)
    experiment = scaled[0][0]
    tilted = experiment.evolve(crystal=Crystal.from_A(B), scan=replace(experiment.scan, image_range=(1, 1)))
    batch = experiment_batches(tilted, 0, 1)[0]
    np.testing.assert_allclose(batch.orientation @ batch.orientation.T, np.eye(3), atol=1e-9)


def test_what_cannot_be_exported_is_said(scaled, tmp_path):
    experiments, reflections = scaled
    other = replace(experiments[0].beam, wavelength=1.5)
    two = ExperimentList([experiments[0], experiments[0].evolve(beam=other, identifier="other")])
    with pytest.raises(MxdaskError, match="wavelengths"):
        export(two, reflections, Params(format="shelx"), tmp_path)
    with pytest.raises(MxdaskError, match="no reflections to export"):
        export(experiments, None, Params(), tmp_path)
    bare = ExperimentList([e.evolve(detector=None) for e in experiments])
    with pytest.raises(MxdaskError, match="no detector"):
        export(bare, reflections, Params(format="xds_ascii"), tmp_path)
