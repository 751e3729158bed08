"""Frames of CBF files, one file per image, plain or zipped."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mxdask.errors import FileError
from mxdask.images.cbf_kernels import decode_byte_offset
from mxdask.io.cbf import CbfBinary, find_binary
from mxdask.io.compressed import read_bytes
from mxdask.io.templates import image_path


@dataclass(frozen=True)
class CbfSource:
    """Images of a template (or a list of files); "frame" is the image number (or the place in the list)."""

    template: str
    paths: tuple[str, ...] = ()

    def shape(self) -> None:
        """Each file says its own."""

    def files(self, frames: Iterable[int]) -> list[str]:
        return [self.file_of(frame) for frame in frames]

    def dtype(self) -> np.dtype:
        return np.dtype(np.int32)

    def file_of(self, frame: int) -> str:
        return self.paths[frame] if self.paths else image_path(self.template, frame)

    def check(self, first: int, last: int) -> None:
        """Raise a FileError that names the first absent file of frames first..last."""
        check_files(self.files(range(first, last + 1)))

    def open(self) -> CbfFrames:
        return CbfFrames(self)

    def good_pixels(self) -> None:
        """Bad pixels of a CBF are negative values; there is no separate mask."""


def check_files(files: list[str]) -> None:
    """Raise a FileError that says which files are absent (folders are listed once: cheap on network file systems)."""
    present: dict[str, set[str]] = {}
    absent = []
    for name in files:
        folder, base = os.path.split(name)
        if folder not in present:
            try:
                present[folder] = set(os.listdir(folder or "."))
            except OSError as error:
                raise FileError(f"{folder}: cannot be listed ({error.strerror}), images are expected there") from error
        if base not in present[folder]:
            absent.append(name)
    if absent:
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        raise FileError(f"{absent[0]}: image file is missing{more}; copy it or cut the sweep with image_range=")


class CbfFrames:
    """Reads images by number; belongs to one thread. The returned array is overwritten by the next read."""

    def __init__(self, source: CbfSource) -> None:
        self._source = source
        self._frame = np.empty((0, 0), dtype=np.int32)

    def read(self, frame: int) -> np.ndarray:
        """(slow, fast) int32 raw pixels.

        Raises
        ------
        FileError : the file is missing, cut off, damaged or of another shape.
        """
        path = self._source.file_of(frame)
        self._frame = decode(read_bytes(path), path, self._frame)
        return self._frame

    def close(self) -> None:
        """Nothing stays open between reads."""


def decode(content: bytes, path: str, buffer: np.ndarray) -> np.ndarray:
    """(slow, fast) int32 pixels of a CBF file's content; ``buffer`` is reused when it has the right shape."""
    binary = find_binary(content, path)
    out = buffer if buffer.shape == binary.shape else np.empty(binary.shape, dtype=np.int32)
    if binary.start + binary.nbytes > len(content):
        found = len(content) - binary.start
        raise FileError(f"{path}: image is cut off: {found} of {binary.nbytes} bytes; copy it again")
    packed = np.frombuffer(content, dtype=np.uint8, count=binary.nbytes, offset=binary.start)
    if binary.packing == "x-CBF_NONE":
        _copy_plain(packed, binary, path, out)
    elif decode_byte_offset(packed, out.reshape(-1)) != out.size:
        raise FileError(f"{path}: packed pixels end too early; the file is damaged, copy it again")
    return out


def _copy_plain(packed: np.ndarray, binary: CbfBinary, path: str, out: np.ndarray) -> None:
    itemsize = np.dtype(binary.element_type).itemsize
    if packed.size < out.size * itemsize:
        raise FileError(f"{path}: image is cut off; copy it again")
    out.reshape(-1)[:] = packed[: out.size * itemsize].view(binary.element_type)
