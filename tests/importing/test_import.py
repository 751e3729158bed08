"""Importing images: geometry as DIALS has it, sweeps cut and shared rightly, faults reported sweep by sweep."""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from nxmx_writer import write_data, write_master

from mxdask.errors import FileError, MxdaskError, ParameterError
from mxdask.flow import Flow
from mxdask.importing.params import Params
from mxdask.importing.step import run
from mxdask.io.expt import read_expt, write_expt
from mxdask.io.expt_models import scan_to_dict
from mxdask.models import Experiment
from mxdask.models.attenuation import attenuation_coefficient
from mxdask.params import parse

SHAPE = (20, 30)


@pytest.fixture
def flow() -> Iterator[Flow]:
    with Flow("sync") as flow:
        yield flow


@pytest.fixture
def master(tmp_path: Path) -> Path:
    write_data(tmp_path / "d.h5", np.zeros((6, *SHAPE), "uint16"))
    return write_master(tmp_path / "m.nxs", [("d.h5", 6)], SHAPE, "uint16")


def params(*words: object) -> Params:
    found = parse(Params, [str(w) for w in words])
    assert isinstance(found, Params)
    return found


def assert_same_geometry(ours: Experiment, theirs: Experiment) -> None:
    """Models equal to 1e-9; trusted ranges apart, whose meaning changed between versions of DIALS."""

    def near(a: object, b: object) -> None:
        np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), rtol=1e-9, atol=1e-9)

    for name in ("wavelength", "direction", "polarization_normal", "polarization_fraction", "flux"):
        near(getattr(ours.beam, name), getattr(theirs.beam, name))
    assert ours.detector is not None
    assert theirs.detector is not None
    assert len(ours.detector) == len(theirs.detector)
    for p, q in zip(ours.detector.panels, theirs.detector.panels, strict=True):
        for name in ("fast_axis", "slow_axis", "origin", "pixel_size", "thickness", "mu", "gain"):
            near(getattr(p, name), getattr(q, name))
        for name in ("image_size", "material", "name", "type", "identifier", "untrusted", "px_mm_strategy"):
            assert getattr(p, name) == getattr(q, name), name
    for name in ("rotation_axis", "fixed_rotation", "setting_rotation"):
        near(getattr(ours.goniometer, name), getattr(theirs.goniometer, name))
    assert ours.goniometer is not None
    assert theirs.goniometer is not None
    assert ours.goniometer.names == theirs.goniometer.names
    assert ours.scan is not None
    assert theirs.scan is not None
    assert ours.scan.image_range == theirs.scan.image_range
    for name in ("oscillation", "exposure_times", "epochs"):
        near(getattr(ours.scan, name), getattr(theirs.scan, name))
    assert ours.imageset is not None
    assert theirs.imageset is not None
    assert ours.imageset.template == theirs.imageset.template
    assert ours.imageset.single_file_indices == theirs.imageset.single_file_indices


@pytest.mark.dials
@pytest.mark.parametrize(
    "pattern",
    ["ins6_1m/ins6_1m_c0[12].nxs", "lyso40_1m/*.nxs", "l_cysteine/*_0000[1-3].cbf.gz", "formats/*.cbf.gz"],
)
def test_geometry_is_that_of_dials(
    data_dir: Path, dials: Callable[..., str], tmp_path: Path, flow: Flow, pattern: str
) -> None:
    files = sorted(data_dir.glob(pattern))
    dials("import", *files, "allow_multiple_sequences=True", cwd=tmp_path)
    theirs = read_expt(tmp_path / "imported.expt")
    experiments, summary = run(files, Params(), flow=flow)
    assert summary["n_failed"] == 0
    assert len(experiments) == len(theirs)
    by_template = {e.imageset.template: e for e in theirs if e.imageset}
    for experiment in experiments:
        assert experiment.imageset is not None
        assert_same_geometry(experiment, by_template[experiment.imageset.template])
    write_expt(tmp_path / "ours.expt", experiments)
    assert dials("show", "ours.expt", cwd=tmp_path).count("Experiment identifier") == len(experiments)


def test_l_cysteine_models_are_shared(data_dir: Path, flow: Flow) -> None:
    experiments, summary = run(sorted((data_dir / "l_cysteine").glob("*.gz")), Params(), flow=flow)
    assert len(experiments) == 4
    counts = {kind: len(experiments.unique(kind)) for kind in ("beam", "detector", "goniometer", "scan")}
    assert counts == {"beam": 1, "detector": 2, "goniometer": 4, "scan": 4}
    assert [e.scan.image_range for e in experiments if e.scan] == [(1, 15)] * 4
    assert summary["n_images"] == 60
    assert any("GON_PHI=120" in line for line in summary["differences"])
    assert len(set(experiments.identifiers)) == 4


def test_order_of_files_does_not_matter_within_a_sweep(data_dir: Path, flow: Flow) -> None:
    files = sorted((data_dir / "l_cysteine").glob("l-cyst_01*.gz"))
    shuffled = [files[k] for k in np.random.default_rng(0).permutation(len(files))]
    one, other = (run(f, Params(), flow=flow)[0] for f in (files, shuffled))
    assert len(one) == len(other) == 1
    assert one[0].imageset.template == other[0].imageset.template
    assert scan_to_dict(one[0].scan) == scan_to_dict(other[0].scan)
    assert list(one[0].scan.epochs) == sorted(set(one[0].scan.epochs))


def test_gap_in_image_numbers_makes_two_sweeps(data_dir: Path, flow: Flow) -> None:
    files = [f for f in sorted((data_dir / "l_cysteine").glob("l-cyst_01*.gz")) if "_00007" not in f.name]
    experiments, _ = run(files, Params(), flow=flow)
    assert [e.scan.image_range for e in experiments if e.scan] == [(1, 6), (8, 15)]
    assert experiments[0].detector is experiments[1].detector


def test_plain_and_bz2_images(data_dir: Path, tmp_path: Path, flow: Flow) -> None:
    import bz2

    content = gzip.decompress((data_dir / "l_cysteine" / "l-cyst_01_00001.cbf.gz").read_bytes())
    (tmp_path / "a_1.cbf").write_bytes(content)
    (tmp_path / "b_1.cbf.bz2").write_bytes(bz2.compress(content))
    experiments, _ = run([tmp_path / "a_1.cbf", tmp_path / "b_1.cbf.bz2"], Params(), flow=flow)
    assert experiments[0].detector is experiments[1].detector


def test_bad_files_are_rows_and_the_others_go_on(data_dir: Path, tmp_path: Path, master: Path, flow: Flow) -> None:
    (tmp_path / "empty.cbf").touch()
    (tmp_path / "broken_1.cbf").write_bytes(b"###CBF: nothing in here")
    files = [
        data_dir / "formats" / "Therm_6_2.nxs", data_dir / "formats" / "dectris_eiger_master.h5",
        tmp_path / "absent.cbf", tmp_path / "empty.cbf", tmp_path / "broken_1.cbf", tmp_path / "d.h5", master,
    ]  # fmt: skip
    experiments, summary = run(files, Params(), flow=flow)
    assert len(experiments) == 1
    reasons = {Path(r["template"]).name: r["reason"] for r in summary["rows"] if r["status"] == "failed"}
    assert "Therm_6_2_000001.h5 is missing" in reasons["Therm_6_2.nxs"]
    assert "dectris_eiger_data_000001.h5 is missing" in reasons["dectris_eiger_master.h5"]
    assert re.search("empty", reasons["empty.cbf"])
    assert set(reasons) == {f.name for f in files} - {"m.nxs"}


def test_nothing_left_is_an_error(tmp_path: Path, flow: Flow) -> None:
    with pytest.raises(MxdaskError, match="nothing could be imported"):
        run([tmp_path / "absent.nxs"], Params(), flow=flow)
    with pytest.raises(FileError, match="no images given"):
        run([], Params(), flow=flow)


def test_masters_without_data_on_request(data_dir: Path, flow: Flow) -> None:
    files = [data_dir / "formats" / name for name in ("Therm_6_2.nxs", "dectris_eiger_master.h5")]
    experiments, _ = run(files, params("check_images=False"), flow=flow)
    first, second = experiments
    assert first.goniometer is not None
    assert first.goniometer.names == ("phi", "chi", "omega")
    assert first.detector is not None
    assert second.detector is not None
    assert first.detector[0].image_size == (4148, 4362)
    np.testing.assert_allclose(first.detector[0].origin, (-166.20416030999735, 172.53078501707142, -213.9589697850523))
    np.testing.assert_allclose(second.detector[0].origin, (-120.556, 118.982, -134.255), atol=1e-3)


# ---- parameters ----------------------------------------------------------------------------------------------------


def test_image_range_keeps_absolute_frames(master: Path, flow: Flow) -> None:
    ((experiment,), _) = run([master], params("image_range=3,5"), flow=flow)
    assert experiment.scan is not None
    assert experiment.imageset is not None
    assert experiment.scan.array_range == (2, 5)
    assert experiment.scan.oscillation == pytest.approx((11.0, 0.5))
    assert experiment.imageset.single_file_indices == (2, 3, 4)
    with pytest.raises(MxdaskError, match="not inside"):
        run([master], params("image_range=3,50"), flow=flow)


def test_template_and_directory(data_dir: Path, tmp_path: Path, flow: Flow) -> None:
    for k in (9, 10):
        shutil.copy(data_dir / "l_cysteine" / f"l-cyst_01_{k:05d}.cbf.gz", tmp_path)
    for words in ([f"template={tmp_path}/l-cyst_01_#####.cbf.gz"], [f"directory={tmp_path}"]):
        ((experiment,), _) = run([], params(*words), flow=flow)
        assert experiment.scan is not None
        assert experiment.scan.image_range == (9, 10)
    with pytest.raises(FileError, match="template"):
        run([], params(f"template={tmp_path}/y_###.cbf"), flow=flow)


def test_distance_and_beam_centre(master: Path, flow: Flow) -> None:
    ((plain,), _) = run([master], Params(), flow=flow)
    ((moved,), summary) = run([master], params("distance=150", "fast_slow_beam_centre=12.5,7"), flow=flow)
    assert plain.detector is not None
    assert moved.detector is not None
    panel = moved.detector[0]
    assert panel.distance == pytest.approx(150)
    assert summary["rows"][0]["beam_centre"] == pytest.approx([12.5, 7])
    np.testing.assert_allclose(panel.fast_axis, plain.detector[0].fast_axis)
    ((swapped,), _) = run([master], params("distance=150", "slow_fast_beam_centre=7,12.5"), flow=flow)
    ((mosflm,), _) = run([master], params("distance=150", f"mosflm_beam_centre={7 * 0.075},{12.5 * 0.075}"), flow=flow)
    for other in (swapped, mosflm):
        np.testing.assert_allclose(other.detector[0].origin, panel.origin)  # type: ignore[index]
    with pytest.raises(ParameterError, match="only one"):
        params("slow_fast_beam_centre=1,2", "fast_slow_beam_centre=1,2")


def test_beam_centre_of_a_swung_detector(data_dir: Path, flow: Flow) -> None:
    file = data_dir / "l_cysteine" / "l-cyst_01_00001.cbf.gz"
    _, summary = run([file], params("fast_slow_beam_centre=200,860"), flow=flow)
    assert summary["rows"][0]["beam_centre"] == pytest.approx([200, 860])
    assert summary["rows"][0]["distance"] == pytest.approx(160)


def test_wavelength_and_material_change_the_attenuation(master: Path, flow: Flow) -> None:
    for words, expected in (
        (["wavelength=0.6199"], 1.0400134815125643), (["material=CdTe"], 48.11463840098675),
        (["material=CdTe", "wavelength=0.6199"], 13.291587507499873),
    ):  # fmt: skip
        ((experiment,), _) = run([master], params(*words), flow=flow)
        assert experiment.detector is not None
        assert experiment.detector[0].mu == pytest.approx(expected, rel=1e-12)


def test_rotation_axis(master: Path, data_dir: Path, flow: Flow) -> None:
    ((inverted,), _) = run([master], params("invert_rotation_axis=True"), flow=flow)
    ((given,), _) = run([master], params("goniometer.axis=0,2,0"), flow=flow)
    assert inverted.goniometer is not None
    assert given.goniometer is not None
    np.testing.assert_allclose(inverted.goniometer.rotation_axis, (-1, 0, 0))
    np.testing.assert_allclose(given.goniometer.rotation_axis, (0, 1, 0))
    kappa = data_dir / "l_cysteine" / "l-cyst_01_00001.cbf.gz"
    ((multi,), _) = run([kappa], params("invert_rotation_axis=True"), flow=flow)
    assert multi.goniometer is not None
    assert multi.goniometer.axes is not None  # the change must be in what is written
    np.testing.assert_allclose(multi.goniometer.axes[1], (-1, 0, 0))
    with pytest.raises(ParameterError, match="axes"):
        run([kappa], params("goniometer.axis=0,1,0"), flow=flow)
    ((new,), _) = run([kappa], params("goniometer.axes=1,0,0,0,1,0", "scan_axis=1", "angles=5,6"), flow=flow)
    assert new.goniometer is not None
    assert new.goniometer.names == ("GON_PHI", "GON_OMEGA")


def test_reference_geometry(master: Path, tmp_path: Path, data_dir: Path, flow: Flow) -> None:
    reference, _ = run([master], params("distance=123.4", "wavelength=0.9"), flow=flow)
    write_expt(tmp_path / "ref.expt", reference)
    ((both,), _) = run([master], params(f"reference_geometry={tmp_path}/ref.expt", "wavelength=1.1"), flow=flow)
    assert both.beam is not None
    assert both.detector is not None
    assert both.beam.wavelength == 1.1  # values by hand come last
    assert both.detector[0].distance == pytest.approx(123.4)
    words = [f"reference_geometry={tmp_path}/ref.expt", "use_detector_reference=False"]
    ((beam_only,), _) = run([master], params(*words), flow=flow)
    assert beam_only.detector is not None
    assert beam_only.detector[0].distance == pytest.approx(100)
    with pytest.raises(ParameterError, match="same detector"):
        run([data_dir / "l_cysteine" / "l-cyst_01_00001.cbf.gz"], params(words[0]), flow=flow)


def test_lookup_mask_is_checked(master: Path, tmp_path: Path, flow: Flow) -> None:
    from mxdask.io.mask import write_mask

    write_mask(tmp_path / "good.npz", [np.ones(SHAPE, bool)])
    write_mask(tmp_path / "bad.npz", [np.ones((3, 3), bool)])
    ((experiment,), _) = run([master], params(f"lookup.mask={tmp_path}/good.npz"), flow=flow)
    assert experiment.imageset is not None
    assert experiment.imageset.mask == str(tmp_path / "good.npz")
    with pytest.raises(MxdaskError, match=r"bad\.npz.*\(3, 3\).*\(20, 30\)"):
        run([master], params(f"lookup.mask={tmp_path}/bad.npz"), flow=flow)
    with pytest.raises(FileError, match="no such file"):
        run([master], params("lookup.mask=absent.npz"), flow=flow)


def test_workers_make_no_difference(data_dir: Path) -> None:
    files = sorted((data_dir / "ins6_1m").glob("*.nxs")) + sorted((data_dir / "l_cysteine").glob("*_0[1-4]_*.gz"))
    results = []
    for scheduler in ("sync", "threads"):
        with Flow(scheduler, n_workers=2) as flow:
            _, summary = run(files, Params(), flow=flow)
        results.append([{k: v for k, v in row.items() if k != "identifier"} for row in summary["rows"]])
    assert results[0] == results[1]


# ---- single formats ------------------------------------------------------------------------------------------------


def test_swung_nexus_detector(tmp_path: Path, flow: Flow) -> None:
    """A two-theta arm: the panel at distance 100 mm turned about McStas -X by 30 degrees."""
    write_data(tmp_path / "d.h5", np.zeros((2, *SHAPE), "uint16"))
    master = write_master(tmp_path / "m.nxs", [("d.h5", 2)], SHAPE, "uint16", two_theta=30.0)
    ((experiment,), _) = run([master], Params(), flow=flow)
    assert experiment.detector is not None
    panel = experiment.detector[0]
    s, c = 0.5, np.sqrt(0.75)
    np.testing.assert_allclose(panel.fast_axis, (1, 0, 0), atol=1e-12)
    np.testing.assert_allclose(panel.slow_axis, (0, -c, -s), atol=1e-12)
    np.testing.assert_allclose(panel.origin, (-3, 2 * c + 100 * s, 2 * s - 100 * c), atol=1e-9)


def test_backward_scan_is_forward_about_the_other_axis(tmp_path: Path, flow: Flow) -> None:
    write_data(tmp_path / "d.h5", np.zeros((4, *SHAPE), "uint16"))
    master = write_master(tmp_path / "m.nxs", [("d.h5", 4)], SHAPE, "uint16", start=20.0, width=-0.25)
    ((experiment,), _) = run([master], Params(), flow=flow)
    assert experiment.scan is not None
    assert experiment.goniometer is not None
    assert experiment.scan.oscillation == pytest.approx((-20.0, 0.25))
    np.testing.assert_allclose(experiment.goniometer.rotation_axis, (-1, 0, 0))


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("uint16", {"saturation_value": 45999}, (0, 45999)),
        ("uint16", {"saturation_value": 65535}, (0, 65533)),  # 65535 bad, 65534 saturated
        ("uint32", {"saturation_value": 2**32 - 1}, (0, 2**32 - 3)),
        ("uint32", {"saturation_value": 70000, "bit_depth_image": 16}, (0, 65533)),
        ("uint16", {"saturation_value": 300, "underload_value": -1}, (-1, 300)),
    ],
)
def test_top_codes_are_never_trusted(
    tmp_path: Path, flow: Flow, dtype: str, values: dict[str, int], expected: tuple[float, float]
) -> None:
    write_data(tmp_path / "d.h5", np.zeros((1, *SHAPE), dtype))
    master = write_master(tmp_path / "m.nxs", [("d.h5", 1)], SHAPE, dtype, **values)
    ((experiment,), _) = run([master], Params(), flow=flow)
    assert experiment.detector is not None
    assert experiment.detector[0].trusted_range == expected


def test_attenuation_coefficients() -> None:
    # NIST's own table points (Si at 10 keV: 33.89 cm²/g), and DIALS' numbers between them.
    assert attenuation_coefficient("Si", 1.2398419843320026) == pytest.approx(33.89 * 2.33 / 10)
    assert attenuation_coefficient("Silicon", 0.6889) == pytest.approx(1.4153536370336604, rel=1e-12)
    assert attenuation_coefficient("CdTe", 0.97625) == pytest.approx(45.11190603251948, rel=1e-12)
    assert attenuation_coefficient("GaAs", 1.5418) == pytest.approx(36.506496225679356, rel=1e-12)
    with pytest.raises(MxdaskError, match="not known"):
        attenuation_coefficient("unobtainium", 1.0)
    with pytest.raises(MxdaskError, match="keV"):
        attenuation_coefficient("Si", 0.0251)
