"""Masks of hot pixels: made on the way, or from strong spots that are on every image."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.io.mask import read_mask, write_mask
from mxdask.models import Detector, Experiment, ExperimentList
from mxdask.table import ReflectionTable

log = logging.getLogger(__name__)

HotPixels = Sequence[tuple[int, int, int]]


def mask_without(detector: Detector, hot: HotPixels, known: str | None = None) -> tuple[np.ndarray, ...]:
    """Per panel (slow, fast) bool, False at the hot pixels (panel, slow, fast) and where the mask file ``known`` is."""
    if known is None:
        masks = [np.ones(p.image_size[::-1], dtype=bool) for p in detector.panels]
    else:
        masks = [m.copy() for m in read_mask(known)]
    for panel, y, x in hot:
        masks[panel][y, x] = False
    return tuple(masks)


def with_hot_masks(
    experiments: ExperimentList, hot: Mapping[int, HotPixels], folder: Path, prefix: str
) -> ExperimentList:
    """Write ``PREFIX_N.pickle`` per set of images, added to its own mask, and let the experiments use it.

    Parameters
    ----------
    hot : row of the experiment → hot pixels; experiments that are not there keep their mask.
    """
    out = list(experiments)
    for number, rows in enumerate(experiments.groups(lambda e: id(e.imageset)).values()):
        first = experiments[rows[0]]
        if rows[0] not in hot or first.imageset is None or first.detector is None:
            continue
        path = (folder / f"{prefix}_{number}.pickle").resolve()
        pixels = sorted({p for row in rows for p in hot.get(row, ())})
        write_mask(path, mask_without(first.detector, pixels, first.imageset.mask))
        log.info("%s: %d hot pixels, wrote %s", first.name, len(pixels), path)
        imageset = replace(first.imageset, mask=str(path))
        for row in rows:
            out[row] = experiments[row].evolve(imageset=imageset)
    return experiments.with_experiments(out)


def hot_from_spots(experiment: Experiment, spots: ReflectionTable) -> list[tuple[int, int, int]]:
    """(panel, slow, fast) of the pixels of spots that last from the first to the last image (front.md 7).

    Unlike DIALS, which takes the corner of such a spot's box, a pixel must be strong on every image itself.

    Raises
    ------
    MxdaskError : the spots were written without their pixels, or there are fewer than two images.
    """
    assert experiment.scan is not None
    first, end = experiment.scan.array_range
    if end - first < 2:
        raise MxdaskError(f"{experiment.name}: one image does not tell a hot pixel from a spot")
    if spots.shoeboxes is None:
        raise MxdaskError("the spots have no shoeboxes: find them with output.shoeboxes=true")
    box = spots["bbox"]
    hot = set()
    for row in np.flatnonzero((box[:, 4] == first) & (box[:, 5] == end)):
        a, b = spots.shoeboxes.offset[row : row + 2]
        x0, x1, y0, y1 = box[row, :4]
        always = (spots.shoeboxes.mask[a:b].reshape(end - first, y1 - y0, x1 - x0) != 0).all(axis=0)
        hot |= {(int(spots["panel"][row]), int(y) + int(y0), int(x) + int(x0)) for y, x in np.argwhere(always)}
    return sorted(hot)
