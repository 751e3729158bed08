"""Frames of SMV files, one file per image, plain or zipped."""

from __future__ import annotations

import numpy as np

from mxdask.errors import FileError
from mxdask.images.file_per_image import FilePerImage
from mxdask.io.compressed import read_bytes
from mxdask.io.smv import is_smv, parse_smv


class SmvSource(FilePerImage):
    """Images in SMV files."""

    def dtype(self) -> np.dtype:
        path = self.file_of(self.first)
        return np.dtype(parse_smv(read_bytes(path, 65536), path).dtype).newbyteorder("=")

    def open(self) -> SmvFrames:
        return SmvFrames(self)


class SmvFrames:
    """Reads images by number; belongs to one thread."""

    def __init__(self, source: SmvSource) -> None:
        self._source = source

    def read(self, frame: int) -> np.ndarray:
        """(slow, fast) raw pixels.

        Raises
        ------
        FileError : the file is missing, cut off or not SMV.
        """
        path = self._source.file_of(frame)
        content = read_bytes(path)
        header = parse_smv(content, path)
        n_pixels = header.shape[0] * header.shape[1]
        wanted = n_pixels * np.dtype(header.dtype).itemsize
        if len(content) < header.start + wanted:
            found = max(len(content) - header.start, 0)
            raise FileError(f"{path}: image is cut off: {found} of {wanted} bytes; copy it again")
        pixels = np.frombuffer(content, dtype=header.dtype, count=n_pixels, offset=header.start)
        return pixels.reshape(header.shape).astype(pixels.dtype.newbyteorder("="), copy=False)

    def close(self) -> None:
        """Nothing stays open between reads."""


def is_smv_file(path: str) -> bool:
    """Whether a file that can be read is an SMV image."""
    try:
        return is_smv(read_bytes(path, 64))
    except FileError:
        return False
