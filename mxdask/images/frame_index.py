"""Where every frame of an HDF5 data set lies: file, byte offset, length, packing.

Virtual data sets and external links are followed to the files that hold the pixels, so that later a frame is one
``pread`` and one decoder call, without HDF5.
"""

from __future__ import annotations

import math
import os
import threading
from dataclasses import dataclass

import h5py
import numpy as np

from mxdask.errors import FileError
from mxdask.images import bslz4
from mxdask.images.hdf5_layout import Segment, image_segments
from mxdask.io.cbf import MAX_PIXELS
from mxdask.io.hdf5 import open_hdf5

# How a frame is stored: as it is, as one bitshuffle-LZ4 chunk, readable through HDF5 only, not at all.
RAW, BSLZ4, HDF5, ABSENT = 0, 1, 2, 3
MAX_FRAMES = 2**24  # of a data set; more are taken for damage
_BITSHUFFLE_FILTER = 32008
_BITSHUFFLE_LZ4 = 2


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """The frames of one image data set.

    Attributes
    ----------
    shape : (slow, fast) of a frame; ``dtype`` of its pixels (native byte order).
    segments : the plain data sets the frames come from.
    segment : (n,) int16, segment of each frame.
    frame_in_segment : (n,) int32, index within that segment's data set.
    offset, nbytes : (n,) int64, place in the segment's file; -1 for frames read through HDF5.
    storage : (n,) uint8, RAW, BSLZ4, HDF5 or ABSENT.
    shortfall : why there are fewer frames than the master announces (it is still being written), or "".
    """

    shape: tuple[int, int]
    dtype: np.dtype
    segments: tuple[Segment, ...]
    segment: np.ndarray
    frame_in_segment: np.ndarray
    offset: np.ndarray
    nbytes: np.ndarray
    storage: np.ndarray
    shortfall: str = ""

    def __len__(self) -> int:
        return len(self.segment)

    @property
    def n_written(self) -> int:
        """Frames up to the last one that was written."""
        written = np.flatnonzero(self.storage != ABSENT)
        return int(written[-1]) + 1 if len(written) else 0


# HDF5's own lock does not protect variable-length strings read in several threads (h5py #2920): one builder at a time.
_lock = threading.Lock()
_cache: dict[str, tuple[dict[str, tuple[int, int]], FrameIndex]] = {}


def frame_index(path: str) -> FrameIndex:
    """The index of a master file, made once per process and again when any of its files changes.

    Raises
    ------
    FileError : a file is missing or damaged, or the parts differ in shape or type.
    """
    with _lock:
        if path in _cache:
            stamps, index = _cache[path]
            if all(_stamp(name) == stamp for name, stamp in stamps.items()):
                return index
        index = _build(path)
        watched = {path, *(s.path for s in index.segments)}
        if index.shortfall:  # a file that appears later shows in its folder
            watched |= {os.path.dirname(name) or "." for name in watched}
        _cache[path] = ({name: _stamp(name) for name in watched}, index)
        return index


def _stamp(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return -1, -1
    return status.st_mtime_ns, status.st_size


def _build(path: str) -> FrameIndex:
    segments, shortfall = image_segments(path)
    parts = [_locate(segment) for segment in segments]
    shape, dtype = parts[0][0], parts[0][1]
    for segment, part in zip(segments, parts, strict=True):
        if part[:2] != (shape, dtype):
            raise FileError(
                f"{path}: frames of {segment.path} are {part[0]} {part[1]}, those before {shape} {dtype}; "
                "all data files of a sweep must have the same shape and type"
            )
    counts = [s.count for s in segments]
    offset, nbytes, storage = (np.concatenate([part[2][k] for part in parts]) for k in range(3))
    frames = np.concatenate([np.arange(s.first, s.first + s.count, dtype=np.int32) for s in segments])
    owner = np.repeat(np.arange(len(segments), dtype=np.int16), counts)
    return FrameIndex(shape, dtype, tuple(segments), owner, frames, offset, nbytes, storage, shortfall)


def _locate(segment: Segment) -> tuple[tuple[int, int], np.dtype, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Frame shape, dtype and (offset, nbytes, storage) of the frames of one plain data set."""
    with open_hdf5(segment.path) as file:
        data = file[segment.dataset]
        shape, dtype = flat_shape(data.shape), data.dtype.newbyteorder("=")
        n_pixels = math.prod(shape)
        if dtype.kind not in "ui" or len(shape) != 2 or not 0 < n_pixels <= MAX_PIXELS or segment.count > MAX_FRAMES:
            raise FileError(f"{segment.path}: {segment.dataset} is {data.shape} {data.dtype}, not frames of integers")
        offset = np.full(segment.count, -1, dtype=np.int64)
        nbytes = np.full(segment.count, -1, dtype=np.int64)
        storage = np.full(segment.count, HDF5, dtype=np.uint8)
        packing = HDF5 if segment.through_hdf5 or not data.dtype.isnative else _packing(data)
        if packing != HDF5 and data.chunks is None:
            frame_bytes = n_pixels * dtype.itemsize
            storage[:] = RAW
            offset[:] = data.id.get_offset() + frame_bytes * np.arange(segment.first, segment.first + segment.count)
            nbytes[:] = frame_bytes
        elif packing != HDF5:
            storage[:] = ABSENT
            _locate_chunks(data, segment, packing, (offset, nbytes, storage))
        return shape, dtype, (offset, nbytes, storage)


def flat_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(slow, fast) of the frames of a stack; modules with an axis of their own lie one below the other."""
    return (shape[1] * shape[2], shape[3]) if len(shape) == 4 else tuple(shape[1:])


def _packing(data: h5py.Dataset) -> int:
    """RAW or BSLZ4 when a frame is one contiguous piece of the file that can be unpacked here, else HDF5."""
    plist = data.id.get_create_plist()
    if data.chunks is None:
        contiguous = plist.get_layout() == h5py.h5d.CONTIGUOUS and data.id.get_offset() is not None
        return RAW if contiguous else HDF5
    if data.chunks != (1, *data.shape[1:]):
        return HDF5
    filters = [plist.get_filter(i) for i in range(plist.get_nfilters())]
    if not filters:
        return RAW
    code, _, options, _ = filters[0]
    is_bslz4 = code == _BITSHUFFLE_FILTER and len(options) > 4 and options[4] == _BITSHUFFLE_LZ4
    return BSLZ4 if len(filters) == 1 and is_bslz4 and bslz4.is_available() else HDF5


def _locate_chunks(data: h5py.Dataset, segment: Segment, packing: int, columns: tuple[np.ndarray, ...]) -> None:
    offset, nbytes, storage = columns

    def note(chunk: h5py.h5d.StoreInfo) -> None:
        row = chunk.chunk_offset[0] - segment.first
        if 0 <= row < segment.count:
            offset[row], nbytes[row] = chunk.byte_offset, chunk.size
            storage[row] = RAW if chunk.filter_mask & 1 else packing  # bit set: the filter was skipped for this chunk

    data.id.chunk_iter(note)
