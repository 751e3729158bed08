"""Images that are kept in a Zarr store while spots are found."""

from __future__ import annotations

import shutil
from dataclasses import replace

import hdf5plugin  # noqa: F401
import numpy as np
import pytest

from mxdask.flow import Flow
from mxdask.images import open_stack
from mxdask.images.zarr_convert import verify
from mxdask.importing.params import Params as ImportParams
from mxdask.importing.step import run as import_images
from mxdask.io.mask import read_mask
from mxdask.models import ExperimentList
from mxdask.params import parse
from mxdask.spots.params import Params
from mxdask.spots.step import run
from tests.nxmx_writer import write_data, write_master

SHAPE = (64, 72)
N = 23
HOT = (50, 11)


@pytest.fixture
def sweep(tmp_path):
    """An imported sweep of 23 images with spots that last several images, a gap and a hot pixel; its folder."""
    folder = tmp_path / "images"
    folder.mkdir()
    place = np.random.default_rng(7)
    z, y, x = np.mgrid[:N, : SHAPE[0], : SHAPE[1]]
    frames = np.random.default_rng(8).poisson(0.3, (N, *SHAPE))
    for _ in range(30):
        at, width = place.uniform((0, 4, 4), (N, 60, 68)), place.uniform(0.5, 2.0)
        r2 = ((z + 0.5 - at[0]) / width) ** 2 + (y - at[1]) ** 2 + (x - at[2]) ** 2
        frames += np.random.default_rng(9).poisson(250 * np.exp(-0.5 * r2))
    frames[:, HOT[0], HOT[1]] = 400
    mask = np.zeros(SHAPE, np.uint32)
    mask[:, 30:33] = 1
    write_data(folder / "a_1.h5", frames.astype(np.uint16))
    master = write_master(folder / "a.nxs", [("a_1.h5", N)], SHAPE, "u2", mask=mask)
    with Flow("sync") as flow:
        experiments, _ = import_images([master], ImportParams(), flow=flow)
    return experiments, folder


def find(experiments, folder, *words, scheduler="sync", workers=1):
    with Flow(scheduler, n_workers=workers, run_dir=folder) as flow:
        return run(experiments, None, parse(Params, words), flow=flow)


def same(a, b):
    assert set(a) == set(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    np.testing.assert_array_equal(a.shoeboxes.data, b.shoeboxes.data)


def frames_of(experiments):
    stack = open_stack(experiments[0])
    with stack.reader() as reader:
        return [reader.read_whole(z).copy() for z in range(*stack.array_range)]


@pytest.mark.parametrize("words", [[], ["block_size=7"], ["codec=lz4", "block_size=1"], ["scan_range=4,9"]])
def test_spots_and_pixels_are_the_same(sweep, tmp_path, words):
    experiments, images = sweep
    _, expected, plain = find(experiments, tmp_path / "plain", *words)
    converted, table, summary = find(experiments, tmp_path / "run", "zarr=true", *words, scheduler="threads", workers=2)
    same(table, expected)
    assert summary.pop("experiments_file") == "converted.expt"
    assert summary == plain
    source = frames_of(experiments)
    with Flow("sync") as flow:
        assert verify(converted[0], experiments[0], flow=flow).problems == ()
    shutil.rmtree(images)
    for kept, original in zip(frames_of(converted), source, strict=True):
        np.testing.assert_array_equal(kept, original)
    # the store alone gives the same spots again, mask and all
    _, again, _ = find(converted, tmp_path / "again", *[w for w in words if "codec" not in w])
    same(again, expected)


def test_a_run_that_was_stopped_goes_on(sweep, tmp_path, monkeypatch):
    from mxdask.spots import recording

    experiments, _ = sweep
    # Counted in frames done, as the order of the blocks is Dask's choice.
    record, frames_left = recording.RecordingReader._record, iter(range(12))

    def breaks(self, z):
        if next(frames_left, None) is None:
            raise KeyboardInterrupt
        return record(self, z)

    monkeypatch.setattr(recording.RecordingReader, "_record", breaks)
    with pytest.raises(KeyboardInterrupt):
        find(experiments, tmp_path / "run", "zarr=true", "block_size=5")
    monkeypatch.undo()
    shards = sorted(p for p in (tmp_path / "run").rglob("*") if p.is_file() and "/frames/c/" in str(p))
    before = {p: p.stat().st_mtime_ns for p in shards}
    assert len(before) == 2
    converted, table, _ = find(experiments, tmp_path / "run", "zarr=true", "block_size=5")
    assert all(p.stat().st_mtime_ns == time for p, time in before.items())
    with Flow("sync") as flow:
        assert verify(converted[0], experiments[0], flow=flow).problems == ()
    same(table, find(experiments, tmp_path / "plain")[1])


def test_spots_known_already_do_not_keep_a_store_from_being_made(sweep, tmp_path):
    experiments, _ = sweep
    find(experiments, tmp_path / "run", "zarr=true", "block_size=5")
    shutil.rmtree(next((tmp_path / "run").glob("*.zarr")))
    converted, _, _ = find(experiments, tmp_path / "run", "zarr=true", "block_size=5")
    with Flow("sync") as flow:
        assert verify(converted[0], experiments[0], flow=flow).problems == ()


def test_an_unreadable_image_is_missing_in_the_store_too(sweep, tmp_path):
    import h5py

    experiments, folder = sweep
    with h5py.File(folder / "a_1.h5") as file:
        info = file["data"].id.get_chunk_info(3)
    with open(folder / "a_1.h5", "r+b") as file:
        file.seek(info.byte_offset)
        file.write(b"\xff" * 64)
    converted, _, summary = find(experiments, tmp_path / "run", "zarr=true", "block_size=5")
    row = summary["rows"][0]
    assert [image for image, _ in row["bad_images"]] == [4]
    assert row["image_status"][3] == "unreadable"
    _, _, again = find(converted, tmp_path / "again")
    assert [image for image, _ in again["rows"][0]["bad_images"]] == [4]


def test_hot_pixels_are_masked_afterwards(sweep, tmp_path):
    experiments, _ = sweep
    out, _, summary = find(experiments, tmp_path / "run", "write_hot_mask=true")
    assert summary["experiments_file"] == "masked.expt"
    assert (0, *HOT) in summary["rows"][0]["hot_pixels"]
    (mask,) = read_mask(out[0].imageset.mask)
    assert not mask[HOT]
    assert np.count_nonzero(~mask) == summary["rows"][0]["n_hot_pixels"]
    good = open_stack(out[0]).mask()[0]
    assert not good[HOT]
    assert not good[:, 30:33].any()
    assert good[0, 0]
    both, _, _ = find(experiments, tmp_path / "both", "write_hot_mask=true", "zarr=true")
    np.testing.assert_array_equal(open_stack(both[0]).mask()[0], good)


def test_a_mask_that_was_there_is_kept(sweep, tmp_path):
    from mxdask.io.mask import write_mask

    experiments, _ = sweep
    given = np.ones(SHAPE, bool)
    given[:5] = False
    write_mask(tmp_path / "given.pickle", [given])
    imageset = replace(experiments[0].imageset, mask=str(tmp_path / "given.pickle"))
    experiments = ExperimentList([experiments[0].evolve(imageset=imageset)])
    out, _, _ = find(experiments, tmp_path / "run", "write_hot_mask=true")
    (mask,) = read_mask(out[0].imageset.mask)
    assert not mask[:5].any()
    assert not mask[HOT]
