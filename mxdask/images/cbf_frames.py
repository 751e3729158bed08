"""Frames of CBF files, one file per image, plain or zipped."""

from __future__ import annotations

import numpy as np

from mxdask.errors import FileError
from mxdask.images.cbf_kernels import decode_byte_offset
from mxdask.images.file_per_image import FilePerImage
from mxdask.io.cbf import CbfBinary, find_binary
from mxdask.io.compressed import read_bytes


class CbfSource(FilePerImage):
    """Images in CBF files. Bad pixels are negative values in them."""

    def dtype(self) -> np.dtype:
        return np.dtype(np.int32)

    def open(self) -> CbfFrames:
        return CbfFrames(self)


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
