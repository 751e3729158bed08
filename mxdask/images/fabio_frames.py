"""Frames of formats that mxdask has no reader for, through fabio (optional): MarCCD, XDS and others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from mxdask.errors import FileError
from mxdask.images.file_per_image import FilePerImage


class FabioSource(FilePerImage):
    """Images in files that fabio reads."""

    def dtype(self) -> np.dtype:
        with open_image(self.file_of(self.first)) as image:
            return image.data.dtype

    def open(self) -> FabioFrames:
        return FabioFrames(self)


class FabioFrames:
    """Reads images by number; belongs to one thread."""

    def __init__(self, source: FabioSource) -> None:
        self._source = source

    def read(self, frame: int) -> np.ndarray:
        """(slow, fast) raw pixels as stored.

        Raises
        ------
        FileError : the file is missing or damaged, or fabio is not installed.
        """
        path = self._source.file_of(frame)
        with open_image(path) as image:
            return image.data

    def close(self) -> None:
        """Nothing stays open between reads."""


@contextlib.contextmanager
def open_image(path: str) -> Iterator[Any]:
    """fabio's image object of a file, with its errors said in one line."""
    try:
        import fabio
    except ImportError as error:
        raise FileError(f"{path}: this format is read by fabio, which is not installed (pip install fabio)") from error
    try:
        image = fabio.open(path)
    except Exception as error:  # fabio raises many kinds for a file it does not know
        raise FileError(f"{path}: fabio cannot read it ({type(error).__name__}: {error})") from error
    try:
        yield image
    finally:
        image.close()
