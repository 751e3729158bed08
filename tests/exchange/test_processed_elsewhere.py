"""Reflections of other programs: what we export comes back, what DIALS exports is read, bad files say why."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from mxdask.cli import main
from mxdask.errors import FileError
from mxdask.exchange.files import read_processed
from mxdask.exchange.plane import fitted_panel
from mxdask.exchange.unmerged_mtz import read_unmerged_mtz
from mxdask.exchange.xds import read_xds
from mxdask.intensity.observations import corrected
from mxdask.io.expt import read_expt
from mxdask.io.refl import read_refl
from mxdask.io.xds_ascii import read_xds_hkl
from mxdask.io.xparm import read_xparm
from mxdask.merge.export_files import export
from mxdask.merge.export_params import Params
from mxdask.models import Beam, Crystal, Detector, Experiment, ExperimentList, Goniometer, Panel, Scan
from mxdask.models.goniometer import rotation_matrix
from mxdask.table import Flag, ReflectionTable

CELL = (40.0, 55.0, 70.0, 90.0, 100.0, 90.0)


def made_up(name: str = "one", first: int = 3) -> tuple[Experiment, ReflectionTable]:
    """A monoclinic crystal on an inclined goniometer, 60 images, predicted reflections with random intensities."""
    from mxdask.geometry.predict import predict_given
    from mxdask.models.crystal import b_matrix

    U = rotation_matrix((1.0, 0.3, -0.2), 0.7)
    goniometer = Goniometer.multi_axis(
        [(1.0, 0.0, 0.0), (0.2, 1.0, 0.1), (1.0, 0.01, 0.0)], [12.0, 25.0, 5.0], ("phi", "chi", "omega"), 2
    )
    panel = Panel(
        np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), np.array([-75.0, 80.0, -150.0]), (1000, 1000), (0.15, 0.15)
    )
    n = 60
    experiment = Experiment(
        name, None, Beam(np.array([0.0, 0.0, 1.0]), 0.97), Detector((panel,)), goniometer,
        Scan((first, first + n - 1), (10.0, 0.5), (0.1,) * n, (0.0,) * n), Crystal.from_A(U @ b_matrix(CELL), " P 2y"),
    )  # fmt: skip
    rng = np.random.default_rng(5)
    hkl = gemmi.make_miller_array(gemmi.UnitCell(*CELL), gemmi.SpaceGroup("P 1"), 3.0, 50.0, True)
    hkl = np.concatenate([hkl, -hkl])
    entering = rng.random(len(hkl)) < 0.5
    found = predict_given(
        experiment, hkl, entering, np.zeros(len(hkl), dtype=np.int64), np.full(len(hkl), np.deg2rad(25.0))
    )
    z = found.xyz_px[:, 2]
    inside = found.possible & (z >= first - 1) & (z < first - 1 + n)
    inside &= np.all((found.xyz_px[:, :2] > 0) & (found.xyz_px[:, :2] < 1000), axis=1)
    rows = np.flatnonzero(inside)
    m = len(rows)
    assert m > 300
    table = ReflectionTable(identifiers={0: name})
    table["id"], table["panel"] = np.zeros(m), np.zeros(m)
    table["flags"] = np.full(m, int(Flag.INTEGRATED | Flag.PREDICTED), dtype=np.uint64)
    table["miller_index"], table["entering"], table["s1"] = hkl[rows], entering[rows], found.s1[rows]
    table["xyzcal.px"] = table["xyzobs.px.value"] = found.xyz_px[rows]
    table["xyzcal.mm"] = found.xyz_mm[rows]
    intensity = rng.exponential(500.0, m)
    for kind in ("prf", "sum"):
        table[f"intensity.{kind}.value"], table[f"intensity.{kind}.variance"] = intensity, intensity + 30.0
    table["lp"], table["qe"] = rng.uniform(0.3, 0.9, m), np.full(m, 0.95)
    table["partiality"], table["partial_id"] = np.ones(m), np.arange(m)
    table["d"] = gemmi.UnitCell(*CELL).calculate_d_array(table["miller_index"])
    return experiment, table


def by_index(table: ReflectionTable) -> dict[tuple[int, ...], int]:
    z = np.floor(table["xyzobs.px.value"][:, 2]).astype(int)
    return {(*h, k): i for i, (h, k) in enumerate(zip(table["miller_index"].tolist(), z.tolist(), strict=True))}


def same_rows(a: ReflectionTable, b: ReflectionTable) -> tuple[np.ndarray, np.ndarray]:
    left, right = by_index(a), by_index(b)
    both = sorted(left.keys() & right.keys())
    assert len(both) > 0.98 * len(a)
    return np.array([left[k] for k in both]), np.array([right[k] for k in both])


def assert_same_observations(found: ReflectionTable, experiment: Experiment, truth: ReflectionTable, original):
    i, j = same_rows(found, truth)
    for a, b in zip(corrected(found, "prf"), corrected(truth, "prf"), strict=True):
        np.testing.assert_allclose(a[i], b[j], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["d"][i], truth["d"][j], rtol=2e-3)
    # Directions: laboratories differ by a rotation, so angles to beam and spindle are compared.
    for mine, theirs in (
        (experiment.beam.s0, original.beam.s0),
        (experiment.goniometer.lab_axis, original.goniometer.lab_axis),
    ):
        np.testing.assert_allclose(
            found["s1"][i] @ mine / np.linalg.norm(mine), truth["s1"][j] @ theirs / np.linalg.norm(theirs), atol=2e-3
        )
    assert np.mean(found["entering"][i] == truth["entering"][j]) > 0.99


def test_xds_ascii_round_trip(tmp_path):
    experiment, table = made_up()
    (path,), _ = export(ExperimentList([experiment]), table, Params(format="xds_ascii"), tmp_path)
    assert path.name == "DIALS.HKL"
    found, read = read_xds(path)
    assert len(read) == len(table)
    assert found.scan.image_range == (3, 62)
    assert found.scan.oscillation == pytest.approx((10.0, 0.5))
    np.testing.assert_allclose(found.crystal.cell, CELL, rtol=1e-3)
    assert found.crystal.space_group.number == 3
    np.testing.assert_allclose(found.beam.direction, (0, 0, 1), atol=1e-6)
    assert_same_observations(read, found, table, experiment)
    assert gemmi.read_xds_ascii(str(path)).iobs_array.shape == (len(table),)


def test_unmerged_mtz_round_trip(tmp_path):
    parts = [made_up("one", 3), made_up("two", 3)]
    parts[1][1]["id"] = np.ones(len(parts[1][1]))
    parts[1][1].identifiers = {1: "two"}
    (path,), told = export(
        ExperimentList([e for e, _ in parts]), ReflectionTable.concat([t for _, t in parts]), Params(), tmp_path
    )
    assert path.name == "integrated.mtz"
    sweeps = read_unmerged_mtz(path)
    assert len(sweeps) == 2
    for (found, read), (experiment, table), offset in zip(sweeps, parts, told["batch_offsets"], strict=True):
        assert found.scan.image_range == (3 + offset, 62 + offset)
        np.testing.assert_allclose(found.crystal.cell, CELL, rtol=1e-4)
        read["xyzobs.px.value"] = read["xyzobs.px.value"] - [0, 0, offset]
        assert_same_observations(read, found, table, experiment)
        panel = found.detector[0]
        assert panel.distance == pytest.approx(150.0, rel=1e-4)
        assert panel.pixel_size == pytest.approx((0.15, 0.15), rel=0.01)


def test_pieces_of_mosflm_are_added(tmp_path):
    experiment, table = made_up()
    (path,), _ = export(ExperimentList([experiment]), table, Params(), tmp_path)
    mtz = gemmi.read_mtz_file(str(path))
    data = np.array(mtz.array)
    label = mtz.column_labels().index
    # Cut the first reflection into 30 % and 70 % on two batches.
    row = int(np.flatnonzero(data[:, label("BATCH")] < 62)[0])
    a, b = data[row].copy(), data[row].copy()
    for piece, share in ((a, 0.3), (b, 0.7)):
        piece[label("M/ISYM")] += 256
        for name in ("I", "IPR", "FRACTIONCALC"):
            piece[label(name)] *= share
    b[label("BATCH")] += 1
    mtz.set_data(np.concatenate([data[:row], [a, b], data[row + 1 :]]))
    mtz.write_to_file(str(tmp_path / "pieces.mtz"))
    ((_, read),) = read_unmerged_mtz(tmp_path / "pieces.mtz")
    assert len(read) == len(table)
    assert np.sort(read["intensity.prf.value"]) == pytest.approx(np.sort(corrected(table, "prf")[0]), rel=1e-5)


def test_integrate_hkl_with_xparm_beside_it(tmp_path):
    """XDS counts pixels from 1 at the first one's centre; INTEGRATE.HKL of old versions has no axes."""
    experiment, table = made_up(first=1)
    (path,), _ = export(ExperimentList([experiment]), table, Params(format="xds_ascii"), tmp_path)
    ascii_ = read_xds_hkl(path)
    x = {k: " ".join(v.split()) for k, v in ascii_.header.items()}
    orgx, orgy = float(x["ORGX"]) + 0.5, float(x["ORGY"]) + 0.5
    (tmp_path / "XPARM.XDS").write_text(
        f""" XPARM.XDS    VERSION March 30, 2013
 {x["STARTING_FRAME"]} {x["STARTING_ANGLE"]} {x["OSCILLATION_RANGE"]} {x["ROTATION_AXIS"]}
 {x["X-RAY_WAVELENGTH"]} {x["INCIDENT_BEAM_DIRECTION"]}
 {x["SPACE_GROUP_NUMBER"]} {x["UNIT_CELL_CONSTANTS"]}
 {x["UNIT_CELL_A-AXIS"]}
 {x["UNIT_CELL_B-AXIS"]}
 {x["UNIT_CELL_C-AXIS"]}
 1 {x["NX"]} {x["NY"]} {x["QX"]} {x["QY"]}
 {orgx} {orgy} {x["DETECTOR_DISTANCE"]}
 {x["DIRECTION_OF_DETECTOR_X-AXIS"]}
 {x["DIRECTION_OF_DETECTOR_Y-AXIS"]}
 0 0 1
"""
    )
    i = ascii_.items
    lines = ["!OUTPUT_FILE=INTEGRATE.HKL    DATE=21-Oct-2016", "!Generated by INTEGRATE    (VERSION x)",
             "!NAME_TEMPLATE_OF_DATA_FRAMES=img_????.cbf CBF", "!H,K,L,IOBS,SIGMA,XCAL", "!END_OF_HEADER"]  # fmt: skip
    for k in range(len(ascii_)):
        lines.append(
            f"{i['H'][k]:.0f} {i['K'][k]:.0f} {i['L'][k]:.0f} {i['IOBS'][k]:.5E} {i['SIGMA'][k]:.5E} "
            f"{i['XD'][k] + 0.5:.1f} {i['YD'][k] + 0.5:.1f} {i['ZD'][k]:.2f} {i['RLP'][k]:.5f} "
            "100 50 10 0 0 0 0 0 0 0 0 1"
        )
    lines.append("!END_OF_DATA\n")
    (tmp_path / "INTEGRATE.HKL").write_text("\n".join(lines))
    found, read = read_xds(tmp_path / "INTEGRATE.HKL")
    assert found.imageset.template == str(tmp_path / "img_####.cbf")
    assert np.allclose(found.detector[0].origin, read_xds(path)[0].detector[0].origin, atol=0.01)
    assert_same_observations(read, found, table, experiment)
    (tmp_path / "XPARM.XDS").unlink()
    with pytest.raises(FileError, match=r"GXPARM\.XDS beside it"):
        read_xds(tmp_path / "INTEGRATE.HKL")


def test_xparm_of_the_old_kind(tmp_path):
    """The example of XDS' documentation: eleven lines, the detector before the crystal."""
    (tmp_path / "XPARM.XDS").write_text("""     1        0.0000    0.2000  0.999964  0.002010  0.008234
       0.979500      -0.001316       0.001644       1.020927
      2463      2527    0.172000    0.172000
     191.594391    1237.948853    1277.119141
       1.000000       0.000000       0.000000
       0.000000       1.000000       0.000000
       0.000000       0.000000       1.000000
     1     39.7964     42.3646     42.4588  90.152  90.123  89.985
       5.487486     -39.117188      -4.846367
     -35.442802      -7.695671      21.893908
     -22.425758       1.410394     -36.025665
""")
    found = read_xparm(tmp_path / "XPARM.XDS")
    assert found["DETECTOR_DISTANCE"] == "191.594391"
    assert found["ORGX"] == "1237.948853"
    assert found["SPACE_GROUP_NUMBER"] == "1"
    assert found["UNIT_CELL_C-AXIS"] == "-22.425758 1.410394 -36.025665"
    (tmp_path / "XPARM.XDS").write_text("1 2 3\n")
    with pytest.raises(FileError, match="damaged"):
        read_xparm(tmp_path / "XPARM.XDS")


def test_bad_files_say_what_is_wrong(tmp_path):
    experiment, table = made_up()
    (good,), _ = export(ExperimentList([experiment]), table, Params(format="xds_ascii"), tmp_path)
    text = good.read_text()
    bad = tmp_path / "bad.HKL"
    cases = [
        ("", "not a reflection file of XDS"),
        ("some text\n", "not a reflection file of XDS"),
        (text[:500], "header has no end"),
        (text[: len(text) // 2], "truncated"),
        (text.replace("MERGE=FALSE", "MERGE=TRUE"), "merged"),
        (text.split("!END_OF_HEADER")[0] + "!END_OF_HEADER\n!END_OF_DATA\n", "holds no reflections"),
        (text.replace("!END_OF_DATA", "1 2 x\n!END_OF_DATA"), "not what it should be"),
        (text.replace("!UNIT_CELL_A-AXIS=", "!NOTHING="), "no UNIT_CELL_A-AXIS"),
        (text.replace("!ORGX= ", "!ORGX= abc"), "not 1 numbers"),
        (text.replace("!STARTING_ANGLE= 10", "!STARTING_ANGLE= 70"), "do not belong together"),
    ]
    for content, message in cases:
        bad.write_text(content)
        with pytest.raises(FileError, match=message):
            read_xds(bad)
    with pytest.raises(FileError, match="cannot be read"):
        read_xds(tmp_path / "none.HKL")
    (mtz,), _ = export(ExperimentList([experiment]), table, Params(), tmp_path)
    (tmp_path / "cut.mtz").write_bytes(mtz.read_bytes()[:4000])
    (tmp_path / "empty.mtz").write_bytes(b"")
    for name in ("cut.mtz", "empty.mtz", "none.mtz"):
        with pytest.raises(FileError, match=name):
            read_unmerged_mtz(tmp_path / name)
    merged = gemmi.Mtz(with_base=True)
    merged.spacegroup, merged.cell = gemmi.SpaceGroup(1), gemmi.UnitCell(*CELL)
    merged.set_data(np.array([[1, 2, 3]], dtype=np.float32))
    merged.write_to_file(str(tmp_path / "merged.mtz"))
    with pytest.raises(FileError, match="no batches"):
        read_unmerged_mtz(tmp_path / "merged.mtz")


def test_one_bad_file_is_a_row(tmp_path):
    experiment, table = made_up()
    (tmp_path / "xtal1").mkdir()
    (good,), _ = export(ExperimentList([experiment]), table, Params(format="xds_ascii"), tmp_path)
    good.rename(tmp_path / "xtal1" / "XDS_ASCII.HKL")
    (tmp_path / "bad.HKL").write_text("!FORMAT=XDS_ASCII\n")
    found = read_processed([tmp_path / "bad.HKL", tmp_path / "xtal1"], d_min=4.0)
    assert [r["status"] for r in found.rows] == ["failed", "ok"]
    assert found.experiments[0].name.startswith("xtal1")
    assert found.reflections["d"].min() > 4.0
    with pytest.raises(FileError, match="header has no end"):
        read_processed([tmp_path / "bad.HKL"])
    with pytest.raises(FileError, match=r"XDS_ASCII\.HKL"):
        read_processed([tmp_path])


def test_command(tmp_path, capsys):
    experiment, table = made_up()
    (good,), _ = export(ExperimentList([experiment]), table, Params(format="xds_ascii"), tmp_path)
    assert main(["import_xds", str(good), "--output-dir", str(tmp_path / "out")]) == 0
    assert len(read_expt(tmp_path / "out" / "integrated.expt")) == 1
    assert len(read_refl(tmp_path / "out" / "integrated.refl")) == len(table)
    assert main(["import_mtz", str(tmp_path / "none.mtz"), "--output-dir", str(tmp_path / "out")]) == 1
    assert "no such file" in capsys.readouterr().err


def test_plane_is_found_from_directions():
    """Also on an arm: 30° in two theta."""
    turn = rotation_matrix((1.0, 0.0, 0.0), np.deg2rad(30.0))
    panel = Panel(turn @ [1.0, 0, 0], turn @ [0, -1.0, 0], turn @ [-40.0, 45.0, -120.0], (900, 900), (0.1, 0.1))
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 900, (200, 2))
    s1 = panel.lab_coord(panel.pixel_to_mm(xy))
    found = fitted_panel(xy, s1, 120.0, (900, 900))
    assert np.allclose(found.origin, panel.origin)
    assert found.pixel_size == pytest.approx((0.1, 0.1))
    assert np.allclose(found.slow_axis, panel.slow_axis)
    assert fitted_panel(rng.uniform(0, 900, (200, 2)), s1, 120.0, (900, 900)) is None
    assert fitted_panel(xy[:5], s1[:5], 120.0, (900, 900)) is None


def test_dials_files_are_read_and_ours_run_through_dials(data_dir, dials, tmp_path, caplog):
    """XDS_ASCII and MTZ of dials.export give the intensities of the table; what we write, dials.scale scales.

    The crystal sits on a goniometer of several axes, which DIALS leaves out of the axes in XDS_ASCII.
    """
    folder = data_dir / "reflections" / "l_cysteine_4_sweeps_scaled"
    files = folder / "scaled_30.expt", folder / "scaled_30.refl"
    experiments, reflections = read_expt(files[0]), read_refl(files[1])
    dials("export", *files, "format=xds_ascii", "intensity=profile", cwd=tmp_path)
    found = read_processed(sorted(tmp_path.glob("DIALS*.HKL")))
    assert len(found.experiments) == len(experiments)
    assert "directions are left out" in caplog.text
    assert "s1" not in found.reflections
    for row, experiment in enumerate(experiments):
        mine = found.reflections.select(found.reflections["id"] == row)
        theirs = reflections.select((reflections["id"] == row) & reflections.has_flags(Flag.INTEGRATED_PRF))
        theirs["xyzobs.px.value"] = theirs["xyzcal.px"]  # XDS_ASCII holds predicted positions
        np.testing.assert_allclose(found.experiments[row].crystal.cell, experiment.crystal.cell, rtol=2e-3)
        i, j = same_rows(mine, theirs)
        same = np.isclose(corrected(mine, "prf")[0][i], corrected(theirs, "prf")[0][j], rtol=1e-4, atol=1e-4)
        assert same.mean() > 0.998  # the others were cut into pieces, which export joins
    from mxdask.io.expt import write_expt
    from mxdask.io.refl import write_refl

    dials("export", *files, "intensity=profile+sum", cwd=tmp_path)
    found = read_processed(
        [tmp_path / "integrated.mtz" if (tmp_path / "integrated.mtz").exists() else tmp_path / "scaled.mtz"]
    )
    assert "s1" in found.reflections
    write_expt(tmp_path / "in.expt", found.experiments)
    write_refl(tmp_path / "in.refl", found.reflections)
    dials("scale", "in.expt", "in.refl", "output.html=None", cwd=tmp_path)
    assert "intensity.scale.value" in read_refl(tmp_path / "scaled.refl")
