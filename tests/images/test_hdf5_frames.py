"""Frames of HDF5 masters: every way of storing them gives the same pixels, every fault names file and frame."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from nxmx_writer import write_data, write_master

from mxdask.errors import FileError
from mxdask.images import frame_index as index_module
from mxdask.images import open_stack
from mxdask.images.frame_index import BSLZ4, HDF5, RAW, frame_index
from mxdask.io.nxmx import read_nxmx
from mxdask.models import Experiment, ImageSet

SHAPE = (37, 53)  # 1961 pixels: a last bitshuffle block that is not full, and one pixel left over


def experiment_of(master: Path, n: int, shape: tuple[int, int] = SHAPE, bits: int = 16) -> Experiment:
    header = read_nxmx(master, n, shape, bits)
    imageset = ImageSet(str(master), tuple(range(n)))
    return Experiment("x", imageset, header.beam, header.detector, header.goniometer, header.scan)


def frames_of(dtype: str, n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    frames = rng.poisson(2.0, (n, *SHAPE)).astype(dtype)
    frames[:, 0, 0] = np.iinfo(dtype).max
    return frames


STORAGES: dict[str, tuple[dict[str, Any], int]] = {
    "bslz4": ({}, BSLZ4),
    "contiguous": ({"chunks": None}, RAW),
    "chunked plain": ({"chunks": (1, *SHAPE)}, RAW),
    "gzip": ({"chunks": (1, *SHAPE), "compression": "gzip"}, HDF5),
    "two frames per chunk": ({"chunks": (2, *SHAPE), **hdf5plugin.Bitshuffle(cname="lz4")}, HDF5),
    "bitshuffle-zstd": ({"chunks": (1, *SHAPE), **hdf5plugin.Bitshuffle(cname="zstd")}, HDF5),
}


@pytest.mark.parametrize("virtual", [True, False], ids=["virtual", "links"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int32"])
@pytest.mark.parametrize("storage", STORAGES)
def test_pixels_are_those_of_h5py(tmp_path: Path, storage: str, dtype: str, virtual: bool) -> None:
    options, expected = STORAGES[storage]
    frames = frames_of(dtype, 5)
    write_data(tmp_path / "a_1.h5", frames[:3], **options)
    write_data(tmp_path / "a_2.h5", frames[3:], **options)
    master = write_master(tmp_path / "a.nxs", [("a_1.h5", 3), ("a_2.h5", 2)], SHAPE, dtype, virtual=virtual)
    stack = open_stack(experiment_of(master, 5))
    assert set(frame_index(str(master)).storage) == {expected}
    assert stack.dtype == np.dtype(dtype)
    stack = pickle.loads(pickle.dumps(stack))
    with stack.reader() as reader:
        for z in (4, 0, 2, 3):
            (panel,) = reader.read(z)
            assert panel.dtype == np.dtype(dtype)
            assert np.array_equal(panel, frames[z])


def test_chunk_without_filter_in_a_filtered_set(tmp_path: Path) -> None:
    frames = frames_of("uint16", 2)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset(
            "data", frames.shape, "uint16", chunks=(1, *SHAPE), **hdf5plugin.Bitshuffle(cname="lz4")
        )
        data[0] = frames[0]
        data.id.write_direct_chunk((1, 0, 0), frames[1].tobytes(), filter_mask=1)
    master = write_master(tmp_path / "m.nxs", [("a.h5", 2)], SHAPE, "uint16")
    with open_stack(experiment_of(master, 2)).reader() as reader:
        assert np.array_equal(reader.read(1)[0], frames[1])
        assert np.array_equal(reader.read(0)[0], frames[0])


def test_slow_fallback_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_data(tmp_path / "a.h5", frames_of("uint16", 3), chunks=(1, *SHAPE), compression="gzip")
    stack = open_stack(experiment_of(write_master(tmp_path / "m.nxs", [("a.h5", 3)], SHAPE, "uint16"), 3))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            with stack.reader() as reader:
                reader.read(0)
    assert len([r for r in caplog.records if "slower" in r.getMessage()]) == 1


def test_part_of_a_sweep_keeps_its_frames(tmp_path: Path) -> None:
    frames = frames_of("uint16", 10)
    write_data(tmp_path / "a.h5", frames)
    whole = experiment_of(write_master(tmp_path / "m.nxs", [("a.h5", 10)], SHAPE, "uint16"), 10)
    assert whole.scan is not None
    assert whole.imageset is not None
    part = whole.evolve(scan=whole.scan.cut(4, 6))  # the image set still lists ten frames
    own = part.evolve(imageset=ImageSet(whole.imageset.template, (3, 4, 5)))
    for experiment in (part, own):
        stack = open_stack(experiment)
        assert stack.array_range == (3, 6)
        with stack.reader() as reader:
            assert np.array_equal(reader.read(5)[0], frames[5])
            with pytest.raises(FileError, match="z=6"):
                reader.read(6)


def test_missing_data_file_is_named(tmp_path: Path) -> None:
    for virtual in (True, False):
        write_data(tmp_path / "here.h5", frames_of("uint16", 2))
        files = [("here.h5", 2), ("absent.h5", 2)]
        master = write_master(tmp_path / f"m{virtual}.nxs", files, SHAPE, "uint16", virtual=virtual)
        with pytest.raises(FileError, match=r"absent\.h5.*missing"):
            open_stack(experiment_of(master, 4))


def test_truncated_data_file_names_file_and_frame(tmp_path: Path) -> None:
    data = tmp_path / "a.h5"
    write_data(data, frames_of("uint16", 6))
    stack = open_stack(experiment_of(write_master(tmp_path / "m.nxs", [("a.h5", 6)], SHAPE, "uint16"), 6))
    index = frame_index(str(tmp_path / "m.nxs"))
    with stack.reader() as reader:
        reader.read(4)
        with open(data, "r+b") as file:
            file.truncate(int(index.offset[5]) + 3)
        with pytest.raises(FileError, match=r"a\.h5: frame 5 .*cut off"):
            reader.read(5)
    with pytest.raises(FileError, match=r"a\.h5.*cut off"), stack.reader():
        pass


@pytest.mark.parametrize("position", [0, 8, 12])
def test_damaged_chunk_is_an_error_not_a_crash(tmp_path: Path, position: int) -> None:
    data = tmp_path / "a.h5"
    write_data(data, frames_of("uint16", 2))
    stack = open_stack(experiment_of(write_master(tmp_path / "m.nxs", [("a.h5", 2)], SHAPE, "uint16"), 2))
    index = frame_index(str(tmp_path / "m.nxs"))
    with open(data, "r+b") as file:
        file.seek(int(index.offset[1]) + position)
        file.write(b"\xff" * 6)
    with stack.reader() as reader, pytest.raises(FileError, match=r"a\.h5: frame 1 .*damaged"):
        reader.read(1)


def test_frame_never_written(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("data", (3, *SHAPE), "u2", chunks=(1, *SHAPE), **hdf5plugin.Bitshuffle(cname="lz4"))
        data[0] = 1
    stack = open_stack(experiment_of(write_master(tmp_path / "m.nxs", [("a.h5", 3)], SHAPE, "uint16"), 3))
    with stack.reader() as reader:
        reader.read(0)
        with pytest.raises(FileError, match="never written"):
            reader.read(2)


def test_shape_and_type_must_fit(tmp_path: Path) -> None:
    write_data(tmp_path / "a.h5", frames_of("uint16", 2))
    master = write_master(tmp_path / "m.nxs", [("a.h5", 2)], SHAPE, "uint16")
    with pytest.raises(FileError, match=r"frames are \(37, 53\).*\(40, 50\)"):
        open_stack(experiment_of(master, 2, (40, 50)).evolve(detector=_other_detector(master)))
    write_data(tmp_path / "b.h5", frames_of("uint32", 2))
    mixed = write_master(tmp_path / "x.nxs", [("a.h5", 2), ("b.h5", 2)], SHAPE, "uint32", virtual=False)
    with pytest.raises(FileError, match="same shape and type"):
        open_stack(experiment_of(mixed, 4))


def _other_detector(master: Path) -> Any:
    from dataclasses import replace

    detector = read_nxmx(master, 2, SHAPE, 16).detector
    return replace(detector, panels=(replace(detector[0], image_size=(50, 40)),))


def test_index_is_made_anew_when_a_file_changes(tmp_path: Path) -> None:
    write_data(tmp_path / "a.h5", frames_of("uint16", 2))
    master = str(write_master(tmp_path / "m.nxs", [("a.h5", 2)], SHAPE, "uint16"))
    first = frame_index(master)
    assert frame_index(master) is first
    write_data(tmp_path / "a.h5", frames_of("uint16", 2, seed=1), chunks=(1, *SHAPE))
    assert frame_index(master) is not first
    assert len(index_module._cache) >= 1


def test_format_mask(tmp_path: Path) -> None:
    mask = np.zeros(SHAPE, np.uint32)
    mask[3, 5], mask[4, 6] = 1, 2
    for name in "ab":
        write_data(tmp_path / f"{name}.h5", frames_of("uint16", 2))
        write_master(tmp_path / f"{name}.nxs", [(f"{name}.h5", 2)], SHAPE, "uint16", mask=mask)
    masks = [open_stack(experiment_of(tmp_path / f"{name}.nxs", 2)).mask()[0] for name in "ab"]
    assert np.array_equal(masks[0], mask == 0)
    assert masks[0] is masks[1]  # one array for equal masks
    assert not masks[0].flags.writeable


@pytest.mark.parametrize(("folder", "sweep"), [("ins6_1m", "ins6_1m_c01"), ("lyso40_1m", "lyso40_1m_c01")])
def test_real_layouts_bit_for_bit(data_dir: Path, folder: str, sweep: str) -> None:
    master = data_dir / folder / f"{sweep}.nxs"
    with h5py.File(master) as file:
        data = file["entry/data/data"]
        n = data.shape[0]
        stack = open_stack(experiment_of(master, n, data.shape[1:], 8 * data.dtype.itemsize))
        assert set(frame_index(str(master)).storage) == {BSLZ4}
        with stack.reader() as reader:
            for z in (0, n // 2 - 1, n // 2, n - 1):
                assert np.array_equal(reader.read(z)[0], data[z])
