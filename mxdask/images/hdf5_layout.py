"""Which plain HDF5 data sets hold the frames behind a master file, in order."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import h5py
import numpy as np

from mxdask.errors import FileError
from mxdask.io.hdf5 import open_hdf5
from mxdask.io.nexus_axes import text
from mxdask.io.nxmx import entry_of

_DEEPEST = 20  # virtual data sets of virtual data sets …


@dataclass(frozen=True)
class Segment:
    """A run of frames ``first .. first + count`` of the data set ``dataset`` in the file ``path``.

    ``through_hdf5``: only the HDF5 library can assemble these frames (an irregular virtual data set).
    """

    path: str
    dataset: str
    first: int
    count: int
    through_hdf5: bool = False


def image_segments(path: str) -> tuple[list[Segment], str]:
    """The data sets with the pixels of a NeXus or Eiger master file, in the order of frames.

    A master that is ahead of its data (they are still being written or copied) gives the frames before the first gap
    and the reason why there are no more; else the reason is "".

    Raises
    ------
    FileError : no image data, or the first file the master points to is missing.
    """
    segments: list[Segment] = []
    shortfall = ""
    with open_hdf5(path) as file:
        for name in _image_datasets(file, path):
            try:
                for segment in _resolve(file, name, path):
                    segments.append(segment)
            except FileError as error:
                shortfall = str(error)
                break
    segments = [s for s in segments if s.count]
    if not segments:
        raise FileError(shortfall or f"{path}: the image data set holds no frames")
    return segments, shortfall


def _image_datasets(file: h5py.File, path: str) -> list[str]:
    """Names of the image data sets: NXdata's signal, else data_000001, data_000002 … (Eiger file writer)."""
    group = _data_group(file, path)
    numbered = sorted((n for n in group if re.fullmatch(r"data_\d+", n)), key=lambda n: int(n[5:]))
    signal = text(group.attrs.get("signal", "data"))
    if signal in group:
        return [f"{group.name}/{signal}"]
    if numbered:
        return [f"{group.name}/{name}" for name in numbered]
    raise FileError(f"{path}: {group.name} holds neither {signal!r} nor data_000001 …; this master has no images")


def _data_group(file: h5py.File, path: str) -> h5py.Group:
    entry = entry_of(file)
    if entry is None:
        raise FileError(f"{path}: no NXentry group; not a NeXus or Eiger master file")
    for name in ("data", *entry):
        child = entry.get(name)
        if isinstance(child, h5py.Group) and (name == "data" or text(child.attrs.get("NX_class", "")) == "NXdata"):
            return child
    raise FileError(f"{path}: no NXdata group with images found")


def _resolve(file: h5py.File, name: str, master: str, depth: int = 0) -> Iterator[Segment]:
    """Follow links and virtual mappings from one data set down to plain ones."""
    if depth > _DEEPEST:
        raise FileError(f"{master}: the data sets point at each other in a circle ({name})")
    try:
        data = file[name]
    except (KeyError, OSError, RuntimeError) as error:
        raise FileError(f"{master}: {_broken_link(file, name)}") from error
    if not isinstance(data, h5py.Dataset) or data.ndim not in (3, 4):
        what = f"{data.shape}" if isinstance(data, h5py.Dataset) else "a group"
        raise FileError(f"{master}: {name} is {what}, a stack (frame, slow, fast) is needed")
    here = os.path.realpath(data.file.filename)
    if not data.is_virtual:
        yield Segment(here, data.name, 0, data.shape[0])
        return
    runs = _virtual_runs(data)
    if runs is None:
        yield Segment(here, data.name, 0, data.shape[0], through_hdf5=True)
        return
    for source_file, source_name, first, count in runs:
        source = here if source_file == "." else _find_beside(source_file, here, master)
        with open_hdf5(source) as other:
            yield from _cut(_resolve(other, source_name, master, depth + 1), first, count, master, source)


def _virtual_runs(data: h5py.Dataset) -> list[tuple[str, str, int, int]] | None:
    """(file, data set, first source frame, count) in order; None unless whole frames are mapped in a row."""
    runs = []
    for source in data.virtual_sources():
        target = (0, data.shape[0]) if _is_all(source.vspace) else _whole_frames(source.vspace, data.shape[1:])
        if target is None or "%" in source.file_name:
            return None
        if _is_all(source.src_space):  # its extent is not stored
            origin: tuple[int, int] | None = (0, target[1])
        else:
            origin = _whole_frames(source.src_space, data.shape[1:])
        if origin is None or target[1] != origin[1]:
            return None
        runs.append((target[0], (source.file_name, source.dset_name, *origin)))
    runs.sort(key=lambda run: run[0])
    expected = 0
    for start, run in runs:
        if start != expected:
            return None
        expected += run[3]
    return [run for _, run in runs] if expected == data.shape[0] else None


def _whole_frames(space: h5py.h5s.SpaceID, frame_shape: tuple[int, ...]) -> tuple[int, int] | None:
    """(first, count) of consecutive whole frames a selection covers, or None for anything else."""
    try:
        low, high = space.get_select_bounds()
    except (ValueError, RuntimeError):
        return None
    count = high[0] - low[0] + 1
    covered = all(a == 0 and b == n - 1 for a, b, n in zip(low[1:], high[1:], frame_shape, strict=True))
    if not covered or space.get_select_npoints() != count * int(np.prod(frame_shape)):
        return None
    return int(low[0]), int(count)


def _cut(segments: Iterable[Segment], first: int, count: int, master: str, source: str) -> Iterator[Segment]:
    """The frames first .. first + count of a chain of segments."""
    found, position = 0, 0
    for s in segments:
        low, high = max(first, position), min(first + count, position + s.count)
        if high > low:
            yield Segment(s.path, s.dataset, s.first + low - position, high - low, s.through_hdf5)
            found += high - low
        position += s.count
    if found != count:
        raise FileError(f"{master}: wants frames {first}..{first + count - 1} of {source}, which holds only {position}")


def _find_beside(name: str, referring: str, master: str) -> str:
    """A source file by HDF5's rule: as named, or beside the file that names it."""
    folder = os.path.dirname(referring)
    for candidate in (os.path.join(folder, name), os.path.join(folder, os.path.basename(name))):
        if os.path.exists(candidate):
            return os.path.realpath(candidate)
    raise FileError(f"{master}: data file {os.path.join(folder, name)} is missing; copy it beside the master file")


def _broken_link(file: h5py.File, name: str) -> str:
    link = file.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        target = os.path.join(os.path.dirname(os.path.realpath(file.filename)), link.filename)
        if not os.path.exists(target):
            return f"data file {target} is missing; copy it beside the master file"
        return f"data file {target} cannot be read or has no data set {link.path}; copy the file again"
    return f"data set {name} cannot be opened in {file.filename}"


def _is_all(space: h5py.h5s.SpaceID) -> bool:
    return bool(space.get_select_type() == h5py.h5s.SEL_ALL)
