"""Part of the images of each sweep; frame coordinates stay absolute."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import Field

from mxdask.errors import MxdaskError, ParameterError
from mxdask.models import Beam, Crystal, Experiment, ExperimentList, Goniometer, ImageSet, Scan, new_identifier
from mxdask.params import StepParams
from mxdask.table import ReflectionTable

Range = tuple[int, int]


class Output(StepParams):
    experiments_filename: str | None = Field(None, description="Auto: from the input's name")
    reflections_filename: str | None = Field(None, description="Auto: from the input's name")


class Params(StepParams):
    """Parameters of slice_sequence."""

    image_range: tuple[tuple[int, int], ...] = Field(
        (), description="First and last image to keep; once for all sweeps, or once for each"
    )
    block_size: float | None = Field(
        None, gt=0, description="Cut every sweep into blocks of about this width, an experiment each",
        json_schema_extra={"unit": "°"},
    )  # fmt: skip
    exclude_images_multiple: int | None = Field(
        None, ge=2, description="Leave out every n-th image (numbers divisible by n) and cut the sweeps there"
    )
    output: Output = Output()


def pieces(experiments: ExperimentList, params: Params) -> list[list[Range]]:
    """For every experiment the image ranges to keep, one new experiment each.

    Raises
    ------
    ParameterError : nothing or too much is asked for, or the numbers of ranges and experiments differ.
    """
    asked = [bool(params.image_range), params.block_size is not None, params.exclude_images_multiple is not None]
    if sum(asked) != 1:
        raise ParameterError("give one of image_range=, block_size= and exclude_images_multiple=")
    scans = [_scan(e) for e in experiments]
    if params.block_size is not None:
        return [blocks(scan, params.block_size) for scan in scans]
    if params.exclude_images_multiple is not None:
        return [without_multiples(scan, params.exclude_images_multiple) for scan in scans]
    ranges = params.image_range
    if len(ranges) == 1:
        ranges = ranges * len(scans)
    if len(ranges) != len(scans):
        raise ParameterError(f"{len(ranges)} image ranges for {len(scans)} experiments; give one, or one for each")
    return [[r] for r in ranges]


def blocks(scan: Scan, width: float) -> list[Range]:
    """Equal blocks of about ``width`` degrees; what does not divide goes to the last one."""
    n = scan.n_images
    count = min(max(round(abs(scan.width) * n / width), 1), n)
    size = n // count
    first, last = scan.image_range
    starts = [first + i * size for i in range(count)]
    return list(zip(starts, [*(s - 1 for s in starts[1:]), last], strict=True))


def without_multiples(scan: Scan, multiple: int) -> list[Range]:
    """Runs of images between those whose number is divisible by ``multiple``."""
    first, last = scan.image_range
    left_out = [n for n in range(first, last + 1) if n % multiple == 0]
    edges = [first - 1, *left_out, last + 1]
    return [(a + 1, b - 1) for a, b in itertools.pairwise(edges) if b - a > 1]


def slice_list(
    experiments: ExperimentList, reflections: ReflectionTable | None, ranges: Sequence[Sequence[Range]]
) -> tuple[ExperimentList, ReflectionTable | None]:
    """Experiments cut to image ranges, and the reflections whose observed centroid lies in them.

    An experiment that is kept whole or as one piece keeps its identifier; several pieces of one get new ones. Models
    at scan points (crystal, beam, goniometer) are cut along. Unindexed spots go with the first piece of their sweep
    that contains them.

    Parameters
    ----------
    ranges : per experiment the (first, last) images of its pieces.

    Raises
    ------
    MxdaskError : a range is not inside its sweep; the table has no ``xyzobs.px.value``.
    """
    cutter = _Cutter()
    new: list[Experiment] = []
    origin: list[tuple[int, Range]] = []
    for row, (experiment, mine) in enumerate(zip(experiments, ranges, strict=True)):
        for piece in mine:
            cut = cutter.cut(experiment, piece)
            new.append(cut if len(mine) == 1 else cut.evolve(identifier=new_identifier()))
            origin.append((row, piece))
    sliced = experiments.with_experiments(new)
    table = None if reflections is None else _slice_table(experiments, sliced, reflections, origin)
    return sliced, table


def _slice_table(
    experiments: ExperimentList, sliced: ExperimentList, table: ReflectionTable, origin: list[tuple[int, Range]]
) -> ReflectionTable:
    z = table["xyzobs.px.value"][:, 2]
    old_sweeps = {id(s): i for i, s in enumerate(experiments.unique("imageset"))}
    new_sweeps = {id(s): i for i, s in enumerate(sliced.unique("imageset"))}
    has_sweeps = "imageset_id" in table
    claimed = np.zeros(len(table), dtype=bool)
    parts = []
    for new_row, (row, (first, last)) in enumerate(origin):
        inside = (z >= first - 1) & (z < last) & ~claimed
        mine = inside & (table["id"] == row)
        if has_sweeps:
            sweep = old_sweeps.get(id(experiments[row].imageset), -1)
            mine |= inside & (table["id"] < 0) & (table["imageset_id"] == sweep)
        claimed |= mine
        part = table.select(mine)
        part["id"] = np.where(part["id"] >= 0, new_row, -1)
        if has_sweeps:
            part["imageset_id"] = np.full(len(part), new_sweeps.get(id(sliced[new_row].imageset), 0))
        part.identifiers = {new_row: sliced[new_row].identifier}
        parts.append(part)
    return ReflectionTable.concat(parts)


def _scan(experiment: Experiment) -> Scan:
    if experiment.scan is None:
        raise MxdaskError(f"{experiment.name}: it has no scan, so no images can be cut off")
    return experiment.scan


class _Cutter:
    """Cuts models, the same one to the same range only once, so that what was shared stays shared."""

    def __init__(self) -> None:
        self._done: dict[tuple[int, Range], Any] = {}
        self._alive: list[Any] = []  # ids stay unique while the objects live

    def cut(self, experiment: Experiment, piece: Range) -> Experiment:
        scan = _scan(experiment)
        low = piece[0] - scan.image_range[0]
        window = low, low + piece[1] - piece[0] + 1
        cut_scan = self._once(scan, piece, lambda s: s.cut(*piece))
        return experiment.evolve(
            scan=cut_scan,
            imageset=self._once(experiment.imageset, piece, lambda s: _cut_images(s, scan, window)),
            crystal=self._once(experiment.crystal, piece, lambda c: _cut_crystal(c, window)),
            beam=self._once(experiment.beam, piece, lambda b: _cut_beam(b, window)),
            goniometer=self._once(experiment.goniometer, piece, lambda g: _cut_goniometer(g, window)),
            profile=self._once(experiment.profile, piece, lambda p: _cut_profile(p, scan.n_images, window)),
        )

    def _once(self, model: Any, piece: Range, function: Any) -> Any:
        if model is None:
            return None
        key = id(model), piece
        if key not in self._done:
            self._alive.append(model)
            self._done[key] = function(model)
        return self._done[key]


def _cut_images(images: ImageSet, scan: Scan, window: Range) -> ImageSet:
    lo, hi = window
    frames, paths = images.single_file_indices, images.paths
    return replace(
        images,
        single_file_indices=frames[lo:hi] if frames is not None and len(frames) == scan.n_images else frames,
        paths=paths[lo:hi] if len(paths) == scan.n_images else paths,
    )


def _cut_crystal(crystal: Crystal, window: Range) -> Crystal:
    lo, hi = window
    A, cov = crystal.A_at_scan_points, crystal.B_covariance_at_scan_points
    if A is None and cov is None:
        return crystal
    return replace(
        crystal,
        A_at_scan_points=None if A is None else A[lo : hi + 1],
        B_covariance_at_scan_points=None if cov is None else cov[lo : hi + 1],
    )


def _cut_beam(beam: Beam, window: Range) -> Beam:
    points = beam.s0_at_scan_points
    return beam if points is None else replace(beam, s0_at_scan_points=points[window[0] : window[1] + 1])


def _cut_goniometer(goniometer: Goniometer, window: Range) -> Goniometer:
    points = goniometer.setting_rotation_at_scan_points
    if points is None:
        return goniometer
    return replace(goniometer, setting_rotation_at_scan_points=points[window[0] : window[1] + 1])


def _cut_profile(profile: dict[str, Any], n_images: int, window: Range) -> dict[str, Any]:
    """Widths that are given per image."""
    return {
        k: v[window[0] : window[1]] if isinstance(v, list) and len(v) == n_images > 1 else v for k, v in profile.items()
    }
