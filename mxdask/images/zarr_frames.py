"""Frames and mask of a Zarr store written by :mod:`mxdask.images.zarr_store`."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import zarr

from mxdask.errors import FileError

FRAMES, MASK = "frames", "mask"


@dataclass(frozen=True)
class ZarrSource:
    """The array ``frames`` (frame, slow, fast) of a store."""

    path: str

    def shape(self) -> tuple[int, int]:
        return open_frames(self.path).shape[1:]

    def dtype(self) -> np.dtype:
        return open_frames(self.path).dtype

    def files(self, frames: Iterable[int]) -> list[str]:
        return [os.path.join(self.path, "zarr.json")]

    def check(self, first: int, last: int) -> None:
        n_frames = open_frames(self.path).shape[0]
        if first < 0 or last >= n_frames:
            raise FileError(f"{self.path}: frame {last} is wanted but the store holds {n_frames} frames")

    def open(self) -> ZarrFrames:
        return ZarrFrames(self.path)

    def good_pixels(self) -> np.ndarray | None:
        group = _open_group(self.path, _stamp(self.path))
        return np.asarray(group[MASK][...]) if MASK in group else None


class ZarrFrames:
    """Reads frames by number; belongs to one thread."""

    def __init__(self, path: str) -> None:
        self._path, self._array = path, open_frames(path)

    def read(self, frame: int) -> np.ndarray:
        """(slow, fast) raw pixels of a frame (0-based).

        Raises
        ------
        FileError : the frame was never written or cannot be unpacked.
        """
        try:
            return np.asarray(self._array[frame])
        except Exception as error:  # zarr and its codecs raise many kinds for damaged chunks
            raise FileError(f"{self._path}: frame {frame} cannot be read ({error}); convert them again") from error

    def close(self) -> None:
        """Nothing stays open between reads."""


def open_frames(path: str) -> zarr.Array:
    """The array of frames of a finished store."""
    group = _open_group(path, _stamp(path))
    if not group.attrs.get("complete", False):
        raise FileError(f"{path}: the conversion to Zarr was not finished; run it again (it goes on where it stopped)")
    return group[FRAMES]


def _stamp(path: str) -> int:
    try:
        return os.stat(os.path.join(path, "zarr.json")).st_mtime_ns
    except OSError as error:
        raise FileError(f"{path}: a folder, but no Zarr v3 store; for a folder of images use directory=") from error


@functools.lru_cache(maxsize=256)
def _open_group(path: str, stamp: int) -> zarr.Group:
    try:
        group = zarr.open_group(path, mode="r")
        group[FRAMES]
    except (KeyError, OSError, ValueError) as error:
        raise FileError(f"{path}: not a store of frames written by mxdask ({error})") from error
    return group
