"""Copy the images of an experiment into a Zarr store, block by block, and compare the two."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mxdask.errors import FileError, MxdaskError
from mxdask.flow import Failed, Flow
from mxdask.images.stack import ImageStack, open_stack
from mxdask.images.zarr_frames import open_store
from mxdask.images.zarr_shards import Codec
from mxdask.images.zarr_store import ZarrStore, create_store, finish_store
from mxdask.models import Experiment

log = logging.getLogger(__name__)


def convert(
    experiment: Experiment, path: str | Path, *, flow: Flow, block: int = 20, codec: Codec = "zstd"
) -> Experiment:
    """Copy the images of an experiment into a Zarr store, bit for bit; one that was begun is finished.

    Images that cannot be read are left out with a warning; the store knows them as missing.

    Returns
    -------
    The experiment with its images in the store.

    Raises
    ------
    MxdaskError : a block could not be written, or the store holds other images.
    """
    store = create_store(experiment, path, block=block, codec=codec)
    if store.is_complete:
        log.info("%s is complete already", path)
        return finish_store(store, experiment)
    stack = open_stack(experiment)
    results = flow.map(_copy_block, [(stack, store, first, end) for first, end in store.blocks()], name="convert")
    failed = [r for r in results if isinstance(r, Failed)]
    if failed:
        raise MxdaskError(f"{path}: {len(failed)} of {len(results)} blocks could not be converted: {failed[0].reason}")
    for reason in [r for found in results for r in found]:
        log.warning("left out: %s", reason)
    return finish_store(store, experiment)


def _copy_block(stack: ImageStack, store: ZarrStore, first: int, end: int) -> list[str]:
    """Write one block unless it is there; reasons of the images left out."""
    reasons: list[str] = []
    if store.is_written(first):
        return reasons
    with stack.reader() as reader, store.writing(first) as writer:
        for z in range(first, end):
            try:
                frame = reader.read_whole(z)
            except FileError as error:
                reasons.append(str(error))
                writer.skip(str(error))
            else:
                writer.add(frame)
    return reasons


@dataclass(frozen=True)
class Verified:
    """What comparing a store with its checksums, and with its source when that is given, has found.

    Attributes
    ----------
    name : of the sweep; n_images its images; n_missing those that the store never had.
    with_source : whether every pixel was compared with the source.
    problems : one line for every image that differs or cannot be read.
    """

    name: str
    n_images: int
    n_missing: int
    with_source: bool
    problems: tuple[str, ...]


def verify(converted: Experiment, source: Experiment | None, *, flow: Flow, block: int = 20) -> Verified:
    """Compare every frame of a store with the checksums kept in it and, bit by bit, with the images it was made from.

    Parameters
    ----------
    converted : experiment whose images are in a store.
    source : the same sweep with its original images; None: only the checksums are compared.

    Raises
    ------
    FileError : no finished store, or the sweep and its source do not fit together.
    """
    stack = open_stack(converted)
    assert converted.imageset is not None
    group = open_store(converted.imageset.template)
    start = int(group.attrs["array_range"][0])
    crc32 = np.asarray(group["crc32"][...])
    missing = frozenset(int(z) for z in group.attrs.get("missing", {}))
    original = None if source is None else open_stack(source)
    first, end = stack.array_range
    if original is not None and not original.array_range[0] <= first < end <= original.array_range[1]:
        raise FileError(
            f"{converted.name}: the store has images {first + 1}..{end}, "
            f"the source {original.array_range[0] + 1}..{original.array_range[1]}"
        )
    ranges = [(z, min(z + block, end)) for z in range(first, end, block)]
    items = [(stack, original, z, crc32[z - start : stop - start], missing) for z, stop in ranges]
    problems: list[str] = []
    for (z, stop), result in zip(ranges, flow.map(_compare_block, items, name="verify"), strict=True):
        problems += [f"images {z + 1}-{stop}: {result.reason}"] if isinstance(result, Failed) else result
    n_missing = sum(first <= z < end for z in missing)
    return Verified(converted.name, end - first, n_missing, original is not None, tuple(problems))


def _compare_block(
    stack: ImageStack, original: ImageStack | None, first: int, crc32: Sequence[int], missing: frozenset[int]
) -> list[str]:
    """One line per frame that differs."""
    problems = []
    with stack.reader() as reader:
        other = None if original is None else original.reader().__enter__()
        try:
            for z, expected in enumerate(crc32, first):
                if z in missing:
                    continue
                try:
                    frame = reader.read_whole(z)
                    if zlib.crc32(np.ascontiguousarray(frame).data) != expected:
                        problems.append(f"image {z + 1}: differs from the checksum kept when it was converted")
                    if other is not None:
                        problems += _difference(z, frame, other.read_whole(z))
                except FileError as error:
                    problems.append(f"image {z + 1}: {error}")
        finally:
            if other is not None:
                other.__exit__(None, None, None)
    return problems


def _difference(z: int, frame: np.ndarray, original: np.ndarray) -> list[str]:
    if frame.shape != original.shape or frame.dtype != original.dtype:
        return [f"image {z + 1}: {frame.shape} {frame.dtype}, the source is {original.shape} {original.dtype}"]
    n_pixels = int(np.count_nonzero(frame != original))
    return [f"image {z + 1}: {n_pixels} pixels differ from the source"] if n_pixels else []
