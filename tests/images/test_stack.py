"""What is common to all formats: masks, Dask arrays, Zarr stores, other formats through fabio."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from nxmx_writer import write_data, write_master

from mxdask.errors import FileError, MxdaskError
from mxdask.flow import Flow
from mxdask.images import open_stack
from mxdask.images.zarr_convert import convert
from mxdask.importing.params import Params
from mxdask.importing.step import run
from mxdask.io.mask import write_mask
from mxdask.models import Detector, Experiment

SHAPE = (20, 30)


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    frames = np.random.default_rng(3).poisson(4.0, (7, *SHAPE)).astype("uint16")
    write_data(tmp_path / "d.h5", frames)
    mask = np.zeros(SHAPE, np.uint8)
    mask[0, 0] = 1
    master = write_master(tmp_path / "m.nxs", [("d.h5", 7)], SHAPE, "uint16", mask=mask)
    with Flow("sync") as flow:
        return run([master], Params(), flow=flow)[0][0]


def with_panel(experiment: Experiment, **changes: object) -> Experiment:
    assert experiment.detector is not None
    return experiment.evolve(detector=Detector((replace(experiment.detector[0], **changes),)))  # type: ignore[arg-type]


def with_mask(experiment: Experiment, path: Path) -> Experiment:
    assert experiment.imageset is not None
    return experiment.evolve(imageset=replace(experiment.imageset, mask=str(path)))


@pytest.mark.parametrize("suffix", [".npz", ".mask", ".npy"])
def test_masks_are_anded(experiment: Experiment, tmp_path: Path, suffix: str) -> None:
    looked_up = np.ones(SHAPE, bool)
    looked_up[5, 6] = False
    path = tmp_path / f"x{suffix}"
    if suffix == ".npy":
        np.save(path, looked_up)
    else:
        write_mask(path, [looked_up])
    changed = with_mask(with_panel(experiment, untrusted=((2, 3, 4, 6), (28, 18, 99, 99))), path)
    (good,) = open_stack(changed).mask()
    expected = looked_up.copy()
    expected[0, 0] = expected[3:6, 2:4] = expected[18:, 28:] = False
    expected[0, 0] = False
    assert np.array_equal(good, expected)


def test_mask_of_another_detector_names_both_shapes(experiment: Experiment, tmp_path: Path) -> None:
    write_mask(tmp_path / "x.npz", [np.ones((3, 4), bool)])
    with pytest.raises(FileError, match=r"x\.npz.*\(3, 4\).*\(20, 30\)"):
        open_stack(with_mask(experiment, tmp_path / "x.npz")).mask()
    with pytest.raises(FileError, match=r"absent\.mask"):
        open_stack(with_mask(experiment, tmp_path / "absent.mask")).mask()


@pytest.mark.parametrize("block", [1, 3, 7, 50])
def test_dask_array_does_not_depend_on_blocks(experiment: Experiment, block: int) -> None:
    stack = open_stack(experiment)
    array = stack.to_dask(block)
    assert array.dtype == np.uint16
    with stack.reader() as reader:
        expected = np.stack([reader.read(z)[0].copy() for z in range(7)])
    assert np.array_equal(array.compute(scheduler="sync"), expected)
    assert np.array_equal(array[5, 2:4].compute(scheduler="sync"), expected[5, 2:4])


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_zarr_store_is_bit_identical(experiment: Experiment, tmp_path: Path, codec: str) -> None:
    with Flow("threads", n_workers=2) as flow:
        converted = convert(experiment, tmp_path / "s.zarr", flow=flow, block=3, codec=codec)  # type: ignore[arg-type]
        original, copy = open_stack(experiment), open_stack(converted)
        assert original.mask()[0] is copy.mask()[0]
        with original.reader() as a, copy.reader() as b:
            for z in range(7):
                assert np.array_equal(a.read(z)[0], b.read(z)[0])
        group = zarr.open_group(tmp_path / "s.zarr", mode="r")
        assert group["frames"].chunks == (1, *SHAPE)
        assert group["frames"].shards == (3, *SHAPE)
        assert len(group["crc32"][...]) == 7
        (imported,), _ = run([tmp_path / "s.zarr"], Params(), flow=flow)
    assert imported.scan is not None
    assert experiment.scan is not None
    assert imported.scan.image_range == experiment.scan.image_range
    assert imported.scan.oscillation == experiment.scan.oscillation


def test_zarr_conversion_goes_on_where_it_stopped(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mxdask.images import zarr_convert

    path = tmp_path / "s.zarr"
    written: list[int] = []
    write = zarr_convert._copy_block

    def failing(stack, store, first, end):  # type: ignore[no-untyped-def]
        written.append(first)
        if len(written) == 2:
            raise MxdaskError("disk full")
        return write(stack, store, first, end)

    monkeypatch.setattr(zarr_convert, "_copy_block", failing)
    with Flow("sync") as flow:
        with pytest.raises(MxdaskError, match="disk full"):
            convert(experiment, path, flow=flow, block=3)
        with pytest.raises(MxdaskError, match="not finished"):
            run([path], Params(), flow=flow)
        assert len(list((path / ".progress").iterdir())) == 2  # of three shards
        converted = convert(experiment, path, flow=flow, block=3)
    with open_stack(experiment).reader() as a, open_stack(converted).reader() as b:
        assert all(np.array_equal(a.read(z)[0], b.read(z)[0]) for z in range(7))


def test_zarr_store_of_other_images_is_refused(experiment: Experiment, tmp_path: Path) -> None:
    with Flow("sync") as flow:
        convert(experiment, tmp_path / "s.zarr", flow=flow, block=3)
        with pytest.raises(FileError, match="other images"):
            convert(experiment, tmp_path / "s.zarr", flow=flow, block=4)


@pytest.mark.dials
def test_other_formats_through_fabio(data_dir: Path, tmp_path: Path, dials) -> None:  # type: ignore[no-untyped-def]
    fabio = pytest.importorskip("fabio")
    from mxdask.io.expt import read_expt

    shutil.copy(data_dir / "formats" / "TIMEPIX_SU_512-stdgoni_0001.img", tmp_path)
    dials("import", "TIMEPIX_SU_512-stdgoni_0001.img", cwd=tmp_path)
    stack = open_stack(read_expt(tmp_path / "imported.expt")[0])
    whole = fabio.open(str(tmp_path / "TIMEPIX_SU_512-stdgoni_0001.img")).data
    with stack.reader() as reader:
        panels = reader.read(0)
    assert len(panels) == 4
    assert np.array_equal(panels[1], whole[1:255, 257:511])
