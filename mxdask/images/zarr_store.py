"""Images of a sweep as a Zarr v3 store: one frame per chunk, one block of frames per shard.

A block is written by one task and by nobody else (two writers in one shard lose data: zarr #3682). What a finished
block needs beyond its pixels is a note in ``.progress``; a block without a note is written again, so that work that was
interrupted goes on where it stopped. The store counts as complete when :func:`finish_store` has joined the notes.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from mxdask import __version__
from mxdask.errors import FileError
from mxdask.images.stack import ImageStack, open_stack
from mxdask.images.zarr_frames import FRAMES, MASK, layout, open_store, shard_path
from mxdask.images.zarr_shards import LEVEL, Codec, ShardWriter, writing
from mxdask.io.atomic import replacing
from mxdask.io.expt import to_dict
from mxdask.io.expt_models import beam_from_dict, detector_from_dict, goniometer_from_dict, scan_from_dict
from mxdask.io.image_header import ImageHeader
from mxdask.models import Experiment, ExperimentList, ImageSet

_PROGRESS, _LOOKUP = ".progress", "lookup"
_LOOKUPS = ("mask", "gain", "pedestal", "dx", "dy")


@dataclass(frozen=True)
class ZarrStore:
    """A store that is being written: small, picklable, no open files.

    Attributes
    ----------
    path : the folder. array_range : z of its frames (absolute, half-open). block : frames per shard.
    shape, dtype : of a whole frame as stored, (slow, fast).
    """

    path: str
    array_range: tuple[int, int]
    block: int
    codec: Codec
    shape: tuple[int, int]
    dtype: str

    def blocks(self) -> list[tuple[int, int]]:
        """z ranges (half-open) of the shards; the last may be shorter."""
        first, end = self.array_range
        return [(z, min(z + self.block, end)) for z in range(first, end, self.block)]

    @property
    def is_complete(self) -> bool:
        return bool(open_store(self.path).attrs.get("complete", False))

    def is_written(self, first: int) -> bool:
        """Whether the block that begins at z = ``first`` is done."""
        return self.is_complete or self._note(first).exists()

    @contextlib.contextmanager
    def writing(self, first: int) -> Iterator[BlockWriter]:
        """A writer for the block that begins at z = ``first``; the block counts when all its frames were added.

        Raises
        ------
        FileError : the disk is full, or frames differ in shape or type.
        """
        number, offset = divmod(first - self.array_range[0], self.block)
        count = min(self.block, self.array_range[1] - first)
        if offset or count < 1:
            raise ValueError(f"no block of {self.path} begins at z={first}")
        with writing(shard_path(self.path, number), self.block, self.codec) as shard:
            writer = BlockWriter(self, first, shard)
            yield writer
            if len(writer.note.crc32) != count:
                raise ValueError(f"{len(writer.note.crc32)} frames were added to a block of {count}")
        with replacing(self._note(first)) as temporary:
            temporary.write_text(json.dumps(vars(writer.note)))

    def notes(self) -> list[Note]:
        """Notes of all blocks, in order.

        Raises
        ------
        FileError : a block was not written.
        """
        out = []
        for first, end in self.blocks():
            try:
                out.append(Note(**json.loads(self._note(first).read_text())))
            except (OSError, TypeError, ValueError) as error:
                raise FileError(f"{self.path}: images {first + 1}-{end} were not written") from error
        return out

    def _note(self, first: int) -> Path:
        return Path(self.path) / _PROGRESS / f"{first - self.array_range[0]:06d}.json"


class Note:
    """Of every frame of a block the CRC-32 of its pixels and its largest value; z → reason of those left out."""

    def __init__(
        self,
        crc32: Iterable[int] = (),
        largest: Iterable[int] = (),
        missing: dict[str, str] | None = None,
    ) -> None:
        self.crc32, self.largest, self.missing = list(crc32), list(largest), missing or {}


class BlockWriter:
    """Takes the frames of one block in order."""

    def __init__(self, store: ZarrStore, first: int, shard: ShardWriter) -> None:
        self._store, self._shard, self._z = store, shard, first
        self.note = Note()

    def add(self, frame: np.ndarray) -> Self:
        """The next frame, whole and raw (``StackReader.read_whole``); it is packed at once, no copy is kept."""
        if frame.shape != self._store.shape or frame.dtype != np.dtype(self._store.dtype):
            raise FileError(
                f"{self._store.path}: image {self._z + 1} is {frame.shape} {frame.dtype}, the others "
                f"{self._store.shape} {self._store.dtype}"
            )
        frame = np.ascontiguousarray(frame)
        self._shard.add(frame)
        self._next(zlib.crc32(frame.data), int(frame.max()))
        return self

    def skip(self, reason: str) -> None:
        """The next frame cannot be read: whoever asks the store for it is told why."""
        self._shard.skip()
        self.note.missing[str(self._z)] = reason
        self._next(0, 0)

    def _next(self, crc32: int, largest: int) -> None:
        self.note.crc32.append(crc32)
        self.note.largest.append(largest)
        self._z += 1


def create_store(experiment: Experiment, path: str | Path, *, block: int = 20, codec: Codec = "zstd") -> ZarrStore:
    """Make an empty store for the images of an experiment, or accept one begun earlier for the same images.

    Parameters
    ----------
    path : the store, by custom ``name.zarr``.
    block : frames per shard; a task writes one or more whole shards.
    codec : ``zstd`` for data to keep (smaller), ``lz4`` for scratch (quicker to write).

    Raises
    ------
    FileError : no image can be read, or the store holds other images.
    """
    path = Path(path).resolve()
    stack = open_stack(experiment)
    attributes: dict[str, Any] = {
        "sources": _sources(stack), "block": block, "codec": codec, "array_range": list(stack.array_range),
    }  # fmt: skip
    if path.exists():
        existing = dict(open_store(path).attrs)
        if any(existing.get(key) != value for key, value in attributes.items()):
            raise FileError(f"{path} holds other images (or other blocks); remove it or choose another name")
        shape, dtype = tuple(existing["shape"]), existing["dtype"]
    else:
        shape, dtype = _frame_type(stack)
        attributes |= {"shape": list(shape), "dtype": dtype, "mxdask": __version__, "complete": False}
        _create(path, stack, experiment, attributes)
    return ZarrStore(str(path), stack.array_range, block, codec, (shape[0], shape[1]), dtype)


def store_names(experiments: Iterable[Experiment]) -> list[str]:
    """File name of each experiment's store, the same for lattices that share their images.

    Parts of one sweep, and different sweeps of one name, get their image range or a number added.
    """
    names: list[str] = []
    taken: dict[str, Any] = {}
    for experiment in experiments:
        imageset, scan = experiment.imageset, experiment.scan
        images = (imageset and (imageset.template, imageset.paths), scan and scan.image_range)
        ranged = f"{experiment.name}_{scan.image_range[0]}-{scan.image_range[1]}" if scan else experiment.name
        numbered = (f"{ranged}_{k}" for k in itertools.count(2))
        for stem in itertools.chain((experiment.name, ranged), numbered):
            if taken.setdefault(stem, images) == images:
                names.append(f"{stem}.zarr")
                break
    return names


def write_block(store: ZarrStore, first: int, frames: Iterable[np.ndarray]) -> None:
    """Write the whole block that begins at z = ``first``; nothing happens when it is there already."""
    if not store.is_written(first):
        with store.writing(first) as writer:
            for frame in frames:
                writer.add(frame)


def finish_store(store: ZarrStore, experiment: Experiment) -> Experiment:
    """Declare a store complete, all its blocks being written; gives the experiment with its images in the store.

    Raises
    ------
    FileError : a block was not written.
    """
    if not store.is_complete:
        import zarr  # here, as it takes a sixth of a second that runs without stores need not spend

        notes = store.notes()
        group = zarr.open_group(store.path, mode="r+")
        crc32 = np.concatenate([np.array(n.crc32, dtype=np.uint32) for n in notes])
        largest = np.concatenate([np.array(n.largest, dtype=np.int64) for n in notes])
        for name, values in (("crc32", crc32), ("largest", largest)):
            group.create_array(name, data=values, overwrite=True)
        group.attrs.update({"missing": {z: r for n in notes for z, r in n.missing.items()}, "complete": True})
        shutil.rmtree(Path(store.path) / _PROGRESS, ignore_errors=True)
    old = experiment.imageset or ImageSet("")
    imageset = replace(
        old, template=store.path, paths=(), single_file_indices=tuple(range(*store.array_range)), kind="ImageSequence",
        **_lookups(store.path),
    )  # fmt: skip
    return experiment.evolve(imageset=imageset)


def _sources(stack: ImageStack) -> dict[str, list[int]]:
    """Size and time of every file the pixels come from."""
    sources = {}
    for name in stack.source.files(stack.frames):
        try:
            status = os.stat(name)
        except OSError as error:
            raise FileError(f"{name}: cannot be read ({error.strerror})") from error
        sources[name] = [status.st_size, status.st_mtime_ns]
    return sources


def _frame_type(stack: ImageStack) -> tuple[tuple[int, int], str]:
    """Shape and type of whole frames; where each file says its own, of the first that can be read."""
    shape = stack.source.shape()
    if shape is not None:
        return shape, stack.source.dtype().newbyteorder("=").name
    problem: FileError | None = None
    with stack.reader() as reader:
        for z in range(*stack.array_range):
            try:
                frame = reader.read_whole(z)
                return (frame.shape[0], frame.shape[1]), frame.dtype.name
            except FileError as error:
                problem = problem or error
    raise FileError(f"no image can be read: {problem}")


def _create(path: Path, stack: ImageStack, experiment: Experiment, attributes: dict[str, Any]) -> None:
    """Write the empty store under a temporary name and rename it."""
    import zarr
    from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, ShardingCodec

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    shape, block, codec = attributes["shape"], attributes["block"], attributes["codec"]
    alone = ExperimentList([replace(experiment, crystal=None, profile=None, scaling_model=None)])
    try:
        group = zarr.create_group(temporary, attributes=attributes | {"experiment": to_dict(alone)})
        packing = BloscCodec(cname=codec, clevel=LEVEL[codec], shuffle="bitshuffle")
        sharding = ShardingCodec(chunk_shape=(1, *shape), codecs=[BytesCodec(), packing, Crc32cCodec()])
        group.create_array(
            FRAMES, shape=(stack.n_images, *shape), dtype=attributes["dtype"], chunks=(block, *shape),
            serializer=sharding, compressors=None, filters=None, dimension_names=("frame", "slow", "fast"),
        )  # fmt: skip
        good = stack.source.good_pixels()
        group.attrs["has_mask"] = good is not None
        if good is not None:
            group.create_array(MASK, data=good, chunks=good.shape)
        _copy_lookups(experiment.imageset, temporary / _LOOKUP)
        (temporary / _PROGRESS).mkdir()
        os.rename(temporary, path)
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _copy_lookups(imageset: ImageSet | None, folder: Path) -> None:
    """Copies of mask and maps, so that the store is all a later step needs."""
    for kind in _LOOKUPS:
        name = None if imageset is None else getattr(imageset, kind)
        if name:
            folder.mkdir(exist_ok=True)
            shutil.copyfile(name, folder / f"{kind}{Path(name).suffix}")


def _lookups(path: str) -> dict[str, Any]:
    found = {p.stem: str(p) for p in sorted((Path(path) / _LOOKUP).glob("*"))}
    return {kind: found[kind] for kind in _LOOKUPS if kind in found}


def read_store_header(path: str) -> ImageHeader:
    """The models kept with a store, for import.

    Raises
    ------
    FileError : not a finished store of images.
    """
    layout(path)
    content = open_store(path).attrs["experiment"]
    kinds: dict[str, Callable[[dict[str, Any]], Any]] = {
        "beam": beam_from_dict, "detector": detector_from_dict, "goniometer": goniometer_from_dict,
        "scan": scan_from_dict,
    }  # fmt: skip
    models: dict[str, Any] = {kind: build(content[kind][0]) if content[kind] else None for kind, build in kinds.items()}
    if models["beam"] is None or models["detector"] is None:
        raise FileError(f"{path}: the store's experiment has no beam or detector; convert the images again")
    return ImageHeader(path, "Zarr", **models, is_container=True, template=path, lookups=_lookups(path))
