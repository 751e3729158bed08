"""One block of a sweep: frames read once, boxes gathered, background and summed intensities measured (back.md 5-7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.errors import FileError
from mxdask.images import ImageStack, open_stack
from mxdask.integrate import summation_kernels as columns
from mxdask.integrate.foreground import ForegroundPixels, starts
from mxdask.integrate.gather_kernels import copy_frame, foreground_pixels
from mxdask.integrate.mask_kernels import foreground_planes
from mxdask.integrate.overlaps import leave_out_neighbours
from mxdask.integrate.panels import panel_records
from mxdask.integrate.params import Params
from mxdask.integrate.prepare import Prepared
from mxdask.integrate.summation_kernels import measure_boxes
from mxdask.models import Experiment
from mxdask.table import Flag, ReflectionTable


@dataclass(frozen=True)
class Measured:
    """A block after its images were read.

    Attributes
    ----------
    table : rows of the block's reflections with background and summation.
    pixels : their foreground, for profile fitting.
    missing : message of each frame that could not be read.
    n_read : frames that could.
    """

    table: ReflectionTable
    pixels: ForegroundPixels
    missing: tuple[str, ...]
    n_read: int


def measure(prepared: Prepared, params: Params) -> Measured:
    """Read the images that the reflections of ``prepared`` touch and measure them by summation."""
    experiment, table = prepared.experiment, prepared.table
    assert experiment.beam is not None and experiment.detector is not None
    box, panel = table["bbox"], table["panel"].astype(np.int64)
    area = (box[:, 1] - box[:, 0]).astype(np.int64) * (box[:, 3] - box[:, 2])
    plane = starts(area)
    offset = starts(area * (box[:, 5] - box[:, 4]))
    records = panel_records(experiment.detector)
    foreground = np.empty(plane[-1], dtype=np.uint8)
    s0, s1 = experiment.beam.s0, table["s1"]
    foreground_planes(records, panel, s0, s1, box, prepared.model.delta_b, plane, foreground)
    values, missing, n_read = _read_boxes(open_stack(experiment), experiment, panel, box, offset)
    integers = np.zeros((len(table), 8), dtype=np.int32)
    reals = np.zeros((len(table), 11))
    robust = params.background.algorithm == "glm"
    measure_boxes(box, plane, foreground, offset, values, robust, integers, reals)

    n_pixels = np.add.reduceat(foreground, plane[:-1], dtype=np.int64) if len(table) else np.zeros(0, np.int64)
    pixel_start, count_start = starts(n_pixels), starts(n_pixels * (box[:, 5] - box[:, 4]))
    uv = np.empty((pixel_start[-1], 2), dtype=np.float32)
    counts = np.empty(count_start[-1], dtype=np.int32)
    foreground_pixels(
        records, panel, s0, s1, box, plane, foreground, offset, values, pixel_start, count_start, uv, counts
    )
    out = _with_results(table, experiment, integers, reals, params.valid_foreground_threshold)
    pixels = ForegroundPixels(pixel_start, uv, count_start, counts)
    out.set_flags(leave_out_neighbours(pixels, box[:, 4], prepared.neighbours), Flag.OVERLAPPED_FG)
    return Measured(out, pixels, missing, n_read)


def _read_boxes(
    stack: ImageStack, experiment: Experiment, panel: np.ndarray, box: np.ndarray, offset: np.ndarray
) -> tuple[np.ndarray, tuple[str, ...], int]:
    """Flat i4 counts of all boxes; a frame that cannot be read leaves its part of the boxes unusable."""
    assert experiment.detector is not None
    values = np.empty(offset[-1], dtype=np.int32)
    masks = stack.mask()
    missing: list[str] = []
    n_read = 0
    wanted = range(int(box[:, 4].min()), int(box[:, 5].max())) if len(box) else range(0)
    with stack.reader() as reader:
        for z in wanted:
            here = (box[:, 4] <= z) & (z < box[:, 5])
            if not here.any():
                continue
            try:
                frames = reader.read(z)
                good = masks
            except FileError as error:
                missing.append(str(error))
                frames = tuple(np.zeros(shape, dtype=np.int32) for shape in stack.shapes)
                good = tuple(np.zeros(shape, dtype=bool) for shape in stack.shapes)
            for index, frame in enumerate(frames):
                low, high = experiment.detector[index].trusted_range
                rows = np.flatnonzero(here & (panel == index))
                copy_frame(frame, good[index], low, high, z, rows, box, offset, values)
            n_read += 1
    return values, tuple(missing), n_read - len(missing)


def _with_results(
    table: ReflectionTable, experiment: Experiment, integers: np.ndarray, reals: np.ndarray, threshold: float
) -> ReflectionTable:
    """The table with the measured columns and the flags that follow from them."""
    assert experiment.detector is not None and experiment.scan is not None
    out = table.copy()
    out["num_pixels.valid"] = integers[:, columns.N_VALID]
    out["num_pixels.background"] = integers[:, columns.N_BACKGROUND]
    out["num_pixels.background_used"] = integers[:, columns.N_USED]
    out["num_pixels.foreground"] = integers[:, columns.N_FOREGROUND]
    out["background.mean"] = reals[:, columns.MEAN]
    out["background.sum.value"] = reals[:, columns.BACKGROUND]
    out["background.sum.variance"] = reals[:, columns.BACKGROUND_VARIANCE]
    out["intensity.sum.value"] = reals[:, columns.INTENSITY]
    out["intensity.sum.variance"] = reals[:, columns.VARIANCE]
    centroid = reals[:, columns.CENTROID : columns.CENTROID + 3]
    variance = reals[:, columns.CENTROID_VARIANCE : columns.CENTROID_VARIANCE + 3]
    panel = table["panel"].astype(np.int64)
    out["xyzobs.px.value"], out["xyzobs.px.variance"] = centroid, variance
    out["xyzobs.mm.value"] = np.column_stack(
        [experiment.detector.pixel_to_mm(panel, centroid[:, :2]), experiment.scan.angle(centroid[:, 2])]
    )
    sizes = np.array([p.pixel_size for p in experiment.detector.panels])[panel]
    width = np.deg2rad(experiment.scan.width)
    out["xyzobs.mm.variance"] = variance * np.column_stack([sizes**2, np.full(len(out), width**2)])
    _set_flags(out, integers, threshold)
    return out


def _set_flags(table: ReflectionTable, integers: np.ndarray, threshold: float) -> None:
    """Flags of back.md 5 and 7: what may be integrated, what was summed."""
    bad = integers[:, columns.N_BAD_FOREGROUND]
    good = integers[:, columns.N_FOREGROUND]
    table.set_flags(bad > 0, Flag.FOREGROUND_INCLUDES_BAD_PIXELS)
    table.set_flags(integers[:, columns.N_BAD_BACKGROUND] > 0, Flag.BACKGROUND_INCLUDES_BAD_PIXELS)
    table.set_flags(integers[:, columns.N_OVERLOADED] > 0, Flag.OVERLOADED)
    table.set_flags(good < threshold * (good + bad), Flag.DONT_INTEGRATE)
    failed = integers[:, columns.FITTED] == 0
    table.set_flags(failed, Flag.FAILED_DURING_BACKGROUND_MODELLING | Flag.DONT_INTEGRATE)
    summed = ~table.has_flags(Flag.DONT_INTEGRATE) & (bad == 0) & (good > 0)
    table.set_flags(summed, Flag.INTEGRATED_SUM)
    table.set_flags(~summed, Flag.FAILED_DURING_SUMMATION)
