"""Frames and pixel mask of NeXus and Eiger files."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass

import h5py
import numpy as np

from mxdask.errors import FileError
from mxdask.images import bslz4
from mxdask.images.frame_index import ABSENT, BSLZ4, HDF5, RAW, FrameIndex, frame_index
from mxdask.io.hdf5 import open_hdf5
from mxdask.io.nxmx import detector_of, module_origin, modules_of

log = logging.getLogger(__name__)
_warned: set[str] = set()


@dataclass(frozen=True)
class Hdf5Source:
    """Frames behind one master file. Holds only its name; the index is kept per process."""

    path: str

    def shape(self) -> tuple[int, int]:
        return frame_index(self.path).shape

    def dtype(self) -> np.dtype:
        return frame_index(self.path).dtype

    def files(self, frames: Iterable[int]) -> list[str]:
        index = frame_index(self.path)
        return [self.path, *(index.segments[k].path for k in np.unique(index.segment[list(frames)]))]

    def check(self, first: int, last: int) -> None:
        """Raise a FileError unless frames first..last (0-based, inclusive) exist."""
        index = frame_index(self.path)
        if first < 0 or last >= len(index):
            why = f" ({index.shortfall})" if index.shortfall else ""
            raise FileError(
                f"{self.path}: frame {last} is wanted, the file holds {len(index)} frames{why}; import it again"
            )

    def open(self) -> Hdf5Frames:
        return Hdf5Frames(self.path, frame_index(self.path))

    def good_pixels(self) -> np.ndarray | None:
        """(slow, fast) bool, True = good, from the file's pixel mask; None without one."""
        with open_hdf5(self.path) as file:
            detector = detector_of(file)
            for name in ("pixel_mask", "detectorSpecific/pixel_mask"):
                values = None if detector is None else self._mask_values(detector, name)
                if values is not None:
                    return self._shaped(values)
        return None

    def module_offsets(self) -> list[tuple[int, int]]:
        """(slow, fast) of the first pixel of each detector module in the frame, in the order of panels."""
        with open_hdf5(self.path) as file:
            detector = detector_of(file)
            return [] if detector is None else [module_origin(module) for module in modules_of(detector)]

    def _mask_values(self, group: h5py.Group, name: str) -> np.ndarray | None:
        """A mask's values; None when there is none of that name."""
        try:
            dataset = group[name]
        except (KeyError, OSError, RuntimeError):
            link = group.get(name, getlink=True) if "/" not in name else None
            if isinstance(link, h5py.ExternalLink):
                raise FileError(f"{self.path}: {name} points to {link.filename}, which is missing") from None
            return None
        if not isinstance(dataset, h5py.Dataset) or dataset.size != math.prod(self.shape()):
            found = dataset.shape if isinstance(dataset, h5py.Dataset) else "not an array"
            raise FileError(f"{self.path}: {name} is {found}, the frames have {self.shape()}")
        try:
            values: np.ndarray = np.asarray(dataset[()])
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            raise FileError(f"{self.path}: {name} cannot be read ({str(error).splitlines()[0][:200]})") from error
        return values

    def _shaped(self, values: np.ndarray) -> np.ndarray | None:
        shape = self.shape()
        values = values.reshape(-1, values.shape[-1]) if values.ndim == 3 else values
        if values.shape == shape:
            return values == 0
        if values.shape == shape[::-1]:  # old files of Diamond; its meaning is not certain
            log.warning("%s: pixel_mask is transposed %s and therefore not used", self.path, values.shape)
            return None
        raise FileError(f"{self.path}: pixel_mask has shape {values.shape}, the frames have {shape}")


class Hdf5Frames:
    """Reads frames by number with ``pread``; belongs to one thread. The next read overwrites the returned array."""

    def __init__(self, path: str, index: FrameIndex) -> None:
        self._path, self._index = path, index
        self._descriptors: dict[str, int] = {}
        self._files: dict[str, h5py.File] = {}
        self._frame = np.empty(index.shape, dtype=index.dtype)
        self._packed = np.empty(0, dtype=np.uint8)

    def read(self, frame: int) -> np.ndarray:
        """(slow, fast) raw pixels of a frame (0-based).

        Raises
        ------
        FileError : the frame is absent, cut off or damaged.
        """
        index = self._index
        if not 0 <= frame < len(index):
            raise FileError(f"{self._path}: frame {frame} is wanted but the file holds {len(index)} frames")
        segment = index.segments[index.segment[frame]]
        where = f"{segment.path}: frame {index.frame_in_segment[frame]} (image {frame + 1} of {self._path})"
        storage = index.storage[frame]
        if storage == ABSENT:
            raise FileError(f"{where} was never written; cut the sweep with image_range= or copy the file again")
        if storage == HDF5:
            self._read_through_hdf5(segment.path, segment.dataset, int(index.frame_in_segment[frame]), where)
        elif storage == RAW:
            target = self._frame.reshape(-1).view(np.uint8)
            if index.nbytes[frame] != target.size:
                raise FileError(f"{where} has {index.nbytes[frame]} bytes instead of {target.size}")
            self._pread(segment.path, int(index.offset[frame]), target, where)
        elif storage == BSLZ4:
            self._read_bslz4(segment.path, int(index.offset[frame]), int(index.nbytes[frame]), where)
        return self._frame

    def _read_bslz4(self, path: str, offset: int, nbytes: int, where: str) -> None:
        if self._packed.size < nbytes:
            self._packed = np.empty(nbytes * 5 // 4, dtype=np.uint8)
        chunk = self._packed[:nbytes]
        self._pread(path, offset, chunk, where)
        try:
            bslz4.unpack(chunk, self._frame)
        except FileError as error:
            raise FileError(f"{where} is damaged ({error}); copy the file again") from error

    def _pread(self, path: str, offset: int, target: np.ndarray, where: str) -> None:
        descriptor = self._descriptors.get(path)
        if descriptor is None:
            try:
                descriptor = self._descriptors[path] = os.open(path, os.O_RDONLY)
            except OSError as error:
                raise FileError(f"{where} cannot be read ({error.strerror})") from error
        view, done = target.data, 0
        while done < len(view):
            count = os.preadv(descriptor, [view[done:]], offset + done)
            if count == 0:
                raise FileError(f"{where} is cut off: the file ends {len(view) - done} bytes early; copy it again")
            done += count

    def _read_through_hdf5(self, path: str, dataset: str, frame: int, where: str) -> None:
        if path not in self._files:
            self._files[path] = open_hdf5(path)
            if path not in _warned:
                _warned.add(path)
                log.warning(
                    "%s: packing or chunks of %s are not bitshuffle-LZ4 by frame; "
                    "reading it through HDF5, which is slower and uses one core only", path, dataset,
                )  # fmt: skip
        try:
            data = self._files[path][dataset]
            data.read_direct(self._frame.reshape(data.shape[1:]), np.s_[frame])
        except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise FileError(f"{where} cannot be unpacked ({str(error).splitlines()[0][:200]})") from error

    def close(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        for file in self._files.values():
            file.close()
        self._descriptors, self._files = {}, {}
