"""The store as it is written while images are processed: by block, restartable, readable by zarr, checked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr
from nxmx_writer import write_data, write_master

from mxdask.errors import FileError, MxdaskError
from mxdask.flow import Flow
from mxdask.images import open_stack
from mxdask.images.zarr_convert import convert, verify
from mxdask.images.zarr_frames import shard_path
from mxdask.images.zarr_store import create_store, finish_store, write_block
from mxdask.importing.params import Params
from mxdask.importing.step import run
from mxdask.io.mask import write_mask
from mxdask.models import Experiment
from mxdask.params import parse

SHAPE = (20, 30)


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(3).poisson(2, (11, *SHAPE)).astype("uint16")


@pytest.fixture
def experiment(tmp_path: Path, frames: np.ndarray) -> Experiment:
    (tmp_path / "in").mkdir()
    write_data(tmp_path / "in/d.h5", frames)
    mask = np.zeros(SHAPE, "uint32")
    mask[3, 4] = 1
    master = write_master(tmp_path / "in/m.nxs", [("d.h5", 11)], SHAPE, "uint16", mask=mask)
    good = np.ones(SHAPE, bool)
    good[7] = False
    write_mask(tmp_path / "in/user.npz", [good])
    params = parse(Params, ["image_range=3,10", f"lookup.mask={tmp_path / 'in/user.npz'}"])
    assert isinstance(params, Params)
    ((experiment,), _) = run([master], params, flow=Flow("sync"))
    return experiment


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_blocks_written_in_any_order_are_read_by_zarr_too(
    experiment: Experiment, frames: np.ndarray, tmp_path: Path, codec: str
) -> None:
    store = create_store(experiment, tmp_path / "s.zarr", block=3, codec=codec)  # type: ignore[arg-type]
    assert store.blocks() == [(2, 5), (5, 8), (8, 10)]
    for first, end in reversed(store.blocks()):
        assert not store.is_written(first)
        write_block(store, first, frames[first:end])
        assert store.is_written(first)
    finish_store(store, experiment)
    group = zarr.open_group(tmp_path / "s.zarr", mode="r")
    assert np.array_equal(group["frames"][...], frames[2:10])
    assert group["frames"].shards == (3, *SHAPE)


def test_images_keep_their_numbers_and_masks_with_the_sources_gone(
    experiment: Experiment, frames: np.ndarray, tmp_path: Path
) -> None:
    with Flow("sync") as flow:
        converted = convert(experiment, tmp_path / "s.zarr", flow=flow, block=3)
        mask = open_stack(experiment).mask()[0].copy()
        shutil.rmtree(tmp_path / "in")
        ((imported,), _) = run([tmp_path / "s.zarr"], Params(), flow=flow)
        cut = parse(Params, ["image_range=5,7"])
        assert isinstance(cut, Params)
        ((part,), _) = run([tmp_path / "s.zarr"], cut, flow=flow)
    for found, first, end in ((converted, 2, 10), (imported, 2, 10), (part, 4, 7)):
        stack = open_stack(found)
        assert stack.array_range == (first, end)
        assert np.array_equal(stack.mask()[0], mask)
        assert not mask[3, 4]
        assert not mask[7].any()
        with stack.reader() as reader:
            assert all(np.array_equal(reader.read(z)[0], frames[z]) for z in range(first, end))
    # A later step may cut a scan without touching the image set.
    assert converted.scan is not None
    narrower = converted.evolve(scan=converted.scan.cut(6, 8))
    with open_stack(narrower).reader() as reader:
        assert np.array_equal(reader.read(5)[0], frames[5])


def test_a_block_that_was_stopped_half_way_leaves_nothing(
    experiment: Experiment, frames: np.ndarray, tmp_path: Path
) -> None:
    store = create_store(experiment, tmp_path / "s.zarr", block=4)

    def stopped() -> Iterator[np.ndarray]:
        yield frames[2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_block(store, 2, stopped())
    assert not store.is_written(2)
    assert not shard_path(store.path, 0).exists()
    write_block(store, 2, frames[2:6])
    with pytest.raises(FileError, match="images 7-10 were not written"):
        finish_store(store, experiment)
    again = create_store(experiment, tmp_path / "s.zarr", block=4)
    assert again.is_written(2)
    assert not again.is_written(6)
    with pytest.raises(ValueError, match="2 frames were added to a block of 4"):
        write_block(again, 6, frames[6:8])
    with pytest.raises(FileError, match="image 7 is"):
        write_block(again, 6, frames[6:10].astype("int32"))


def test_an_unreadable_image_is_missing_and_says_why(
    experiment: Experiment, frames: np.ndarray, tmp_path: Path
) -> None:
    import h5py

    with h5py.File(tmp_path / "in/d.h5", "r") as file:
        info = file["data"].id.get_chunk_info(5)
    with open(tmp_path / "in/d.h5", "r+b") as raw:
        raw.seek(info.byte_offset)
        raw.write(b"\xff" * info.size)
    with Flow("sync") as flow:
        converted = convert(experiment, tmp_path / "s.zarr", flow=flow, block=3)
        found = verify(converted, experiment, flow=flow)
    assert (found.n_images, found.n_missing, found.problems) == (8, 1, ())
    with open_stack(converted).reader() as reader:
        assert np.array_equal(reader.read(6)[0], frames[6])
        with pytest.raises(FileError, match=r"image 6 is not in the store.*d\.h5.*damaged"):
            reader.read(5)


def test_verify_names_the_image(experiment: Experiment, frames: np.ndarray, tmp_path: Path) -> None:
    with Flow("sync") as flow:
        converted = convert(experiment, tmp_path / "s.zarr", flow=flow, block=3)
        for source in (None, experiment):
            assert verify(converted, source, flow=flow).problems == ()
        shutil.copytree(tmp_path / "s.zarr", tmp_path / "t.zarr")
        other = frames.copy()
        other[6, 2, 2] += 1
        write_data(tmp_path / "in/d.h5", other)
        (problem,) = verify(converted, experiment, flow=flow).problems
        assert problem == "image 7: 1 pixels differ from the source"
        assert verify(converted, None, flow=flow).problems == ()
        shard = shard_path(tmp_path / "s.zarr", 1)
        content = bytearray(shard.read_bytes())
        content[60] ^= 4
        shard.write_bytes(content)
        (problem,) = verify(converted, None, flow=flow, block=2).problems
        assert problem.startswith("image 6: ")
        assert "checksum" in problem


@pytest.mark.parametrize("damage", ["index", "cut", "gone", "metadata", "unfinished"])
def test_damage_is_one_line(experiment: Experiment, tmp_path: Path, damage: str) -> None:
    with Flow("sync") as flow:
        converted = convert(experiment, tmp_path / "s.zarr", flow=flow, block=3)
    shard = shard_path(tmp_path / "s.zarr", 0)
    content = bytearray(shard.read_bytes())
    if damage == "index":
        content[-30] ^= 255
        shard.write_bytes(content)
    elif damage == "cut":
        shard.write_bytes(content[: len(content) // 2])
    elif damage == "gone":
        shard.unlink()
    elif damage == "metadata":
        (tmp_path / "s.zarr/zarr.json").write_text("{")
    else:
        zarr.open_group(tmp_path / "s.zarr", mode="r+").attrs["complete"] = False
    with pytest.raises(MxdaskError, match=r"s\.zarr") as caught, open_stack(converted).reader() as reader:
        reader.read(3)
    assert "\n" not in str(caught.value)
