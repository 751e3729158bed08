"""DIALS' files, round and round."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxdask.errors import FileError, MxdaskError
from mxdask.io.experiments import load
from mxdask.io.expt import read_expt, write_expt
from mxdask.io.refl import read_refl, write_refl
from mxdask.models import Beam, Crystal, Detector, Experiment, ExperimentList, Goniometer, ImageSet, Panel, Scan
from mxdask.table import COLUMNS, Flag, ReflectionTable, Shoeboxes, match_to_experiments

ID = "00000000-0000-0000-0000-{:012d}"


def experiment(number: int = 0, **changes: object) -> Experiment:
    panel = Panel([1, 0, 0], [0, -1, 0], [-40, 40, -101.5], (1030, 1065), (0.075, 0.075), (0, 65533), name="p")
    values: dict = dict(
        identifier=ID.format(number),
        imageset=ImageSet("/data/x_####.cbf"),
        beam=Beam([0, 0, 1], 0.6199),
        detector=Detector((panel,)),
        goniometer=Goniometer.single_axis([1, 0, 0]),
        scan=Scan((1, 3), (0.1, 0.1), (0.1, 0.1, 0.1), (0.0, 0.1, 0.2)),
        crystal=Crystal(
            np.diag([50.0, 60, 70]), A_at_scan_points=np.stack([np.eye(3) / 50] * 4), B_covariance=np.eye(9)
        ),
        profile={"__id__": "gaussian_rs", "n_sigma": 3, "sigma_b": 0.02, "sigma_m": 0.1},
        scaling_model={"__id__": "KB", "anything": [1, 2, {"x": None}]},
    )
    return Experiment(**(values | changes))


def test_experiments_survive_writing_and_sharing_too(tmp_path: Path) -> None:
    first = experiment()
    second = first.evolve(identifier=ID.format(1), crystal=Crystal(np.diag([40.0, 60, 70])), scaling_model=None)
    write_expt(tmp_path / "a.expt", ExperimentList([first, second], ["earlier"]), program="test", flags="scaled")
    again = read_expt(tmp_path / "a.expt")
    assert again[0].detector is again[1].detector
    assert again[0].crystal is not again[1].crystal
    assert again[1].scaling_model is None
    assert again[0].scaling_model == first.scaling_model
    assert again.history[0] == "earlier"
    assert again.history[1].endswith("|scaled")
    write_expt(tmp_path / "b.expt", again)
    a, b = (json.loads((tmp_path / n).read_text()) for n in ("a.expt", "b.expt"))
    assert {k: v for k, v in a.items() if k != "history"} == {k: v for k, v in b.items() if k != "history"}


def test_old_and_new_scans_mean_the_same(tmp_path: Path) -> None:
    write_expt(tmp_path / "a.expt", ExperimentList([experiment()]))
    content = json.loads((tmp_path / "a.expt").read_text())
    old, new = json.loads(json.dumps(content)), content
    del old["scan"][0]["properties"]
    for key in ("oscillation", "exposure_time", "epochs"):
        del new["scan"][0][key]
    for name, value in (("old", old), ("new", new)):
        (tmp_path / f"{name}.expt").write_text(json.dumps(value))
        scan = read_expt(tmp_path / f"{name}.expt")[0].scan
        assert scan is not None
        assert scan.oscillation == pytest.approx((0.1, 0.1))
        assert scan.epochs == (0.0, 0.1, 0.2)


def test_trusted_range_of_old_files_is_turned_inclusive(tmp_path: Path) -> None:
    write_expt(tmp_path / "a.expt", ExperimentList([experiment()]))
    content = json.loads((tmp_path / "a.expt").read_text())
    content["detector"][0]["panels"][0]["trusted_range"] = [-1, 388705]
    del content["history"]
    (tmp_path / "old.expt").write_text(json.dumps(content))
    assert read_expt(tmp_path / "old.expt")[0].detector[0].trusted_range == (0, 388704)
    assert read_expt(tmp_path / "old.expt", trusted_range_convention="inclusive")[0].detector[0].trusted_range == (
        -1,
        388705,
    )


def test_hierarchy_is_read_into_global_frames(tmp_path: Path) -> None:
    write_expt(tmp_path / "a.expt", ExperimentList([experiment()]))
    content = json.loads((tmp_path / "a.expt").read_text())
    group = content["detector"][0]["hierarchy"]
    group |= {"fast_axis": [0, 1, 0], "slow_axis": [-1, 0, 0], "origin": [1, 2, 3]}
    (tmp_path / "turned.expt").write_text(json.dumps(content))
    panel = read_expt(tmp_path / "turned.expt")[0].detector[0]
    np.testing.assert_allclose(panel.fast_axis, [0, 1, 0], atol=1e-15)
    np.testing.assert_allclose(panel.origin, [1 - 40, 2 - 40, 3 - 101.5])
    write_expt(tmp_path / "again.expt", read_expt(tmp_path / "turned.expt"))
    again = json.loads((tmp_path / "again.expt").read_text())
    np.testing.assert_allclose(again["detector"][0]["panels"][0]["origin"], [-40, 40, -101.5], atol=1e-12)


columns = st.fixed_dictionaries(
    {},
    optional={
        name: st.just(name)
        for name in ("flags", "bbox", "miller_index", "xyzobs.px.value", "entering", "panel", "n_signal", "d")
    },
)


@settings(max_examples=25)
@given(st.integers(0, 30), columns, st.integers(0, 2**31), st.sampled_from([1, 2]))
def test_tables_survive_writing(
    tmp_path_factory: pytest.TempPathFactory, n: int, names: dict, seed: int, version: int
) -> None:
    rng = np.random.default_rng(seed)
    table = ReflectionTable({"id": rng.integers(-1, 3, n)}, {0: ID.format(0), 2: ID.format(2)})
    for name in names:
        spec = COLUMNS[name]
        shape = (n,) if spec.width == 1 else (n, spec.width)
        table[name] = rng.integers(0, 2, shape) if spec.dtype == "?" else (rng.normal(size=shape) ** 2 * 100)
    path = tmp_path_factory.mktemp("refl") / "t.refl"
    write_refl(path, table, version=version)
    again = read_refl(path)
    assert again.identifiers == table.identifiers
    assert set(again) == set(table)
    for name in table:
        np.testing.assert_array_equal(again[name], table[name])
        assert again[name].dtype == table[name].dtype


def shoeboxes() -> Shoeboxes:
    bbox = np.array([[0, 2, 0, 3, 0, 1], [5, 6, 5, 6, 0, 2], [1, 2, 3, 4, 5, 6]], dtype=np.int32)
    offset = np.array([0, 6, 8, 8])
    values = np.arange(8, dtype=np.float32)
    return Shoeboxes(np.array([0, 1, 2], np.uint32), bbox, offset, values, np.arange(8, dtype=np.int32), -values)


@pytest.mark.parametrize("version", [1, 2])
def test_shoeboxes_survive_and_empty_ones_stay_empty(tmp_path: Path, version: int) -> None:
    write_refl(tmp_path / "s.refl", ReflectionTable({"id": [0, 0, 1]}, {}, shoeboxes()), version=version)
    again = read_refl(tmp_path / "s.refl").shoeboxes
    assert again is not None
    for name in ("panel", "bbox", "offset", "data", "mask", "background"):
        np.testing.assert_array_equal(getattr(again, name), getattr(shoeboxes(), name))
    picked = again.select(np.array([False, True, True]))
    np.testing.assert_array_equal(picked.data, [6, 7])
    np.testing.assert_array_equal(picked.offset, [0, 2, 2])


def test_truncated_and_foreign_files_are_named(tmp_path: Path) -> None:
    write_refl(tmp_path / "t.refl", ReflectionTable({"id": np.zeros(100, int)}))
    whole = (tmp_path / "t.refl").read_bytes()
    (tmp_path / "t.refl").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match=r"t\.refl: not a complete"):
        read_refl(tmp_path / "t.refl")
    with pytest.raises(FileError, match="cannot be read"):
        read_refl(tmp_path / "absent.refl")
    (tmp_path / "x.expt").write_text("{")
    with pytest.raises(FileError, match=r"x\.expt: not a complete JSON"):
        read_expt(tmp_path / "x.expt")
    (tmp_path / "x.expt").write_text('{"a": 1}')
    with pytest.raises(FileError, match="not an experiment list"):
        read_expt(tmp_path / "x.expt")


def test_flags_any_and_all() -> None:
    table = ReflectionTable({"flags": [Flag.INTEGRATED_SUM, Flag.INTEGRATED, 0]})
    np.testing.assert_array_equal(table.has_flags(Flag.INTEGRATED), [False, True, False])
    np.testing.assert_array_equal(table.has_flags(Flag.INTEGRATED, any=True), [True, True, False])
    before = table["flags"]
    table.set_flags(np.array([2]), Flag.STRONG)
    assert before[2] == 0
    assert table.has_flags(Flag.STRONG)[2]


def test_tables_are_matched_by_identifier_not_position() -> None:
    table = ReflectionTable({"id": [0, 1, -1, 1], "d": [1.0, 2, 3, 4]}, {0: "a", 1: "b"})
    out = match_to_experiments(table, ["b", "c"])
    np.testing.assert_array_equal(out["id"], [0, -1, 0])
    np.testing.assert_array_equal(out["d"], [2, 3, 4])
    assert out.identifiers == {0: "b"}


def test_several_files_become_one_list(tmp_path: Path) -> None:
    for i in range(2):
        write_expt(tmp_path / f"{i}.expt", ExperimentList([experiment(i)]))
        table = ReflectionTable({"id": [0, -1], "imageset_id": [0, 0], "d": [i, i]}, {0: ID.format(i)})
        write_refl(tmp_path / f"{i}.refl", table)
    experiments, table = load([tmp_path / "0.expt", tmp_path / "1.expt"], [tmp_path / "0.refl", tmp_path / "1.refl"])
    assert table is not None
    np.testing.assert_array_equal(table["id"], [0, -1, 1, -1])
    np.testing.assert_array_equal(table["imageset_id"], [0, 0, 1, 1])
    assert experiments.identifiers == [ID.format(0), ID.format(1)]
    with pytest.raises(FileError, match="only once"):
        load([tmp_path / "0.expt", tmp_path / "0.expt"], [])
    with pytest.raises(FileError, match="none of its reflections"):
        load([tmp_path / "0.expt"], [tmp_path / "1.refl"])


def test_one_sweep_processed_twice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Two results from the same images have one identifier: kept apart where files come in pairs, copies refused."""
    first = experiment(0).evolve(scan=Scan((1, 10), (0.0, 0.1)))
    lattices = [first.evolve(crystal=Crystal(np.diag([a, 20.0, 30.0]), " P 1")) for a in (10.0, 11.0)]
    table = ReflectionTable({"id": [0, 0, -1], "d": [1.0, 2.0, 3.0]}, {0: ID.format(0)})
    files: list[list[Path]] = [[], []]
    later = lattices[0].evolve(scan=Scan((11, 20), (1.0, 0.1)))
    for i, one in enumerate([*lattices, lattices[0], later]):
        for place, suffix in enumerate(("expt", "refl")):
            files[place].append(tmp_path / f"{i}.{suffix}")
        write_expt(files[0][-1], ExperimentList([one]))
        write_refl(files[1][-1], table)
    expt, refl = files
    experiments, joined = load(expt[:2], refl[:2])
    assert joined is not None
    assert experiments[0].identifier == ID.format(0) != experiments[1].identifier
    assert joined.identifiers == dict(enumerate(experiments.identifiers))
    np.testing.assert_array_equal(joined["id"], [0, 0, -1, 1, 1, -1])
    assert "1.expt" in caplog.text
    assert "the same images" in caplog.text
    assert load(expt[:2], refl[:2])[0].identifiers == experiments.identifiers, (
        "the new name must be the same every time"
    )
    caplog.clear()
    assert len(load([expt[0], expt[3]], [refl[0], refl[3]])[0]) == 2  # two parts of one sweep
    assert not caplog.text
    with pytest.raises(FileError, match=r"2\.expt: .* only once"):
        load([expt[0], expt[2]], [refl[0], refl[2]])
    with pytest.raises(FileError, match=r"as many \.refl as \.expt"):
        load(expt[:2], refl[:1])


def test_wrong_lengths_are_refused() -> None:
    table = ReflectionTable({"id": [0, 1]})
    with pytest.raises(MxdaskError, match="3 rows, the table 2"):
        table["d"] = [1.0, 2.0, 3.0]
    with pytest.raises(MxdaskError, match="no column 'd'"):
        table["d"]


def test_the_hdf5_form_of_the_newest_dials_is_read(tmp_path: Path) -> None:
    """The layout of front.md 3, written by hand: the last stage counts, groups in order of their number."""
    with h5py.File(tmp_path / "t.refl", "w") as file:
        file.create_group("dials/a_stage_before")
        for number in (10, 2):
            group = file.create_group(f"dials/processing/group_{number}")
            group.attrs["identifiers"] = [ID.format(number)]
            group.attrs["experiment_ids"] = [number]
            group["id"] = np.full(2, number, dtype=np.int32)
            group["miller_index"] = np.arange(6, dtype=np.int32).reshape(2, 3)
            group["xyzobs.px.value"] = np.arange(6.0).reshape(2, 3)
            boxes = group.create_group("shoebox")
            boxes["bbox"] = np.array([[0, 2, 0, 1, 0, 1], [0, 1, 0, 1, 0, 1]], dtype=np.int32)
            boxes["panel"] = np.zeros(2, dtype=np.uint32)
            boxes["shoebox_data"] = np.array([1, 2, 3], dtype=np.float32)
            boxes["shoebox_mask"] = np.array([5, 5, 0], dtype=np.uint8)
            boxes["shoebox_background"] = np.zeros(3, dtype=np.float32)
    table = read_refl(tmp_path / "t.refl")
    np.testing.assert_array_equal(table["id"], [2, 2, 10, 10])
    assert table.identifiers == {2: ID.format(2), 10: ID.format(10)}
    assert table["miller_index"].shape == (4, 3)
    assert table.shoeboxes is not None
    np.testing.assert_array_equal(table.shoeboxes.offset, [0, 2, 3, 5, 6])
    np.testing.assert_array_equal(table.shoeboxes.data, [1, 2, 3, 1, 2, 3])
