"""Stores for the images of all sweeps: made before spots are searched, finished afterwards."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mxdask.errors import FileError, MxdaskError
from mxdask.flow import Flow
from mxdask.images.zarr_convert import convert
from mxdask.images.zarr_shards import Codec
from mxdask.images.zarr_store import ZarrStore, create_store, finish_store
from mxdask.models import Experiment, ExperimentList

log = logging.getLogger(__name__)


def begin_stores(
    experiments: ExperimentList, sweeps: Sequence[tuple[int, ...]], folder: Path, *, block: int, codec: Codec
) -> list[ZarrStore | None]:
    """A store ``SWEEP.zarr`` for every sweep (rows of its experiments); None where the images are in one already.

    Raises
    ------
    FileError : a store of that name holds other images.
    """
    names = Counter[str]()
    stores: list[ZarrStore | None] = []
    for rows in sweeps:
        experiment = experiments[rows[0]]
        names[experiment.name] += 1
        again = f"-{names[experiment.name]}" if names[experiment.name] > 1 else ""
        if experiment.imageset is not None and experiment.imageset.template.lower().endswith(".zarr"):
            stores.append(None)
        else:
            path = folder / f"{experiment.name}{again}.zarr"
            stores.append(create_store(experiment, path, block=block, codec=codec))
    return stores


def finish_stores(
    experiments: ExperimentList, stores: Sequence[tuple[tuple[int, ...], ZarrStore | None]], flow: Flow
) -> ExperimentList:
    """The experiments with their images in the stores; a sweep that cannot be kept stays where it is, with a warning.

    Blocks that were not written on the way (their spots were known from an earlier run) are copied now.
    """
    out: list[Experiment] = list(experiments)
    for rows, store in stores:
        if store is None:
            continue
        first = experiments[rows[0]]
        try:
            try:
                kept = finish_store(store, first)
            except FileError:
                kept = convert(first, store.path, flow=flow, block=store.block, codec=store.codec)
        except MxdaskError as error:
            log.warning("%s: the images stay where they are: %s", first.name, error)
            continue
        log.info("wrote %s", store.path)
        for row in rows:
            out[row] = experiments[row].evolve(imageset=kept.imageset)
    return experiments.with_experiments(out)
