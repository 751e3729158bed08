"""One block of a sweep: frames read once, boxes gathered, background and summed intensities measured (back.md 5-7)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mxdask.errors import FileError
from mxdask.images import ImageStack, open_stack
from mxdask.integrate import summation_kernels as columns
from mxdask.integrate.background_recipe import recipe_of
from mxdask.integrate.foreground import ForegroundPixels, starts
from mxdask.integrate.gather_kernels import count_foreground, foreground_pixels
from mxdask.integrate.mask_kernels import foreground_planes
from mxdask.integrate.overlap_kernels import leave_out_neighbours
from mxdask.integrate.overlaps import Neighbours, touched_by_neighbours
from mxdask.integrate.panels import panel_records
from mxdask.integrate.params import Params
from mxdask.integrate.prepare import Prepared
from mxdask.integrate.summation_kernels import measure_boxes
from mxdask.integrate.waves import Wave, order_of_waves, plan_waves
from mxdask.models import Detector, Experiment, Panel
from mxdask.table import Flag, ReflectionTable


@dataclass(frozen=True)
class Measured:
    """A block after its images were read.

    Attributes
    ----------
    table : rows of the block's reflections with background and summation.
    pixels : their foreground, for profile fitting. neighbours : reflections that may share these pixels.
    level, level_pixels : (n,) background under the spot itself, which the fit uses, and how many pixels of a level
        background tell as much about it.
    on_ring : (n,) whether the background was found to vary with the scattering angle.
    missing : message of each frame that could not be read.
    n_read : frames that could.
    """

    table: ReflectionTable
    pixels: ForegroundPixels
    neighbours: Neighbours
    level: np.ndarray
    level_pixels: np.ndarray
    on_ring: np.ndarray
    missing: tuple[str, ...] = ()
    n_read: int = 0

    def select(self, rows: np.ndarray) -> Measured:
        """Some reflections, without neighbours."""
        return Measured(
            self.table.select(rows), self.pixels.select(rows), Neighbours.none(len(rows)), self.level[rows],
            self.level_pixels[rows], self.on_ring[rows],
        )  # fmt: skip


def measure(prepared: Prepared, params: Params) -> Measured:
    """Read the images that the reflections of ``prepared`` touch and measure them by summation."""
    return measure_together([prepared], params)[0]


def measure_together(lattices: Sequence[Prepared], params: Params) -> list[Measured]:
    """The same for several lattices on one sweep, whose images are read once.

    Rows of a result come in an order of their own (:func:`order_of_waves`); ``partial_id`` tells which is which.
    """
    experiment = lattices[0].experiment
    assert experiment.detector is not None
    tasks = [_Lattice(prepared, params) for prepared in lattices]
    waves = [wave for i, task in enumerate(tasks) for wave in plan_waves(i, task.box, task.panel)]
    missing, n_read = _pass_images(open_stack(experiment), experiment.detector, waves, tasks)
    return [task.result(missing, n_read) for task in tasks]


class _Lattice:
    """What is measured of one lattice, filled wave by wave."""

    def __init__(self, prepared: Prepared, params: Params) -> None:
        self.prepared = prepared.rows(order_of_waves(prepared.table["bbox"]))
        self.params = params
        experiment, table = self.prepared.experiment, self.prepared.table
        assert experiment.beam is not None and experiment.detector is not None
        self.records = panel_records(experiment.detector)
        self.s0, self.s1 = experiment.beam.s0, table["s1"]
        self.box, self.panel = table["bbox"], table["panel"].astype(np.int64)
        self.plane = starts((self.box[:, 1] - self.box[:, 0]).astype(np.int64) * (self.box[:, 3] - self.box[:, 2]))
        self.foreground = np.empty(self.plane[-1], dtype=np.uint8)
        assert experiment.scan is not None
        sigma_b, _ = prepared.model.widths_at(table["xyzcal.px"][:, 2], experiment.scan.array_range[0])
        reach = prepared.model.n_sigma * sigma_b
        foreground_planes(self.records, self.panel, self.s0, self.s1, self.box, reach, self.plane, self.foreground)
        n_pixels = np.empty(len(table), dtype=np.int64)
        count_foreground(self.plane, self.foreground, n_pixels)
        self.integers = np.zeros((len(table), 8), dtype=np.int32)
        self.reals = np.zeros((len(table), 13))
        self.recipe = recipe_of(params.background)
        pixel_start, count_start = starts(n_pixels), starts(n_pixels * (self.box[:, 5] - self.box[:, 4]))
        self.pixels = ForegroundPixels(
            pixel_start, np.empty((pixel_start[-1], 2), dtype=np.float32),
            count_start, np.empty(count_start[-1], dtype=np.int32),
        )  # fmt: skip

    def finish(self, wave: Wave) -> None:
        """Background, sums and foreground of a wave whose last image has passed; its boxes are given up."""
        a, b = wave.rows.start, wave.rows.stop
        foreground = self.foreground[self.plane[a] : self.plane[b]]
        around = self.prepared.around
        leave_out_neighbours(
            wave.box, wave.plane, foreground, wave.offset, wave.values, around.start[a : b + 1], around.index,
            around.delta_b[a:b], around.spot_xy, around.spot_images, around.spot_delta_b,
        )  # fmt: skip
        measure_boxes(
            self.records, wave.panel, self.s0, wave.box, wave.plane, foreground, wave.offset, wave.values,
            *self.recipe, self.integers[a:b], self.reals[a:b],
        )  # fmt: skip
        foreground_pixels(
            self.records, wave.panel, self.s0, self.s1[a:b], wave.box, wave.plane, foreground, wave.offset,
            wave.values, self.pixels.pixel_start[a : b + 1], self.pixels.count_start[a : b + 1], self.pixels.uv,
            self.pixels.counts,
        )  # fmt: skip
        wave.values = np.empty(0, dtype=np.int32)

    def result(self, missing: tuple[str, ...], n_read: int) -> Measured:
        prepared = self.prepared
        self.foreground = np.empty(0, dtype=np.uint8)
        out = _with_results(
            prepared.table, prepared.experiment, self.integers, self.reals, self.params.valid_foreground_threshold
        )
        joint = self.params.profile.gaussian_rs.fitting.deconvolution
        touched = touched_by_neighbours(self.pixels, self.box[:, 4], prepared.neighbours, leave_out=not joint)
        out.set_flags(touched, Flag.OVERLAPPED_FG)
        return Measured(
            out, self.pixels, prepared.neighbours, self.reals[:, columns.UNDER_SPOT].copy(),
            self.reals[:, columns.BACKGROUND_PIXELS].copy(), self.integers[:, columns.FITTED] == columns.RING,
            missing, n_read,
        )  # fmt: skip


def _pass_images(
    stack: ImageStack, detector: Detector, waves: list[Wave], lattices: Sequence[_Lattice]
) -> tuple[tuple[str, ...], int]:
    """Read every image once and hand it to the waves it belongs to.

    A frame that cannot be read leaves its part of the boxes unusable. Returns messages about these, and the number of
    the others.
    """
    missing: list[str] = []
    n_read = 0
    trusted = [_trusted_integers(panel) for panel in detector.panels]
    waiting = sorted(waves, key=lambda w: w.begin)
    active: list[Wave] = []
    z = waiting[0].begin if waiting else 0
    with stack.reader() as reader:
        while waiting or active:
            if not active:
                z = max(z, waiting[0].begin)
            while waiting and waiting[0].begin <= z:
                active.append(waiting.pop(0))
                active[-1].start()
            good = stack.mask_of(z)  # a mask that cannot be read is not a missing frame: it ends the sweep
            try:
                frames = reader.read(z)
                n_read += 1
            except FileError as error:
                missing.append(str(error))
                frames = tuple(np.zeros(shape, dtype=np.int32) for shape in stack.shapes)
                good = tuple(np.zeros(shape, dtype=bool) for shape in stack.shapes)
            for wave in active:
                for index, frame in enumerate(frames):
                    wave.copy(z, index, frame, good[index], trusted[index])
            z += 1
            for wave in active:
                if wave.end <= z:
                    lattices[wave.lattice].finish(wave)
            active = [wave for wave in active if wave.end > z]
    return tuple(missing), n_read


def _trusted_integers(panel: Panel) -> tuple[int, int]:
    """Smallest and largest trusted count; a range without bounds gets those of 62 bits."""
    low, high = np.clip(panel.trusted_range, -(2.0**62), 2.0**62)
    return math.ceil(low), math.floor(high)


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
