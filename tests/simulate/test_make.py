"""The files of a simulated set."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  (registers bitshuffle)
import numpy as np
import pytest

from mxdask.errors import FileError, ParameterError
from mxdask.flow import Flow
from mxdask.params import parse
from mxdask.simulate.instrument import build, gap_mask
from mxdask.simulate.params import Crystals, Params, SimulatedSet, Sweep, benchmark, demo, quick
from mxdask.simulate.step import make
from mxdask.simulate.truth import open_truth


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[SimulatedSet, Path]:
    sim, folder = quick(), tmp_path_factory.mktemp("quick")
    result = make(sim, folder)
    assert [p.name for p in result.masters] == ["quick_c01.nxs", "quick_c02.nxs"]
    return sim, folder


def test_images_hold_the_counts_of_the_truth(made):
    sim, folder = made
    images = h5py.File(folder / "quick_c01.nxs")["entry/data/data"][...].astype(np.int64)
    assert images.shape == (20, 512, 512)
    masked = build(sim).mask != 0
    assert np.all(images[:, masked] == 65535)
    dead_slow, dead_fast = build(sim).dead.T
    assert np.all(images[:, dead_slow, dead_fast] == 0)
    truth = h5py.File(folder / "truth.h5")["crystals/c01/sweep1"]
    reflections = {k: v[...] for k, v in truth["reflections"].items()}
    images[:, masked] = 0
    background = build(sim).background[~masked].sum() * truth["flux"][...].sum()
    whole = ~reflections["on_mask"]
    lost = reflections["counts_recorded"][~whole].sum()
    hot = build(sim).hot_rates.sum() * 20
    expected = background + hot + reflections["counts_recorded"].sum()
    assert expected - lost - 1e4 < images.sum() < expected + 1e4


def test_strong_spots_are_where_the_truth_says(made):
    _, folder = made
    images = h5py.File(folder / "quick_c02.nxs")["entry/data/data"][...].astype(float)
    g = h5py.File(folder / "truth.h5")["crystals/c02/sweep1/reflections"]
    x, y, z, counts = (g[k][...] for k in ("x", "y", "z", "counts_recorded"))
    good = (counts > 800) & ~g["on_mask"][...] & (g["fraction"][...] > 0.999) & (np.abs(g["zeta"][...]) > 0.3)
    good &= (np.minimum(x, y) > 8) & (np.maximum(x, y) < 504) & (z > 2) & (z < 18)
    shifts = []
    for i in np.flatnonzero(good)[:60]:
        a, b, c = int(x[i]) - 4, int(y[i]) - 4, max(0, int(z[i]) - 3)
        box = images[c : c + 7, b : b + 9, a : a + 9]
        box = box - np.median(box)
        place = [
            np.sum(box.sum(axis=axes) * (np.arange(n) + 0.5)) / box.sum() for axes, n in (((0, 1), 9), ((0, 2), 9))
        ]
        shifts.append((place[0] + a - x[i], place[1] + b - y[i]))
    assert len(shifts) > 10
    assert np.abs(np.median(shifts, axis=0)).max() < 0.05


def test_same_files_whatever_the_scheduler(made, tmp_path):
    sim, folder = made
    with Flow("threads", n_workers=2) as flow:
        make(sim, tmp_path, flow)
    for name in ("quick_c01_000001.h5", "quick_c02_000001.h5"):
        assert (folder / name).read_bytes() == (tmp_path / name).read_bytes()


def test_damaged_and_blank_crystals_look_it(tmp_path):
    sim = quick().model_copy(update={"crystals": Crystals(count=3, bad=("c01:blank", "c02:weak", "c03:damaged"))})
    make(sim, tmp_path)
    crystals = h5py.File(tmp_path / "truth.h5")["crystals"]
    mean = {k: g["sweep1/reflections/counts_recorded"][...].mean() for k, g in crystals.items()}
    assert mean["c01"] == 0
    assert 0 < mean["c02"] < 0.2 * mean["c03"]
    g = crystals["c03/sweep1/reflections"]
    early, late = (
        np.median(
            (g["counts_recorded"][...] / g["counts_full"][...])[
                (abs(g["z"][...] - z) < 3) & (g["fraction"][...] > 0.99)
            ]
        )
        for z in (3, 17)
    )
    assert late < 0.5 * early


def test_several_data_files_and_a_second_axis(tmp_path):
    sweep = Sweep(images=7, width=0.2, images_per_file=3, chi=30.0)
    sim = quick().model_copy(update={"sweep": sweep, "crystals": Crystals(count=1)})
    make(sim, tmp_path)
    entry = h5py.File(tmp_path / "quick_c01.nxs")["entry"]
    assert entry["data/data"].shape == (7, 512, 512)
    assert [entry[f"data/data_{i:06d}"].shape[0] for i in (1, 2, 3)] == [3, 3, 1]
    assert np.array_equal(entry["data/data"][4], entry["data/data_000002"][1])
    assert entry["sample/depends_on"][()] == b"/entry/sample/transformations/chi"
    assert entry["sample/transformations/chi"].attrs["depends_on"] == "/entry/sample/transformations/omega"


def test_dials_reads_the_images(made, tmp_path, dials):
    _, folder = made
    dials("import", folder / "quick_c01.nxs", folder / "quick_c02.nxs", cwd=tmp_path)
    sets = json.loads((tmp_path / "imported.expt").read_text())
    assert [s["oscillation"][1] for s in sets["scan"]] == pytest.approx([0.2, 0.2])
    assert sets["goniometer"][0]["rotation_axis"] == pytest.approx([1, 0, 0])
    panel, header = sets["detector"][0]["panels"][0], build(quick()).header_detector[0]
    assert panel["origin"] == pytest.approx(header.origin.tolist())
    assert panel["slow_axis"] == pytest.approx([0, -1, 0])
    assert panel["mu"] == pytest.approx(header.mu, rel=0.01)
    output = dials("find_spots", "imported.expt", "nproc=1", cwd=tmp_path)
    found = int(output.split("Saved ")[1].split()[0])
    truth = h5py.File(folder / "truth.h5")["crystals"]
    strong = sum((g["sweep1/reflections/counts_recorded"][...] > 60).sum() for g in truth.values())
    assert 0.5 * strong < found < 1.5 * strong


def test_gaps_are_between_modules():
    mask = gap_mask("1M")
    assert mask.shape == (1065, 1030)
    assert np.all(mask[514:551] == 1)
    assert mask.sum() == 37 * 1030
    assert gap_mask("16M").shape == (4371, 4150)


def test_presets_and_parameters():
    assert demo().badness(5) == "blank"
    assert benchmark("16M").detector.size == "16M"
    params = parse(Params, ["seed=5", "crystals.count=3", "bad=c02:weak"])
    assert isinstance(params, SimulatedSet)
    assert params.seed == 5
    assert params.badness(1) == "weak"
    with pytest.raises(ParameterError, match="c02:odd"):
        parse(Params, ["bad=c02:odd"])


def test_truth_that_is_none(tmp_path):
    with pytest.raises(FileError, match=r"truth\.h5"):
        open_truth(tmp_path / "truth.h5")
    with h5py.File(tmp_path / "other.h5", "w"):
        pass
    with pytest.raises(FileError, match="no structures"):
        open_truth(tmp_path / "other.h5")
