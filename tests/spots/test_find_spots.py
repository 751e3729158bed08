"""The find_spots step: whole sweeps, real and made up."""

from __future__ import annotations

import pickle
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest

from mxdask.errors import FileError, MxdaskError, ParameterError
from mxdask.flow import Flow
from mxdask.importing.params import Params as ImportParams
from mxdask.importing.step import run as import_images
from mxdask.models import Beam, Detector, Experiment, ExperimentList, Goniometer, ImageSet, Panel, Scan
from mxdask.params import parse
from mxdask.spots import step
from mxdask.spots.params import Params
from mxdask.spots.step import cut, excluded_frames, run

SHAPE = (60, 70)
_MASK = np.ones(SHAPE, bool)
_MASK[:, 30:33] = False


@dataclass(frozen=True)
class FakeStack:
    """Frames made from a seed, as open_stack would give them; ``broken`` cannot be read, ``flooded`` is noise."""

    seed: int
    array_range: tuple[int, int]
    spots: bool = True
    broken: tuple[int, ...] = ()
    flooded: tuple[int, ...] = ()

    shapes = (SHAPE,)

    def mask(self):
        return (_MASK,)

    @contextmanager
    def reader(self):
        yield self

    def read_lit(self, z):
        return self.read(z)

    def read(self, z):
        if z in self.broken:
            raise FileError(f"made_up.h5: frame {z} is cut off")
        rng = np.random.default_rng((self.seed, z))
        frame = rng.poisson(0.3, SHAPE)
        if z in self.flooded:
            frame[::2, ::2] = 1000
        if self.spots:
            place = np.random.default_rng(self.seed)
            rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
            for _ in range(40):
                y, x = place.uniform(0, SHAPE[0]), place.uniform(0, SHAPE[1])
                centre, width = place.uniform(*self.array_range), place.uniform(0.3, 2.0)
                height = 300 * np.exp(-0.5 * ((z + 0.5 - centre) / width) ** 2)
                frame += rng.poisson(height * np.exp(-0.5 * ((rows - y) ** 2 + (columns - x) ** 2)))
        return (frame.astype(np.uint16),)


def make_experiment(n_images: int, first: int = 1) -> Experiment:
    panel = Panel(
        fast_axis=(1, 0, 0), slow_axis=(0, -1, 0), origin=(-3.5, 3, -50), image_size=SHAPE[::-1], pixel_size=(0.1, 0.1),
        trusted_range=(0, 10000), type="SENSOR_PAD",
    )  # fmt: skip
    scan = Scan((first, first + n_images - 1), (0.0, 0.1))
    return Experiment(
        f"id-{n_images}-{first}", ImageSet(f"sweep_{n_images}_####.cbf"), Beam((0, 0, 1), 1.0), Detector((panel,)),
        Goniometer.single_axis((1, 0, 0)), scan,
    )  # fmt: skip


@pytest.fixture
def stacks(monkeypatch):
    """{identifier: FakeStack or error} that take the place of files."""
    known = {}

    def open_fake(experiment):
        stack = known[experiment.identifier]
        if isinstance(stack, Exception):
            raise stack
        return stack

    monkeypatch.setattr(step, "open_stack", open_fake)
    return known


def find(experiments, *words, scheduler="sync"):
    with Flow(scheduler, n_workers=2) as flow:
        return run(ExperimentList(experiments), None, parse(Params, words), flow=flow)


def assert_same_tables(a, b):
    assert set(a) == set(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    for name in ("panel", "bbox", "offset", "data", "mask", "background"):
        np.testing.assert_array_equal(getattr(a.shoeboxes, name), getattr(b.shoeboxes, name), err_msg=name)


@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_block_size_changes_nothing(stacks, scheduler):
    experiments = [make_experiment(23), make_experiment(9, first=101)]
    stacks["id-23-1"] = FakeStack(1, (0, 23), flooded=(5,), broken=(11,))
    stacks["id-9-101"] = FakeStack(2, (100, 109))
    _, expected, summary = find(experiments, "block_size=1000")
    assert len(expected) > 30
    assert set(expected["id"]) == {0, 1}
    for size in (1, 2, 7, 15):
        _, table, other = find(experiments, f"block_size={size}", scheduler=scheduler)
        assert_same_tables(table, expected)
        assert other == summary


@pytest.mark.data
@pytest.mark.parametrize("size", [1, 2, 7, 15])
def test_real_sweeps(data_dir, size):
    """L-cysteine: components and spots as DIALS 3.12 finds them (front.md 16, A5), whatever the blocks."""
    files = sorted((data_dir / "l_cysteine").glob("*.cbf.gz"))
    with Flow("sync") as flow:
        experiments, _ = import_images(files, ImportParams(), flow=flow)
        _, table, summary = run(
            experiments, None, parse(Params, ["masked_pixels_dispersed=false", f"block_size={size}"]), flow=flow
        )
    rows = summary["rows"]
    assert [row["n_components"] for row in rows] == [117, 75, 91, 78]
    assert [row["n_too_small"] for row in rows] == [59, 41, 48, 44]
    assert [row["n_spots"] for row in rows] == [54, 33, 43, 30]
    assert rows[0]["strong_pixels_per_image"][:5] == [89, 132, 107, 124, 161]
    assert table["intensity.sum.value"].sum() == 261224.0
    assert table.shoeboxes.data.sum(dtype=np.float64) == 261224.0


def test_without_shoeboxes_the_same_spots(stacks):
    stacks["id-23-1"] = FakeStack(1, (0, 23))
    _, expected, _ = find([make_experiment(23)])
    _, table, _ = find([make_experiment(23)], "shoeboxes=false", "block_size=4")
    assert table.shoeboxes is None
    for name in expected:
        np.testing.assert_array_equal(table[name], expected[name])


def test_trouble_is_a_row_and_the_others_go_on(stacks):
    good, blank, missing = make_experiment(12), make_experiment(11), make_experiment(10)
    stacks[good.identifier] = FakeStack(1, (0, 12), broken=(3,), flooded=(7,))
    stacks[blank.identifier] = FakeStack(1, (0, 11), spots=False)
    stacks[missing.identifier] = FileError("sweep_10.h5: file not found")
    experiments, table, summary = find([good, blank, missing])
    assert len(experiments) == 3
    assert [row["status"] for row in summary["rows"]] == ["ok", "ok", "failed"]
    assert summary["rows"][2]["reason"] == "sweep_10.h5: file not found"
    bad = dict(summary["rows"][0]["bad_images"])
    assert "cut off" in bad[4]
    assert "max_strong_pixel_fraction" in bad[8]
    assert summary["rows"][1]["n_spots"] < 3
    assert set(table["id"]) <= {0, 1}
    assert summary["rows"][0]["strong_pixels_per_image"][3] == 0
    assert table.identifiers == {0: good.identifier, 1: blank.identifier, 2: missing.identifier}


def test_nothing_readable_is_an_error(stacks):
    stacks["id-10-1"] = FileError("sweep_10.h5: file not found")
    with pytest.raises(MxdaskError, match="file not found"):
        find([make_experiment(10)])


def test_images_left_out(stacks):
    stacks["id-23-1"] = FakeStack(1, (0, 23))
    _, _, summary = find([make_experiment(23)], "scan_range=3,14", "exclude_images=5", "exclude_images_multiple=7")
    assert summary["rows"][0]["images"] == [3, 4, 6, 8, 9, 10, 11, 12, 13]


def test_two_lattices_on_the_same_images_are_one_sweep(stacks):
    experiment = make_experiment(12)
    stacks[experiment.identifier] = FakeStack(1, (0, 12))
    _, table, summary = find([experiment, replace(experiment, identifier="other")])
    assert len(summary["rows"]) == 1
    assert set(table["id"]) == {0}


def test_hot_pixels_are_reported(stacks):
    class Hot(FakeStack):
        def read(self, z):
            (frame,) = super().read(z)
            frame[50, 11] = 500
            return (frame,)

    stacks["id-12-1"] = Hot(1, (0, 12), spots=False)
    _, _, summary = find([make_experiment(12)], "masked_pixels_dispersed=false")
    assert summary["rows"][0]["hot_pixels"] == [(0, 50, 11)]


def test_stills_and_force_2d_stay_on_one_image(stacks):
    stacks["id-23-1"] = FakeStack(1, (0, 23))
    _, table, _ = find([make_experiment(23)], "force_2d=true")
    assert np.all(np.diff(table["bbox"][:, 4:6], axis=1) == 1)


@pytest.mark.parametrize(
    "word", ["kernel_size=0,3", "min_spot_size=2000", "filter.untrusted.polygon=1,2,3,4", "sigma_strong=-1"]
)
def test_nonsense_is_refused(stacks, word):
    stacks["id-10-1"] = FakeStack(1, (0, 10))
    with pytest.raises(ParameterError):
        find([make_experiment(10)], word)


def test_cut_covers_everything_evenly():
    for n, size in ((1, 5), (40, 20), (41, 20), (100, 7)):
        blocks = list(cut((10, 10 + n), size))
        assert blocks[0][0] == 10
        assert blocks[-1][1] == 10 + n
        assert all(a[1] == b[0] for a, b in pairwise(blocks))
        lengths = [b - a for a, b in blocks]
        assert max(lengths) <= size
        assert max(lengths) - min(lengths) <= 1


def test_excluded_frames_are_numbers_of_images_less_one():
    params = parse(Params, ["scan_range=2,5", "exclude_images=4"])
    assert list(excluded_frames((0, 6), params)) == [0, 3, 5]


def test_params_survive_the_trip_to_a_worker():
    params = parse(Params, ["sigma_strong=4", "d_min=2", "resolution_range=3.9,3.8"])
    assert pickle.loads(pickle.dumps(params)) == params
