"""Images of a sweep as a Zarr v3 store: one frame per chunk, one block of frames per shard.

A task writes one whole shard (two writers in one shard lose data: zarr #3682), so shards are independent; a conversion
that was interrupted goes on with the shards that are missing.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from mxdask import __version__
from mxdask.errors import FileError, MxdaskError
from mxdask.flow import Failed, Flow
from mxdask.images.stack import ImageStack, open_stack
from mxdask.images.zarr_frames import FRAMES, MASK, open_frames
from mxdask.io.atomic import replacing
from mxdask.io.expt import beam_from_dict, detector_from_dict, goniometer_from_dict, scan_from_dict, to_dict
from mxdask.io.image_header import ImageHeader
from mxdask.models import Experiment, ExperimentList, ImageSet

log = logging.getLogger(__name__)
_PROGRESS = ".progress"


def convert(
    experiment: Experiment,
    path: str | Path,
    *,
    flow: Flow,
    block: int = 20,
    codec: Literal["lz4", "zstd"] = "zstd",
) -> Experiment:
    """Copy the images of an experiment into a Zarr store, bit for bit.

    Parameters
    ----------
    path : the store, by custom ``name.zarr``.
    block : frames per shard and task.
    codec : ``zstd`` for data to keep (smaller), ``lz4`` for scratch (quicker to write).

    Returns
    -------
    The experiment with its images in the store.

    Raises
    ------
    MxdaskError : images are missing or damaged, or the store holds other images.
    """
    path = Path(path).resolve()
    stack = open_stack(experiment)
    attributes = _attributes(experiment, stack, block, codec)
    if not _prepare(path, stack, attributes, block, codec):
        log.info("%s is complete already", path)
        return _pointing_at(experiment, path, stack.n_images)
    rows = range(0, stack.n_images, block)
    results = flow.map(_write_shard, [(stack, str(path), row, block) for row in rows], name="convert")
    failed = [r for r in results if isinstance(r, Failed)]
    if failed:
        raise MxdaskError(f"{path}: {len(failed)} of {len(results)} blocks could not be converted: {failed[0].reason}")
    group = zarr.open_group(path, mode="r+")
    for name, dtype in (("crc32", np.uint32), ("largest", np.int64)):
        values = np.concatenate([np.array(r[name], dtype=dtype) for r in results])
        group.create_array(name, data=values, overwrite=True)
    group.attrs["complete"] = True
    shutil.rmtree(path / _PROGRESS)
    log.info("%s: %d images", path, stack.n_images)
    return _pointing_at(experiment, path, stack.n_images)


def _attributes(experiment: Experiment, stack: ImageStack, block: int, codec: str) -> dict[str, Any]:
    sources = {}
    for name in stack.source.files(stack.frames):
        status = os.stat(name)
        sources[name] = [status.st_size, status.st_mtime_ns]
    return {
        "mxdask": __version__, "experiment": to_dict(ExperimentList([replace(experiment, crystal=None)])),
        "sources": sources, "block": block, "codec": codec, "complete": False,
    }  # fmt: skip


def _prepare(path: Path, stack: ImageStack, attributes: dict[str, Any], block: int, codec: str) -> bool:
    """Make the empty store, or accept one of the same images; False when it is complete."""
    if path.exists():
        try:
            existing = dict(zarr.open_group(path, mode="r").attrs)
        except (FileNotFoundError, KeyError, ValueError) as error:
            raise FileError(f"{path} exists and is not a store of images; choose another name") from error
        if any(existing.get(key) != attributes[key] for key in ("sources", "block", "codec")):
            raise FileError(f"{path} holds other images (or other blocks); remove it or choose another name")
        return not existing.get("complete", False)
    group = zarr.create_group(path, attributes=attributes)
    with stack.reader() as reader:
        first = reader.read_whole(stack.array_range[0])
    shape = first.shape
    group.create_array(
        FRAMES, shape=(stack.n_images, *shape), dtype=first.dtype, chunks=(1, *shape), shards=(block, *shape),
        compressors=[BloscCodec(cname=codec, clevel=5 if codec == "lz4" else 3, shuffle="bitshuffle")],
        dimension_names=("frame", "slow", "fast"),
    )  # fmt: skip
    good = stack.source.good_pixels()
    if good is not None:
        group.create_array(MASK, data=good, chunks=good.shape)
    (path / _PROGRESS).mkdir()
    return True


def _write_shard(stack: ImageStack, path: str, row: int, block: int) -> dict[str, list[int]]:
    """Frames row .. row + block of the store; per frame the CRC-32 of its raw pixels and its largest value."""
    note = Path(path) / _PROGRESS / f"{row:06d}.json"
    if note.exists():
        done: dict[str, list[int]] = json.loads(note.read_text())
        return done
    # Parallelism is Dask's: zarr's own threads would only get in its way.
    zarr.config.set({"async.concurrency": 1, "threading.max_workers": 1})
    count = min(block, stack.n_images - row)
    crc, largest = [], []
    frames: np.ndarray | None = None
    with stack.reader() as reader:
        for k in range(count):
            frame = reader.read_whole(stack.array_range[0] + row + k)
            frames = np.empty((count, *frame.shape), dtype=frame.dtype) if frames is None else frames
            frames[k] = frame
            crc.append(zlib.crc32(np.ascontiguousarray(frame).data))
            largest.append(int(frame.max()))
    zarr.open_group(path, mode="r+")[FRAMES][row : row + count] = frames
    with replacing(note) as temporary:
        temporary.write_text(json.dumps({"crc32": crc, "largest": largest}))
    return {"crc32": crc, "largest": largest}


def _pointing_at(experiment: Experiment, path: Path, n_images: int) -> Experiment:
    old = experiment.imageset or ImageSet("")
    indices = tuple(range(n_images))
    imageset = replace(old, template=str(path), paths=(), single_file_indices=indices, kind="ImageSequence")
    return experiment.evolve(imageset=imageset)


def read_store_header(path: str) -> ImageHeader:
    """The models kept with a store, for import.

    Raises
    ------
    FileError : not a finished store of images.
    """
    open_frames(path)
    content = zarr.open_group(path, mode="r").attrs["experiment"]
    kinds: dict[str, Callable[[dict[str, Any]], Any]] = {
        "beam": beam_from_dict, "detector": detector_from_dict, "goniometer": goniometer_from_dict,
        "scan": scan_from_dict,
    }  # fmt: skip
    models: dict[str, Any] = {kind: build(content[kind][0]) if content[kind] else None for kind, build in kinds.items()}
    if models["beam"] is None or models["detector"] is None:
        raise FileError(f"{path}: the store's experiment has no beam or detector; convert the images again")
    return ImageHeader(path, "Zarr", **models, is_container=True, template=path)
