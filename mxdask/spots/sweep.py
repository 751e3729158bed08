"""Spots of a whole sweep from its blocks, and the row of the summary that describes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mxdask.models import Experiment
from mxdask.spots.components import join_blocks
from mxdask.spots.density import crowded
from mxdask.spots.images import BlockResult, is_flat, smallest_spot
from mxdask.spots.params import Params
from mxdask.spots.spots import Counted, make_table
from mxdask.table import ReflectionTable

# More hot pixels than this are counted but not listed.
_LISTED_HOT = 200


@dataclass(frozen=True)
class SweepSpots:
    """Spots of a sweep (None if it failed) and its row of the summary."""

    table: ReflectionTable | None
    row: dict[str, Any]


def finish_sweep(experiment: Experiment, params: Params, blocks: Sequence[BlockResult]) -> SweepSpots:
    """Join consecutive blocks, make the table of spots, and describe the sweep.

    Parameters
    ----------
    blocks : of consecutive frames, in order.
    """
    assert experiment.detector is not None
    tables, counted = [], Counted(0, 0, 0, 0)
    for number, panel in enumerate(experiment.detector.panels):
        joined = join_blocks([b.panels[number] for b in blocks], flat=is_flat(experiment, params))
        table, more = make_table(
            joined, number, panel, smallest=smallest_spot(panel, params), largest=params.filter.max_spot_size,
            max_separation=params.filter.max_separation, shoeboxes=params.output.shoeboxes,
        )  # fmt: skip
        tables.append(table)
        counted += more
    table = ReflectionTable.concat(tables)
    n_crowded = 0
    if params.filter.spot_density.filter and len(table):
        reject = crowded(table, params.filter.spot_density)
        n_crowded = int(reject.sum())
        table = table.select(~reject)
    return SweepSpots(table, _describe(experiment, params, blocks, table, counted) | {"n_crowded": n_crowded})


def _describe(
    experiment: Experiment, params: Params, blocks: Sequence[BlockResult], table: ReflectionTable, counted: Counted
) -> dict[str, Any]:
    images = [image for b in blocks for image in b.images]
    bad = [(image.z + 1, image.problem) for image in images if image.problem]
    hot = hot_pixels(experiment, blocks, params.hot_pixel_fraction)
    on_frame = Counter(np.floor(table["xyzobs.px.value"][:, 2]).astype(int).tolist())
    readable = [image for image in images if not image.problem]
    return {
        "status": "ok" if readable else "failed",
        "reason": bad[0][1] if bad else ("" if readable else "no image was selected"),
        "bad_input": any(image.bad_input for image in images),
        "n_spots": len(table),
        "n_strong_pixels": sum(image.n_strong for image in readable),
        "n_components": counted.extracted,
        "n_too_small": counted.too_small,
        "n_too_large": counted.too_large,
        "n_off_centre": counted.off_centre,
        "n_overloaded_pixels": sum(image.n_overloaded for image in images),
        "mean_background": float(np.mean([image.background for image in readable])) if readable else None,
        "images": [image.z + 1 for image in images],
        "strong_pixels_per_image": [image.n_strong for image in images],
        "spots_per_image": [on_frame[image.z] for image in images],
        "background_per_image": [round(image.background, 6) for image in images],
        "bad_images": bad,
        "n_hot_pixels": len(hot),
        "hot_pixels": hot[:_LISTED_HOT],
    }


def hot_pixels(experiment: Experiment, blocks: Sequence[BlockResult], fraction: float) -> list[tuple[int, int, int]]:
    """(panel, slow, fast) of the pixels that are strong on more than this fraction of a sweep's images.

    Fewer than ten images do not tell a hot pixel from a strong spot: none is reported then.
    """
    assert experiment.detector is not None
    n_images = sum(not image.problem for b in blocks for image in b.images)
    if n_images < 10:
        return []
    out = []
    for number, panel in enumerate(experiment.detector.panels):
        index = np.concatenate([b.presence[number][0] for b in blocks])
        count = np.concatenate([b.presence[number][1] for b in blocks])
        pixels, where = np.unique(index, return_inverse=True)
        often = pixels[np.bincount(where, weights=count, minlength=len(pixels)) > fraction * n_images]
        out += [(number, int(p) // panel.image_size[0], int(p) % panel.image_size[0]) for p in often]
    return out
