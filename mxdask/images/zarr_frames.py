"""Frames and mask of a Zarr store written by :mod:`mxdask.images.zarr_store`."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mxdask.errors import FileError

if TYPE_CHECKING:
    import zarr

    from mxdask.images.zarr_shards import ShardReader

FRAMES, MASK = "frames", "mask"


@dataclass(frozen=True)
class Layout:
    """What a store says of itself: z of its frames (absolute, half-open), their shape and type, frames per shard.

    ``missing``: z of the frames that could not be read when the store was written, with the reason.
    """

    array_range: tuple[int, int]
    shape: tuple[int, int]
    dtype: np.dtype
    block: int
    missing: dict[int, str]


@dataclass(frozen=True)
class ZarrSource:
    """The array ``frames`` (frame, slow, fast) of a store; a frame's number is its z (image number - 1)."""

    path: str

    def shape(self) -> tuple[int, int]:
        return layout(self.path).shape

    def dtype(self) -> np.dtype:
        return layout(self.path).dtype

    def files(self, frames: Iterable[int]) -> list[str]:
        return [os.path.join(self.path, "zarr.json")]

    def check(self, first: int, last: int) -> None:
        start, end = layout(self.path).array_range
        if first < start or last >= end:
            raise FileError(
                f"{self.path}: images {first + 1}..{last + 1} are wanted but the store holds {start + 1}..{end}"
            )

    def open(self) -> ZarrFrames:
        return ZarrFrames(self.path)

    def good_pixels(self) -> np.ndarray | None:
        """(slow, fast) bool, True = good, from the source's pixel mask; None without one."""
        group = open_store(self.path)
        try:
            good = np.asarray(group[MASK][...]) if group.attrs.get("has_mask") else None
        except (KeyError, OSError, RuntimeError, ValueError, TypeError) as error:
            raise FileError(f"{self.path}: the mask in the store is damaged ({error}); convert again") from error
        if good is not None and (good.shape != self.shape() or good.dtype != bool):
            raise FileError(f"{self.path}: the mask in the store is {good.shape} {good.dtype}, frames {self.shape()}")
        return good


class ZarrFrames:
    """Reads frames by z; belongs to one thread. The next read overwrites the returned array."""

    def __init__(self, path: str) -> None:
        self._path, self._layout = path, layout(path)
        self._frame = np.empty(self._layout.shape, dtype=self._layout.dtype)
        self._shard: tuple[int, ShardReader] | None = None

    def read(self, frame: int) -> np.ndarray:
        """(slow, fast) raw pixels of the frame at z.

        Raises
        ------
        FileError : the frame is not in the store or is damaged.
        """
        start, end = self._layout.array_range
        if not start <= frame < end:
            raise FileError(f"{self._path}: image {frame + 1} is wanted, the store holds {start + 1}..{end}")
        number, slot = divmod(frame - start, self._layout.block)
        try:
            found = self._open(number).read(slot, self._frame)
        except FileError as error:
            raise FileError(f"{error}; image {frame + 1} cannot be read, convert the images again") from error
        except (RuntimeError, ValueError) as error:  # Blosc's complaints
            raise FileError(f"{self._path}: image {frame + 1} cannot be unpacked ({error}); convert again") from error
        if not found:
            reason = self._layout.missing.get(frame, "it was never written")
            raise FileError(f"{self._path}: image {frame + 1} is not in the store ({reason})")
        return self._frame

    def _open(self, number: int) -> ShardReader:
        from mxdask.images.zarr_shards import ShardReader  # its codecs are heavy, and few read stores

        if self._shard is None or self._shard[0] != number:
            self.close()
            self._shard = number, ShardReader(shard_path(self._path, number), self._layout.block)
        return self._shard[1]

    def close(self) -> None:
        if self._shard is not None:
            self._shard[1].close()
            self._shard = None


def shard_path(store: str | Path, number: int) -> Path:
    """File of a shard, by Zarr's default chunk key encoding."""
    return Path(store) / FRAMES / "c" / str(number) / "0" / "0"


def layout(path: str) -> Layout:
    """The layout of a finished store.

    Raises
    ------
    FileError : not a store, not finished, or not one that this program wrote.
    """
    return _layout(path, _stamp(path))


@functools.lru_cache(maxsize=1024)
def _layout(path: str, stamp: int) -> Layout:
    group = open_store(path)
    if not group.attrs.get("complete", False):
        raise FileError(
            f"{path}: the conversion to Zarr was not finished; give the command that writes it again "
            "(it goes on where it stopped)"
        )
    try:
        frames = group[FRAMES]
        first, end = (int(z) for z in group.attrs["array_range"])
        slow, fast = (int(n) for n in frames.shape[1:])
        block = int(frames.shards[0])
        missing = {int(z): str(reason) for z, reason in group.attrs.get("missing", {}).items()}
        fits = frames.shape[0] == end - first > 0 and frames.chunks == (1, slow, fast) and slow * fast < 2**31
        if not fits or frames.shards != (block, slow, fast) or frames.dtype.kind not in "iu":
            raise ValueError(f"frames {frames.shape} {frames.dtype} in shards {frames.shards} for images {first}-{end}")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FileError(f"{path}: not a store of frames written by mxdask ({error}); convert again") from error
    return Layout((first, end), (slow, fast), frames.dtype.newbyteorder("="), block, missing)


def open_store(path: str | Path) -> zarr.Group:
    """The group of a store, finished or not.

    Raises
    ------
    FileError : not a Zarr v3 group.
    """
    import zarr

    _stamp(str(path))
    try:
        return zarr.open_group(path, mode="r")
    except Exception as error:  # zarr raises many kinds for metadata it does not understand
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise FileError(f"{path}: not a store of frames written by mxdask ({reason}); convert again") from error


def _stamp(path: str) -> int:
    try:
        return os.stat(os.path.join(path, "zarr.json")).st_mtime_ns
    except OSError as error:
        raise FileError(f"{path}: a folder, but no Zarr v3 store; for a folder of images use directory=") from error
