"""The images of one experiment as a stack of raw frames."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mxdask.errors import FileError
from mxdask.images import masks
from mxdask.images.cbf_frames import CbfSource
from mxdask.images.fabio_frames import FabioSource
from mxdask.images.hdf5_frames import Hdf5Source
from mxdask.images.shadows import SweepShadow, sweep_shadow
from mxdask.images.smv_frames import SmvSource, is_smv_file
from mxdask.images.zarr_frames import ZarrSource
from mxdask.io.cbf import is_cbf_name
from mxdask.io.templates import image_path
from mxdask.models import Detector, Experiment, ImageSet

if TYPE_CHECKING:
    import dask.array

HDF5_SUFFIXES = (".nxs", ".h5", ".hdf5", ".nx5")


class Frames(Protocol):
    """Reads whole frames of one file format; belongs to one thread."""

    def read(self, frame: int) -> np.ndarray: ...

    def close(self) -> None: ...


class Source(Protocol):
    """What a format has to offer: small, picklable, no open files. Frames are numbered as the format likes.

    ``shape`` is None where only the file of each frame knows; ``files`` are those with the pixels of some frames.
    """

    def shape(self) -> tuple[int, int] | None: ...

    def files(self, frames: Iterable[int]) -> list[str]: ...

    def dtype(self) -> np.dtype: ...

    def check(self, first: int, last: int) -> None: ...

    def open(self) -> Frames: ...

    def good_pixels(self) -> np.ndarray | None: ...


@dataclass(frozen=True)
class PanelWindow:
    """Where a panel lies in the stored frame: pixel (0, 0) at (slow, fast) = ``offset``."""

    offset: tuple[int, int]
    shape: tuple[int, int]

    def of(self, frame: np.ndarray) -> np.ndarray:
        (y, x), (height, width) = self.offset, self.shape
        return frame[y : y + height, x : x + width]


@dataclass(frozen=True)
class ImageStack:
    """Where the frames of an experiment are and how they fall into panels; no pixels, no open files, picklable.

    Attributes
    ----------
    name : of the sweep, for messages.
    source : the file format's side.
    frames : number of each frame in ``source``, for z = z0, z0 + 1 …
    array_range : (z0, z1) absolute frame coordinates.
    windows : place of each panel in a stored frame.
    untrusted : per panel the untrusted rectangles; ``mask_file`` the look-up mask or None.
    shadow : of the goniometer, or None.
    """

    name: str
    source: Source
    frames: range | tuple[int, ...]
    array_range: tuple[int, int]
    windows: tuple[PanelWindow, ...]
    untrusted: tuple[tuple[masks.Rectangle, ...], ...]
    mask_file: str | None = None
    shadow: SweepShadow | None = field(default=None, compare=False)

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(slow, fast) of every panel."""
        return tuple(window.shape for window in self.windows)

    @property
    def n_images(self) -> int:
        return self.array_range[1] - self.array_range[0]

    @property
    def dtype(self) -> np.dtype:
        """Type of the raw pixels as stored."""
        return self.source.dtype()

    def frame_number(self, z: int) -> int:
        """The source's number of the frame at z.

        Raises
        ------
        FileError : z lies outside the stack.
        """
        first, end = self.array_range
        if not first <= z < end:
            raise FileError(f"{self.name}: frame z={z} lies outside the sweep's frames {first}..{end - 1}")
        return self.frames[z - first]

    def reader(self) -> StackReader:
        """A context manager that reads frames; use one per thread."""
        return StackReader(self)

    def mask(self) -> tuple[np.ndarray, ...]:
        """Per panel a (slow, fast) bool array, True = good, read-only and shared between equal masks.

        The file format's pixel mask AND untrusted rectangles AND look-up mask. Pixel values (trusted range) are not
        looked at.

        Raises
        ------
        FileError : a mask cannot be read or does not fit the detector.
        """
        stamp = None if self.mask_file is None else _modified(self.mask_file)
        return _static_mask(self, stamp)

    def mask_of(self, z: int) -> tuple[np.ndarray, ...]:
        """The mask of one frame: :meth:`mask` AND what is not in the goniometer's shadow; errors as there.

        Where no shadow falls these are the arrays of :meth:`mask` themselves.
        """
        return self.mask() if self.shadow is None else self.shadow.over(self.mask(), z)

    def to_dask(self, block: int = 20, panel: int = 0) -> dask.array.Array:
        """Lazy array (frame, slow, fast) of one panel's raw pixels; ``block`` frames per chunk. Frame 0 is z0."""
        from mxdask.images.dask_array import to_dask

        return to_dask(self, block, panel)


class StackReader:
    """Reads the frames of a stack. One thread at a time; arrays are valid until the next read."""

    def __init__(self, stack: ImageStack) -> None:
        self._stack = stack
        self._frames: Frames | None = None
        self._checked_shape: tuple[int, ...] | None = None

    def __enter__(self) -> StackReader:
        self._frames = self._stack.source.open()
        return self

    def __exit__(self, *_: object) -> None:
        if self._frames is not None:
            self._frames.close()
            self._frames = None

    def read(self, z: int) -> tuple[np.ndarray, ...]:
        """Per panel the (slow, fast) raw integers of frame z (absolute).

        Raises
        ------
        FileError : the frame is missing, cut off or damaged; the message names file and frame.
        """
        frame = self.read_whole(z)
        return tuple(window.of(frame) for window in self._stack.windows)

    def read_lit(self, z: int) -> tuple[np.ndarray, ...]:
        """As :meth:`read`, with the goniometer's shadow set to a value below every trusted range."""
        frames = self.read(z)
        return frames if self._stack.shadow is None else self._stack.shadow.hide(frames, z)

    def read_whole(self, z: int) -> np.ndarray:
        """The frame as stored, (slow, fast), before it is cut into panels; errors as for :meth:`read`."""
        if self._frames is None:
            raise RuntimeError("use the reader in a with block")
        frame = self._frames.read(self._stack.frame_number(z))
        if frame.shape != self._checked_shape:
            _check_windows(self._stack.windows, frame.shape, f"{self._stack.name} frame z={z}")
            self._checked_shape = frame.shape
        return frame


def open_stack(experiment: Experiment) -> ImageStack:
    """The image stack of an experiment; file metadata is looked at, no pixel is read.

    Raises
    ------
    FileError : no image set or detector, a file is missing, or frames and detector model differ in shape.
    """
    imageset, detector = experiment.imageset, experiment.detector
    if imageset is None or detector is None:
        raise FileError(f"{experiment.name}: experiment without images or detector; give the .expt written by import")
    first, end = experiment.scan.array_range if experiment.scan else (0, len(imageset.paths))
    if end <= first:
        raise FileError(f"{experiment.name}: experiment without scan; give the .expt written by import")
    source, frames = _source(imageset, first, end)
    try:
        source.check(min(frames), max(frames))
        windows = _windows(detector, source)
        shape = source.shape()
        if shape is not None:
            _check_windows(windows, shape, imageset.template or imageset.paths[0])
    except FileError as error:
        raise FileError(f"sweep {experiment.name}: {error}") from error
    untrusted = tuple(p.untrusted for p in detector.panels)
    return ImageStack(
        experiment.name, source, frames, (first, end), windows, untrusted, imageset.mask, sweep_shadow(experiment)
    )


def _source(imageset: ImageSet, first: int, end: int) -> tuple[Source, range | tuple[int, ...]]:
    """The source of an image set and the numbers its frames have there."""
    name = imageset.template or (imageset.paths[0] if imageset.paths else "")
    suffix = os.path.splitext(name)[1].lower()
    if suffix == ".zarr" or suffix in HDF5_SUFFIXES:
        source: Source = ZarrSource(name) if suffix == ".zarr" else Hdf5Source(name)
        return source, _container_frames(imageset, first, end)
    separate = tuple(imageset.paths)
    if separate and end > len(separate):
        raise FileError(f"{separate[0]}: the scan has images up to {end}, the list of files {len(separate)}")
    frames = range(first, end) if separate else range(first + 1, end + 1)
    if is_cbf_name(name):
        return CbfSource(imageset.template, separate), frames
    if is_smv_file(separate[first] if separate else image_path(imageset.template, first + 1)):
        return SmvSource(imageset.template, separate, frames[0]), frames
    return FabioSource(imageset.template, separate, frames[0]), frames


def _container_frames(imageset: ImageSet, first: int, end: int) -> range | tuple[int, ...]:
    """Frame numbers in a multi-image file.

    ``single_file_indices`` lists one frame per image of the image set. An experiment whose scan is only a part of
    its image set finds its frames by their number: image n is frame n - 1 of the file.
    """
    indices = imageset.single_file_indices
    if not indices:
        return range(first, end)
    if len(indices) == end - first:
        return _as_range(indices)
    known = set(indices)
    absent = [z for z in range(first, end) if z not in known]
    if absent:
        raise FileError(
            f"{imageset.template}: image {absent[0] + 1} of the scan is not among the {len(indices)} frames of the "
            "experiment file (single_file_indices); import the images again"
        )
    return range(first, end)


def _as_range(indices: Sequence[int]) -> range | tuple[int, ...]:
    whole = range(indices[0], indices[0] + len(indices))
    return whole if tuple(indices) == tuple(whole) else tuple(indices)


def _windows(detector: Detector, source: Source) -> tuple[PanelWindow, ...]:
    shapes = [p.image_size[::-1] for p in detector.panels]
    offsets = [p.raw_image_offset[::-1] for p in detector.panels]
    if len(shapes) == 1:
        offsets = [(0, 0)]
    elif len(set(offsets)) == 1 and isinstance(source, Hdf5Source):
        # DIALS does not keep the places of NXmx modules in .expt files; the master file has them.
        offsets = source.module_offsets()
    if len(offsets) != len(shapes) or len(set(offsets)) != len(shapes):
        raise FileError(f"the detector model has {len(shapes)} panels, but their places in the frame are not known")
    return tuple(PanelWindow(offset, shape) for offset, shape in zip(offsets, shapes, strict=True))


def _check_windows(windows: tuple[PanelWindow, ...], shape: tuple[int, ...], where: str) -> None:
    """Raise a FileError unless the panels fit into frames of this shape (a single panel must fill them)."""
    if len(windows) == 1 and windows[0].shape != tuple(shape):
        raise FileError(f"{where}: frames are {shape} (slow, fast) pixels, the detector model {windows[0].shape}")
    for window in windows:
        if any(o + n > limit for o, n, limit in zip(window.offset, window.shape, shape, strict=True)):
            raise FileError(f"{where}: panel at {window.offset} of {window.shape} lies outside the frames {shape}")


def _modified(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise FileError(f"{path}: mask file cannot be read ({error.strerror}); correct lookup.mask") from error
    return status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=32)
def _static_mask(stack: ImageStack, stamp: tuple[int, int] | None) -> tuple[np.ndarray, ...]:
    whole = stack.source.good_pixels()
    parts = None if whole is None else [window.of(whole) for window in stack.windows]
    return masks.combine(stack.shapes, parts, stack.untrusted, stack.mask_file)
