"""The images of a sweep as rows: what each of them showed, and whether it could be used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mxdask.models import Experiment
from mxdask.spots.images import BlockResult, ImageRow
from mxdask.spots.per_image import spot_data
from mxdask.spots.resolution import resolution_from_intensities
from mxdask.table import ReflectionTable
from mxdask.text import text_table


def image_columns(experiment: Experiment, table: ReflectionTable, blocks: Sequence[BlockResult]) -> dict[str, Any]:
    """Lists with one entry per image looked at, in order.

    ``intensity_per_image``: summed intensity of the spots off ice rings. ``d_min_per_image``: Å, from the spots'
    intensities (mxdask.spots.resolution), None for few spots. ``overloaded_per_image``: pixels above the trusted range.
    ``image_status``: ``unreadable``, ``left out`` (too many strong pixels), ``blank`` (no spot), ``overloaded`` or
    ``ok``.
    """
    rows = [image for block in blocks for image in block.images]
    z = np.array([row.z for row in rows], dtype=np.int64)
    spots = spot_data(experiment, table) if experiment.beam is not None else None
    intensity, n_spots = np.zeros(len(z)), np.zeros(len(z), dtype=int)
    d_min: list[float | None] = [None] * len(z)
    if spots is not None:
        order = np.argsort(spots.z, kind="stable")
        start, end = (np.searchsorted(spots.z[order], z, side=side) for side in ("left", "right"))
        n_spots = end - start
        for k, (a, b) in enumerate(zip(start, end, strict=True)):
            of_image = spots.select(order[a:b])
            intensity[k] = of_image.intensity[~of_image.ice].sum()
            value = resolution_from_intensities(of_image.d_star_sq, of_image.intensity, of_image.variance, of_image.ice)
            d_min[k] = None if value is None else round(value, 3)
    return {
        "intensity_per_image": intensity.tolist(),
        "d_min_per_image": d_min,
        "overloaded_per_image": [row.n_overloaded for row in rows],
        "image_status": [_status(row, int(n)) for row, n in zip(rows, n_spots, strict=True)],
    }


def _status(row: ImageRow, n_spots: int) -> str:
    if row.problem:
        return "unreadable" if row.bad_input else "left out"
    if n_spots == 0:
        return "blank"
    return "overloaded" if row.n_overloaded else "ok"


def image_table(row: dict[str, Any]) -> str:
    """The images of one sweep's row as text."""
    header = ["image", "spots", "strong px", "background", "intensity", "d_min", "overloaded px", "status"]
    columns = (
        row["images"], row["spots_per_image"], row["strong_pixels_per_image"],
        [f"{v:.3f}" for v in row["background_per_image"]], [f"{v:.0f}" for v in row["intensity_per_image"]],
        ["-" if v is None else f"{v:.2f}" for v in row["d_min_per_image"]], row["overloaded_per_image"],
        row["image_status"],
    )  # fmt: skip
    return text_table(header, list(zip(*columns, strict=True)), title=f"Images of {row['sweep']}")
