"""The find_spots step: blocks of images → strong pixels and components → spots of each sweep."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mxdask.errors import FileError, MxdaskError, ParameterError
from mxdask.flow import Failed, Flow
from mxdask.flow.fingerprint import stat_fingerprint
from mxdask.images import ImageStack, image_files, open_stack
from mxdask.images.zarr_store import ZarrStore
from mxdask.models import Experiment, ExperimentList
from mxdask.spots.hot_masks import with_hot_masks
from mxdask.spots.image_table import image_columns, image_table
from mxdask.spots.images import BlockResult, find_in_block
from mxdask.spots.keeping import begin_stores, finish_stores
from mxdask.spots.params import Params
from mxdask.spots.recording import RecordingStack
from mxdask.spots.report import histogram, sweep_table
from mxdask.spots.spots import STRONG_COLUMNS
from mxdask.spots.sweep import SweepSpots, finish_sweep, hot_pixels
from mxdask.table import ReflectionTable

log = logging.getLogger(__name__)

# Images per task: short sweeps are spread over the cores, long ones kept to few tasks. How a sweep is cut does not
# depend on the others: what was found on it stays when others are added.
_FEW_IMAGES, _SMALL_BLOCK, _LARGE_BLOCK = 1000, 20, 50


@dataclass(frozen=True)
class Plan:
    """One sweep of images and the blocks it is cut into.

    Attributes
    ----------
    rows : experiments on these images, in order. stack : None if ``problem`` says why there is none.
    blocks : half-open ranges of frames. excluded : frames not to look at. stamp : state of
        the image files. store : where the images are kept on the way, or None.
    """

    rows: tuple[int, ...]
    stack: ImageStack | None
    blocks: tuple[tuple[int, int], ...] = ()
    excluded: frozenset[int] = frozenset()
    stamp: str = ""
    problem: str = ""
    store: ZarrStore | None = None


@dataclass(frozen=True)
class Reduced:
    """A sweep's spots and, if asked for, all its hot pixels as (panel, slow, fast)."""

    spots: SweepSpots
    hot: tuple[tuple[int, int, int], ...] = ()


def run(
    experiments: ExperimentList, reflections: ReflectionTable | None, params: Params, *, flow: Flow
) -> tuple[ExperimentList, ReflectionTable, dict[str, Any]]:
    """Find spots on all images of all experiments.

    Parameters
    ----------
    experiments : with image set, detector and, for sweeps, scan.
    reflections : not used; spot finding starts from images.

    Returns
    -------
    The experiments (with their images in Zarr stores, or with new masks, if that was asked for), the strong spots
    (columns of ``STRONG_COLUMNS``; id = row of the experiment), and the summary with one row per sweep.

    Raises
    ------
    MxdaskError : no sweep at all could be read.
    """
    check(params)
    plans = plan(experiments, params)
    folder = flow.run_dir or Path.cwd()
    if params.output.zarr:
        plans = _with_stores(experiments, plans, params, folder)
    results = flow.compute([_sweep_node(flow, experiments, p, params) for p in plans], name="find-spots")
    tables, rows = [], []
    hot: dict[int, Sequence[tuple[int, int, int]]] = {}
    for p, result in zip(plans, results, strict=True):
        found = _outcome(experiments, p, result)
        rows.append(found.row)
        if isinstance(result, Reduced):
            hot |= dict.fromkeys(p.rows, result.hot)
        if found.table is not None and len(found.table):
            tables.append(_with_ids(found.table, experiments, p.rows))
        _log_sweep(found, params.per_image_statistics)
    if all(row["status"] == "failed" for row in rows):
        raise MxdaskError(rows[0]["reason"] if rows else "no experiments: import images first")
    identifiers = dict(enumerate(experiments.identifiers))
    table = ReflectionTable.concat(tables) if tables else ReflectionTable.empty(STRONG_COLUMNS)
    table.identifiers = identifiers
    summary = {
        "step": "find_spots",
        "n_spots": len(table),
        "n_images": sum(len(row.get("images", ())) for row in rows),
        "rows": rows,
    }
    log.info("%s", sweep_table(rows))
    if params.output.zarr:
        experiments = finish_stores(experiments, [(p.rows, p.store) for p in plans], flow)
        summary["experiments_file"] = "converted.expt"
    if params.write_hot_mask:
        experiments = with_hot_masks(experiments, hot, folder, params.hot_mask_prefix)
        summary.setdefault("experiments_file", "masked.expt")
    return experiments, table, summary


def _with_stores(experiments: ExperimentList, plans: list[Plan], params: Params, folder: Path) -> list[Plan]:
    """The plans with a store for every sweep, cut as the stores are."""
    size = params.block_size or _SMALL_BLOCK
    readable = [p.rows for p in plans if p.stack is not None]
    stores = begin_stores(experiments, readable, folder, block=size, codec=params.output.codec)
    found = {rows: store for rows, store in zip(readable, stores, strict=True) if store is not None}
    return [
        replace(p, store=found[p.rows], blocks=tuple(found[p.rows].blocks())) if p.rows in found else p for p in plans
    ]


def check(params: Params) -> None:
    """Raise ParameterError for values that do not go together."""
    if not all(1 <= k <= 20 for k in params.threshold.dispersion.kernel_size):
        raise ParameterError(f"kernel_size={params.threshold.dispersion.kernel_size}: half sizes are 1 to 20")
    if params.filter.min_spot_size is not None and params.filter.min_spot_size > params.filter.max_spot_size:
        raise ParameterError(
            f"min_spot_size={params.filter.min_spot_size} is larger than max_spot_size={params.filter.max_spot_size}"
        )
    for corners in params.filter.untrusted.polygon:
        if len(corners) < 6 or len(corners) % 2:
            raise ParameterError("untrusted.polygon: give x,y of at least three corners")


def plan(experiments: ExperimentList, params: Params) -> list[Plan]:
    """Sweeps and their blocks, from metadata alone. Experiments on the same images are one sweep."""
    groups = experiments.groups(lambda e: (id(e.imageset), e.scan and e.scan.array_range))
    plans = []
    for rows in groups.values():
        experiment = experiments[rows[0]]
        try:
            stack = open_stack(experiment)
        except MxdaskError as error:
            plans.append(Plan(tuple(rows), None, problem=str(error)))
            continue
        excluded = frozenset(excluded_frames(stack.array_range, params))
        stamp = stat_fingerprint(image_files(ExperimentList([experiment])))
        size = params.block_size or (_SMALL_BLOCK if _n_images(experiment) < _FEW_IMAGES else _LARGE_BLOCK)
        plans.append(Plan(tuple(rows), stack, tuple(cut(stack.array_range, size)), excluded, stamp))
    return plans


def cut(z_range: tuple[int, int], size: int) -> Iterator[tuple[int, int]]:
    """Half-open ranges of nearly equal length, at most ``size``."""
    first, end = z_range
    n = -(-(end - first) // size)
    edges = [first + (end - first) * k // n for k in range(n + 1)]
    yield from itertools.pairwise(edges)


def excluded_frames(z_range: tuple[int, int], params: Params) -> Iterator[int]:
    """Frames outside scan_range or excluded by number."""
    for z in range(*z_range):
        image = z + 1
        outside = params.scan_range and not any(first <= image <= last for first, last in params.scan_range)
        multiple = params.exclude_images_multiple is not None and image % params.exclude_images_multiple == 0
        if outside or multiple or image in params.exclude_images:
            yield z


def _n_images(experiment: Experiment) -> int:
    if experiment.scan is not None:
        return experiment.scan.n_images
    return len(experiment.imageset.paths) if experiment.imageset is not None else 0


def _sweep_node(flow: Flow, experiments: ExperimentList, p: Plan, params: Params) -> Any:
    """The graph of one sweep: a task per block, one that joins them."""
    if p.stack is None:
        return flow.task(Failed, p.problem, "", True, name="unreadable-sweep")
    experiment = experiments[p.rows[0]]
    blocks = []
    for first, end in p.blocks:
        excluded = frozenset(z for z in p.excluded if first <= z < end)
        stack = p.stack if p.store is None else RecordingStack.of(p.stack, p.store, (first, end))
        block = (stack, experiment, params, (first, end), excluded, p.stamp)
        blocks.append(flow.task(find_in_block, *block, name="find-spots", keep=True))
    return flow.task(_reduce, experiment, params, blocks, name="join-spots")


def _reduce(experiment: Experiment, params: Params, blocks: Sequence[BlockResult | Failed]) -> Reduced:
    """Join the blocks of one sweep.

    Raises
    ------
    MxdaskError : a block could not be done.
    """
    done = [b for b in blocks if isinstance(b, BlockResult)]
    if len(done) < len(blocks):
        failed = next(b for b in blocks if isinstance(b, Failed))
        raise FileError(failed.reason) if failed.bad_input else MxdaskError(failed.reason)
    hot = hot_pixels(experiment, done, params.hot_pixel_fraction) if params.write_hot_mask else ()
    spots = finish_sweep(experiment, params, done)
    assert spots.table is not None
    row = spots.row | image_columns(experiment, spots.table, done)
    return Reduced(SweepSpots(spots.table, row), tuple(hot))


def _outcome(experiments: ExperimentList, p: Plan, result: Reduced | Failed) -> SweepSpots:
    """The sweep's result with its identity; a failure becomes a row like the others."""
    experiment = experiments[p.rows[0]]
    row: dict[str, Any] = {"sweep": experiment.name, "identifier": experiment.identifier}
    if isinstance(result, Failed):
        if result.detail:
            log.debug("%s", result.detail)
        row |= {"status": "failed", "reason": result.reason, "bad_input": result.bad_input, "n_spots": 0}
        return SweepSpots(None, row)
    return SweepSpots(result.spots.table, row | result.spots.row)


def _with_ids(table: ReflectionTable, experiments: ExperimentList, rows: Sequence[int]) -> ReflectionTable:
    """Spots belong to the first experiment on their images whose scan covers them; of stills, to that of the image."""
    ids = np.full(len(table), -1, np.int32)
    z = table["xyzobs.px.value"][:, 2]
    if len(rows) > 1 and all(experiments[row].scan is None for row in rows):
        table["id"] = np.asarray(rows, np.int32)[np.minimum(z.astype(np.int64), len(rows) - 1)]
        return table
    for row in reversed(rows):
        scan = experiments[row].scan
        inside = np.ones(len(z), bool) if scan is None else (z >= scan.array_range[0]) & (z < scan.array_range[1])
        ids[inside] = row
    table["id"] = ids
    return table


def _log_sweep(found: SweepSpots, per_image: bool) -> None:
    row = found.row
    if row["status"] == "failed":
        log.warning("%s: %s", row["sweep"], row["reason"])
        return
    log.info(
        "%s: %d spots on %d images (of %d components %d are too small, %d too large, %d off-centre)",
        *(row["sweep"], row["n_spots"], len(row["images"]), row["n_components"]),
        *(row["n_too_small"], row["n_too_large"], row["n_off_centre"]),
    )
    log.log(logging.INFO if per_image else logging.DEBUG, "%s", image_table(row))
    for image, count in zip(row["images"], row["strong_pixels_per_image"], strict=True):
        log.debug("Found %d strong pixels on image %d", count, image)
    for image, reason in row["bad_images"]:
        log.warning("%s: image %d left out: %s", row["sweep"], image, reason)
    if row["n_spots"]:
        log.info("%s", histogram(row["spots_per_image"], row["images"][0]))
