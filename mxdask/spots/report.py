"""Spot finding in words: the table of sweeps and the histogram of spots over images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mxdask.text import text_table

_COLUMNS, _HEIGHT = 60, 10


def sweep_table(rows: Sequence[dict[str, Any]]) -> str:
    """One line per sweep."""
    header = [
        "sweep",
        "images",
        "strong px",
        "spots",
        "per image",
        "background",
        "overloaded px",
        "hot px",
        "bad images",
    ]
    lines = []
    for row in rows:
        if row["status"] == "failed":
            lines.append([row["sweep"], "-", "-", 0, "-", "-", "-", "-", row["reason"]])
            continue
        n = max(len(row["images"]), 1)
        background = row["mean_background"]
        lines.append([
            row["sweep"], len(row["images"]), row["n_strong_pixels"], row["n_spots"], f"{row['n_spots'] / n:.1f}",
            "-" if background is None else f"{background:.3f}", row["n_overloaded_pixels"], row["n_hot_pixels"],
            len(row["bad_images"]),
        ])  # fmt: skip
    return text_table(header, lines, title="Spots found")


def histogram(spots_per_image: Sequence[int], first_image: int) -> str:
    """Number of spots over the images as a picture of at most 60 × 10 characters."""
    counts = np.asarray(spots_per_image)
    per_bin = -(-len(counts) // _COLUMNS)
    sums = np.add.reduceat(counts, np.arange(0, len(counts), per_bin))
    top = max(int(sums.max()), 1)
    heights = np.ceil(sums * _HEIGHT / top)
    lines = ["".join("*" if h >= level else " " for h in heights).rstrip() for level in range(_HEIGHT, 0, -1)]
    last = str(first_image + len(counts) - 1)
    width = max(len(sums), len(str(first_image)) + len(last) + 1)
    axis = f"{first_image}{'image'.center(width - len(str(first_image)) - len(last))}{last}"
    return "\n".join([f"{counts.sum()} spots on {len(counts)} images (at most {top} per column)", *lines, axis])
