"""What sources with one file per image have in common: CBF, SMV, formats of fabio."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from mxdask.errors import FileError
from mxdask.io.templates import image_path


@dataclass(frozen=True)
class FilePerImage:
    """Images of a template (or a list of files); "frame" is the image number (or the place in the list).

    Attributes
    ----------
    first : a frame that is there, for what all have in common.
    """

    template: str
    paths: tuple[str, ...] = ()
    first: int = 1

    def shape(self) -> None:
        """Each file says its own."""

    def file_of(self, frame: int) -> str:
        return self.paths[frame] if self.paths else image_path(self.template, frame)

    def files(self, frames: Iterable[int]) -> list[str]:
        return [self.file_of(frame) for frame in frames]

    def check(self, first: int, last: int) -> None:
        """Raise a FileError that names the first absent file of frames first..last."""
        check_files(self.files(range(first, last + 1)))

    def good_pixels(self) -> None:
        """There is no mask beside the images."""


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
