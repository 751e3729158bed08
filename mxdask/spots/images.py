"""Spot finding in a block of consecutive images: read, threshold, label. Nothing here knows of other blocks."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mxdask.errors import FileError, ParameterError
from mxdask.images import ImageStack
from mxdask.images.stack import StackReader
from mxdask.models import Experiment, Panel
from mxdask.spots.components import Block, drop_closed, label_block
from mxdask.spots.masking import pixel_mask
from mxdask.spots.params import Params
from mxdask.spots.radial import RadialTables, RadialThreshold, make_radial_tables
from mxdask.spots.spots import CountScale
from mxdask.spots.threshold import (
    DispersionThreshold,
    FrameThreshold,
    StrongPixels,
    global_threshold,
    make_rule,
    make_tables,
)
from mxdask.spots.threshold_kernels import Tables

# Tables of the last few distinct masks of this process: sweeps of one beam line usually share one.
_CACHED = 16
_tables: OrderedDict[Any, Any] = OrderedDict()
_tables_lock = threading.Lock()


@dataclass(frozen=True)
class ImageRow:
    """What is known of one image after thresholding.

    Attributes
    ----------
    z : frame. n_strong : strong pixels. background : mean of the usable pixels that are not strong, corrected counts.
    n_overloaded : pixels above the trusted range. problem : why the image was left out, or "".
    bad_input : the problem is a file that is missing or damaged.
    """

    z: int
    n_strong: int
    background: float
    n_overloaded: int
    problem: str = ""
    bad_input: bool = False


@dataclass(frozen=True)
class BlockResult:
    """One block of images of one sweep: per panel the components and (index, number of images) of strong pixels."""

    images: tuple[ImageRow, ...]
    panels: tuple[Block, ...]
    presence: tuple[tuple[np.ndarray, np.ndarray], ...]


def is_flat(experiment: Experiment, params: Params) -> bool:
    """Whether spots stay on one image: stills, or on request."""
    return params.force_2d or experiment.scan is None or experiment.scan.is_still


def smallest_spot(panel: Panel, params: Params) -> int:
    """Fewest pixels of a spot."""
    if params.filter.min_spot_size is not None:
        return params.filter.min_spot_size
    return 3 if panel.type == "SENSOR_PAD" else 6


def trusted_range(panel: Panel, params: Params) -> tuple[float, float]:
    """Raw values to use, both ends included."""
    low, high = panel.trusted_range
    return low, high if params.maximum_trusted_value is None else min(high, params.maximum_trusted_value)


def panel_tables(mask: np.ndarray, number: int, experiment: Experiment, params: Params) -> Tables | RadialTables:
    """Look-up tables of one panel, shared by all sweeps of this process that would get the same ones.

    Parameters
    ----------
    mask : the stack's mask of this panel; equal masks are one array, kept for the life of the process.
    """
    assert experiment.detector is not None
    panel = experiment.detector[number]
    radial = params.threshold.algorithm == "radial_profile"
    f = params.filter
    geometry: Any = None
    if radial or f.d_min or f.d_max or f.resolution_range or f.ice_rings.filter:
        assert experiment.beam is not None
        frame = (panel.fast_axis, panel.slow_axis, panel.origin, experiment.beam.s0)
        geometry = b"".join(v.tobytes() for v in frame), panel.px_mm_strategy, panel.mu, panel.thickness
    key = id(mask), number, panel.pixel_size, panel.gain, params.model_dump_json(), geometry
    # Made under the lock: threads that start together would each hold the working memory of making the same.
    with _tables_lock:
        if key in _tables:
            _tables.move_to_end(key)
        else:
            _tables[key] = _make_panel_tables(mask, number, experiment, params)
        while len(_tables) > _CACHED:
            _tables.popitem(last=False)
        return _tables[key]


def _make_panel_tables(mask: np.ndarray, number: int, experiment: Experiment, params: Params) -> Tables | RadialTables:
    assert experiment.detector is not None
    panel = experiment.detector[number]
    valid = mask & pixel_mask(panel, number, experiment.beam, params.filter)
    if params.region_of_interest is not None:
        x0, x1, y0, y1 = params.region_of_interest
        inside = np.zeros_like(valid)
        inside[max(y0, 0) : y1, max(x0, 0) : x1] = True
        valid &= inside
    if params.threshold.algorithm == "radial_profile":
        assert experiment.beam is not None
        return make_radial_tables(valid, panel, experiment.beam, params.threshold.radial_profile.n_bins)
    return make_tables(
        valid, make_rule(params.threshold.dispersion, panel.trusted_range, panel.gain, panel.pedestal, 0.0)
    )


def make_thresholds(stack: ImageStack, experiment: Experiment, params: Params) -> list[FrameThreshold]:
    """One threshold per panel, for the use of one thread."""
    assert experiment.detector is not None
    thresholds: list[FrameThreshold] = []
    floor = params.threshold.dispersion.global_threshold
    for number, (panel, mask) in enumerate(zip(experiment.detector.panels, stack.mask(), strict=True)):
        tables = panel_tables(mask, number, experiment, params)
        limits = trusted_range(panel, params)
        if isinstance(tables, RadialTables):
            thresholds.append(RadialThreshold(tables, panel, limits, params.threshold.radial_profile))
            continue
        if floor is None:
            floor = _automatic_floor(stack)
        rule = make_rule(params.threshold.dispersion, limits, panel.gain, panel.pedestal, floor)
        extended = params.threshold.algorithm == "dispersion_extended"
        thresholds.append(DispersionThreshold(tables, rule, extended=extended))
    return thresholds


def _automatic_floor(stack: ImageStack) -> float:
    """Global threshold from the sweep's first image, whichever block asks."""
    with stack.reader() as reader:
        first = reader.read(stack.array_range[0])
        good = [frame[mask] for frame, mask in zip(first, stack.mask(), strict=True)]
    return global_threshold(np.concatenate(good))


def find_in_block(
    stack: ImageStack,
    experiment: Experiment,
    params: Params,
    z_range: tuple[int, int],
    excluded: frozenset[int],
    stamp: str = "",
) -> BlockResult:
    """Strong pixels and components of the frames z_range of one sweep.

    Parameters
    ----------
    excluded : frames of ``z_range`` that are not looked at and count as empty.
    stamp : state of the image files. Not looked at: it makes a kept result out of date when a file has changed.
    """
    assert experiment.detector is not None
    thresholds = make_thresholds(stack, experiment, params)
    panels = experiment.detector.panels
    rows: list[ImageRow] = []
    found: list[list[StrongPixels | None]] = [[] for _ in panels]
    with stack.reader() as reader:
        for z in range(*z_range):
            pixels: Sequence[StrongPixels | None] = [None] * len(panels)
            if z not in excluded:
                row, pixels = _one_image(reader, z, thresholds, panels, params)
                rows.append(row)
            for of_panel, strong in zip(found, pixels, strict=True):
                of_panel.append(strong)
    flat = is_flat(experiment, params)
    blocks, presence = [], []
    for panel, of_panel in zip(panels, found, strict=True):
        scale = CountScale.of(panel)
        frames = [_NOTHING if s is None else (s.index, scale.integers(s.value)) for s in of_panel]
        block = label_block(z_range, frames, panel.image_size[0], flat=flat, largest=params.filter.max_spot_size)
        block = drop_closed(
            block, stack.array_range, smallest_spot(panel, params), params.filter.max_spot_size,
            flat=flat, keep_pixels=params.output.shoeboxes,
        )  # fmt: skip
        blocks.append(block)
        presence.append(np.unique(np.concatenate([index for index, _ in frames]), return_counts=True))
    return BlockResult(tuple(rows), tuple(blocks), tuple(presence))


_NOTHING = (np.zeros(0, np.int64), np.zeros(0, np.int64))


def _one_image(
    reader: StackReader, z: int, thresholds: Sequence[FrameThreshold], panels: Sequence[Panel], params: Params
) -> tuple[ImageRow, Sequence[StrongPixels | None]]:
    """Threshold one image; an image that cannot be used is a row that says why."""
    nothing = [None] * len(panels)
    try:
        frames = reader.read_lit(z)
    except FileError as error:
        return ImageRow(z, 0, 0.0, 0, str(error), bad_input=True), nothing
    strong = [t.find(_as_counts(frame)) for t, frame in zip(thresholds, frames, strict=True)]
    n_strong = sum(len(s.index) for s in strong)
    fraction = n_strong / sum(frame.size for frame in frames)
    n, total = 0, 0.0
    for s, panel in zip(strong, panels, strict=True):
        quiet = s.n_usable - len(s.index)
        n += quiet
        total += (s.total - int(s.value.sum()) - quiet * panel.pedestal) / (panel.gain if panel.gain > 0 else 1.0)
    row = ImageRow(z, n_strong, total / n if n > 0 else 0.0, sum(s.n_overloaded for s in strong))
    if fraction > params.filter.max_strong_pixel_fraction:
        reason = (
            f"{100 * fraction:.0f}% of the pixels are strong (more than filter.max_strong_pixel_fraction="
            f"{params.filter.max_strong_pixel_fraction:g}); check the gain"
        )
        return replace(row, problem=reason), nothing
    return row, strong


def _as_counts(frame: np.ndarray) -> np.ndarray:
    """The frame as the kernels take it: contiguous, unsigned 16, unsigned 32 or signed 32 bits."""
    if frame.dtype in (np.uint16, np.uint32, np.int32):
        return np.ascontiguousarray(frame)
    if frame.dtype.kind in "iu":
        limits = np.iinfo(np.int32)
        return np.clip(frame, limits.min, limits.max).astype(np.int32)
    raise ParameterError(f"images of {frame.dtype}: spots are found in integer images only; convert them to counts")
