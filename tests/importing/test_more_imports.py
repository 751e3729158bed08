"""Growing files, modules with an axis of their own, SMV and fabio, wedges, overrides, tables of beamlines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from mutations import mini_cbf
from nxmx_writer import write_data, write_master

from mxdask.errors import MxdaskError, ParameterError
from mxdask.flow import Flow
from mxdask.images import open_stack
from mxdask.importing.params import Params
from mxdask.importing.step import run
from mxdask.io.expt import write_expt
from mxdask.io.mask import write_mask
from mxdask.models import Experiment, ExperimentList
from mxdask.params import parse

SHAPE = (20, 30)
ANGLES = ("0.0", "0.1", "0.2")


def imported(files: list[Path], *words: str) -> tuple[ExperimentList, dict]:  # type: ignore[type-arg]
    params = parse(Params, words)
    assert isinstance(params, Params)
    return run(files, params, flow=Flow("sync"))


def frames(n: int) -> np.ndarray:
    return np.random.default_rng(n).poisson(3, (n, *SHAPE)).astype("uint16")


@pytest.fixture
def master(tmp_path: Path) -> Path:
    write_data(tmp_path / "d.h5", frames(6))
    return write_master(tmp_path / "m.nxs", [("d.h5", 6)], SHAPE, "uint16")


@pytest.fixture
def cbfs(tmp_path: Path) -> list[Path]:
    """Three images that follow each other."""
    header = mini_cbf().split(b"\x0c\x1a\x04\xd5")[0].decode()
    paths = [tmp_path / f"x_{n:03d}.cbf" for n in (1, 2, 3)]
    for path, angle in zip(paths, ANGLES, strict=True):
        path.write_bytes(mini_cbf(header.replace("Start_angle 0.0", f"Start_angle {angle}")))
    return paths


@pytest.mark.parametrize("virtual", [True, False])
def test_a_growing_sweep_is_imported_as_far_as_it_goes(tmp_path: Path, virtual: bool) -> None:
    files = [("a.h5", 4), ("b.h5", 4)]
    master = write_master(tmp_path / "m.nxs", files, SHAPE, "uint16", virtual=virtual)
    with pytest.raises(MxdaskError, match=r"a\.h5 is missing"):
        imported([master])
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", (4, *SHAPE), "uint16", chunks=(1, *SHAPE))
    with pytest.raises(MxdaskError, match="no image was written yet"):
        imported([master])
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["data"][:3] = frames(4)[:3]
    for end in (3, 4):
        (experiment,), summary = imported([master])
        assert experiment.scan is not None
        assert experiment.scan.image_range == (1, end)
        row = summary["rows"][0]
        assert row["status"] == "ok" and row["bad_input"]
        assert f"only images 1-{end} are there" in row["reason"]
        assert "import it again" in row["reason"]
        with h5py.File(tmp_path / "a.h5", "r+") as file:
            file["data"][3] = frames(4)[3]
    write_data(tmp_path / "b.h5", frames(4))
    (experiment,), summary = imported([master])
    assert experiment.scan is not None
    assert experiment.scan.image_range == (1, 8)
    assert summary["rows"][0]["notes"] == [] and "bad_input" not in summary["rows"][0]


@pytest.mark.parametrize("whole", [True, False])
def test_modules_with_an_axis_of_their_own(tmp_path: Path, whole: bool) -> None:
    stack = np.random.default_rng(5).poisson(3, (4, 2, *SHAPE)).astype("uint16")
    chunks = (1, 2, *SHAPE) if whole else (1, 1, *SHAPE)
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.create_dataset("data", data=stack, chunks=chunks, compression="gzip" if not whole else None)
    master = write_master(tmp_path / "m.nxs", [("d.h5", 4)], SHAPE, "uint16", virtual=False)
    mask = np.zeros((2, *SHAPE), "uint32")
    mask[1, 5, 6] = 1
    with h5py.File(master, "r+") as file:
        detector = file["entry/instrument/detector"]
        detector["pixel_mask"] = mask
        file.copy(detector["module"], detector, "module_2")
        for number, name in enumerate(("module", "module_2")):
            module = detector[name]
            del module["data_size"], module["data_origin"]
            module["data_size"], module["data_origin"] = (1, *SHAPE), (number, 0, 0)
            for direction in ("fast", "slow"):
                module[f"{direction}_pixel_direction"].attrs["depends_on"] = f"{module.name}/module_offset"
        detector["module_2/module_offset"].attrs["offset"] = (0.003, -0.002, 0.0)
    (experiment,), _ = imported([master])
    assert experiment.detector is not None
    assert [p.image_size for p in experiment.detector.panels] == [(30, 20), (30, 20)]
    assert experiment.detector[0].origin[1] != experiment.detector[1].origin[1]
    images = open_stack(experiment)
    assert [(~m).sum() for m in images.mask()] == [0, 1]
    assert not images.mask()[1][5, 6]
    with images.reader() as reader:
        for z in range(4):
            assert all(np.array_equal(a, b) for a, b in zip(reader.read(z), stack[z], strict=True))


def smv(path: Path, image: np.ndarray, **changes: object) -> Path:
    values = {
        "HEADER_BYTES": 512, "DIM": 2, "BYTE_ORDER": "big_endian", "TYPE": "unsigned_short", "SIZE1": image.shape[1],
        "SIZE2": image.shape[0], "PIXEL_SIZE": 0.1, "DISTANCE": 120.0, "OSC_START": 5.0, "OSC_RANGE": 0.5, "TIME": 2.0,
        "WAVELENGTH": 0.98, "BEAM_CENTER_X": 1.1, "BEAM_CENTER_Y": 1.6,
    } | changes  # fmt: skip
    header = "{\n" + "".join(f"{k}={v};\n" for k, v in values.items()) + "}\n"
    path.write_bytes(header.encode().ljust(512) + image.astype(">u2").tobytes())
    return path


def test_smv_images_are_a_sweep(tmp_path: Path) -> None:
    images = frames(3)
    files = [smv(tmp_path / f"a_{k + 1:03d}.img", images[k], OSC_START=5 + 0.5 * k) for k in range(3)]
    (experiment,), _ = imported(files)
    assert experiment.scan is not None
    assert experiment.detector is not None
    assert experiment.scan.image_range == (1, 3)
    assert experiment.scan.oscillation == (5.0, 0.5)
    np.testing.assert_allclose(experiment.detector[0].origin, (-1.6, 1.1, -120.0))  # MOSFLM's x is along slow
    with open_stack(experiment).reader() as reader:
        assert all(np.array_equal(reader.read(z)[0], images[z]) for z in range(3))
    backwards = smv(tmp_path / "b_001.img", images[0], OSC_RANGE=-0.5)
    (other,), _ = imported([backwards])
    assert other.goniometer is not None
    assert other.scan is not None
    np.testing.assert_allclose(other.goniometer.rotation_axis, (-1, 0, 0))
    assert other.scan.oscillation == (-5.0, 0.5)


def test_formats_of_fabio_need_the_geometry_by_hand(tmp_path: Path) -> None:
    fabio = pytest.importorskip("fabio")
    files = []
    for k, image in enumerate(frames(2)):
        files.append(tmp_path / f"e_{k + 1:04d}.edf")
        fabio.edfimage.EdfImage(data=image).write(str(files[-1]))
    with pytest.raises(MxdaskError, match=r"says nothing of wavelength.*geometry\.beam\.wavelength="):
        imported(files)
    (experiment,), summary = imported(
        files, "wavelength=1.1", "distance=90", "panel.pixel_size=0.1,0.1", "fast_slow_beam_centre=15,10",
        "oscillation=3,0.2",
    )  # fmt: skip
    assert experiment.scan is not None
    assert experiment.detector is not None
    assert experiment.scan.image_range == (1, 2)
    assert experiment.scan.oscillation == (3.0, 0.2)
    np.testing.assert_allclose(experiment.detector[0].origin, (-1.5, 1.0, -90.0))
    assert "given beam_centre, distance, oscillation, pixel_size, wavelength" in summary["rows"][0]["notes"][0]
    with open_stack(experiment).reader() as reader:
        assert np.array_equal(reader.read(1)[0], frames(2)[1])


def test_sweeps_are_cut_into_wedges(master: Path) -> None:
    experiments, _ = imported([master], "split=4")
    assert [e.scan.image_range for e in experiments if e.scan] == [(1, 4), (5, 6)]
    experiments, _ = imported([master], "split=2,6,2")
    assert [e.scan.image_range for e in experiments if e.scan] == [(2, 3), (4, 5), (6, 6)]
    assert [e.scan.oscillation for e in experiments if e.scan] == [(10.5, 0.5), (11.5, 0.5), (12.5, 0.5)]
    assert len({id(e.detector) for e in experiments}) == 1
    with open_stack(experiments[2]).reader() as reader:
        assert np.array_equal(reader.read(5)[0], frames(6)[5])
    with pytest.raises(ParameterError, match="split takes"):
        imported([master], "split=1,2")


def test_several_sweeps_can_be_refused_with_what_differs(tmp_path: Path, master: Path) -> None:
    write_data(tmp_path / "e.h5", frames(6))
    other = write_master(tmp_path / "n.nxs", [("e.h5", 6)], SHAPE, "uint16", width=0.25)
    with pytest.raises(MxdaskError, match=r"2 sweeps were found.*image width 0\.25°, m has 0\.5°"):
        imported([master, other], "allow_multiple_sequences=False")


@pytest.mark.parametrize(
    "word", ["distance=nan", "wavelength=inf", "panel.origin=0,nan,0", "goniometer.axis=nan,0,0", "oscillation=0,nan",
             "panel.pixel_size=nan,1", "goniometer.setting_rotation=1,0,0,0,1,0,0,0,2"]
)  # fmt: skip
def test_values_that_are_no_numbers_are_refused(master: Path, word: str) -> None:
    with pytest.raises(ParameterError):
        imported([master], word)


def test_the_whole_detector_and_single_panels_are_moved(master: Path) -> None:
    (plain,), _ = imported([master])
    (moved,), _ = imported([master], "hierarchy.origin=1,2,3")
    (turned,), _ = imported([master], "hierarchy.fast_axis=0,1,0", "hierarchy.slow_axis=-1,0,0")
    (one,), _ = imported([master], "panel.id=0", "panel.origin=-5,5,-70", "panel.gain=2")
    before, after, rotated, placed = (e.detector[0] for e in (plain, moved, turned, one) if e.detector)
    np.testing.assert_allclose(after.origin - before.origin, (1, 2, 3))
    np.testing.assert_allclose(rotated.fast_axis, np.cross((0, 0, 1), before.fast_axis), atol=1e-12)
    np.testing.assert_allclose(placed.origin, (-5, 5, -70))
    assert placed.gain == 2.0
    np.testing.assert_allclose(placed.fast_axis, before.fast_axis)
    with pytest.raises(ParameterError, match=r"panel\.id=1: the detector has 1 panels"):
        imported([master], "panel.id=1", "panel.gain=2")


def test_a_reference_of_another_detector_is_refused(tmp_path: Path, master: Path) -> None:
    (experiment,), _ = imported([master], "panel.material=GaAs")
    write_expt(tmp_path / "reference.expt", ExperimentList([experiment]))
    words = f"reference_geometry={tmp_path / 'reference.expt'}"
    with pytest.raises(ParameterError, match=r"sensor material 1 × GaAs.*has 1 × Si"):
        imported([master], words)
    (taken,), _ = imported([master], words, "check_reference_geometry=False")
    assert taken.detector is not None
    assert taken.detector[0].material == "GaAs"


@pytest.mark.parametrize("form", ["toml", "json"])
def test_a_table_of_beamlines(tmp_path: Path, cbfs: list[Path], form: str) -> None:
    good = np.ones(SHAPE, bool)
    good[3:5] = False
    write_mask(tmp_path / "stop.npz", [good])
    entry = {"name": "P99", "axis": [0, 2, 0], "mask": "stop.npz", "trusted_range": [0, 500]}
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in entry.items())
    text = f'[detector."1-0001"]\n{lines}' if form == "toml" else json.dumps({"detector": {"1-0001": entry}})
    table = tmp_path / f"table.{form}"
    table.write_text(text)
    (experiment,), summary = imported(cbfs, f"beamlines={table}")
    assert experiment.goniometer is not None
    assert experiment.detector is not None
    np.testing.assert_allclose(experiment.goniometer.rotation_axis, (0, 1, 0))
    assert experiment.detector[0].trusted_range == (0.0, 500.0)
    assert np.array_equal(open_stack(experiment).mask()[0], good)
    assert "P99" in summary["rows"][0]["notes"][0]
    (plain,), _ = imported(cbfs)
    assert plain.goniometer is not None
    np.testing.assert_allclose(plain.goniometer.rotation_axis, (1, 0, 0))
    table.write_text(text.replace("trusted_range", "trusted_rage"))
    with pytest.raises(MxdaskError, match=r"table\.(toml|json): detector 1-0001: trusted_rage"):
        imported(cbfs, f"beamlines={table}")


@pytest.mark.dials
def test_dials_reads_stills(cbfs: list[Path], dials: Callable[..., str], tmp_path: Path) -> None:
    experiments, summary = imported(cbfs, "convert_sequences_to_stills=True")
    assert summary["n_stills"] == 1
    assert summary["n_images"] == 3
    write_expt(tmp_path / "stills.expt", experiments)
    shown = dials("show", "stills.expt", cwd=tmp_path)
    assert "Experiment identifier" in shown
    (experiment,) = experiments
    assert experiment.scan is not None
    assert experiment.scan.is_still


def test_angles_by_hand_make_one_sweep_of_headers_without(cbfs: list[Path]) -> None:
    for path in cbfs:
        path.write_bytes(mini_cbf().replace(b"Angle_increment 0.1", b"Angle_increment 0.0"))
    (experiment,), _ = imported(cbfs, "oscillation=20,0.3")
    assert isinstance(experiment, Experiment)
    assert experiment.scan is not None
    assert experiment.scan.image_range == (1, 3)
    assert experiment.scan.oscillation == (20.0, 0.3)
