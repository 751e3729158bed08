"""Where predictions miss: along the sweep and over the detector, for the report."""

from __future__ import annotations

from typing import Any

import numpy as np

from mxdask.models import Experiment
from mxdask.table import Flag, ReflectionTable

_MOST_STEPS = 60
_GRID = 16
_FEWEST = 3  # reflections that make a cell of the map


def along_sweep(experiment: Experiment, table: ReflectionTable) -> dict[str, Any]:
    """Root mean square of observed - predicted in steps of whole images, of reflections used in refinement.

    Parameters
    ----------
    table : reflections of this experiment.

    Returns
    -------
    ``image`` (middle of each step), ``x``, ``y`` (px), ``z`` (images), None in steps without reflections.
    """
    rows = np.flatnonzero(table.has_flags(Flag.USED_IN_REFINEMENT))
    if experiment.scan is None or len(rows) == 0:
        return {}
    first, last = experiment.scan.image_range
    width = int(np.ceil((last - first + 1) / _MOST_STEPS))
    n_steps = -(-(last - first + 1) // width)
    observed = table["xyzobs.px.value"][rows]
    step = np.clip((observed[:, 2] - (first - 1)) // width, 0, n_steps - 1).astype(np.int64)
    square = (observed - table["xyzcal.px"][rows]) ** 2
    n = np.bincount(step, minlength=n_steps)
    with np.errstate(invalid="ignore"):
        rms = [np.sqrt(np.bincount(step, square[:, k], n_steps) / n) for k in range(3)]
    middle = first + width * np.arange(n_steps) + (width - 1) / 2
    return {"image": middle.tolist(), **{name: _plain(v) for name, v in zip("xyz", rms, strict=True)}}


def over_detector(experiments: list[Experiment], table: ReflectionTable) -> dict[str, Any]:
    """Mean of observed - predicted (px) in cells of the detector, all crystals together; of one panel only.

    Returns
    -------
    ``x``, ``y`` (rows of cells from the first slow pixel on, None in cells of few reflections) and ``size`` of the
    panel; empty where detectors have several panels or differ in size.
    """
    sizes = {
        tuple(int(v) for v in e.detector[0].image_size) if e.detector is not None and len(e.detector) == 1 else None
        for e in experiments
    }
    rows = np.flatnonzero(table.has_flags(Flag.USED_IN_REFINEMENT))
    size = sizes.pop() if len(sizes) == 1 else None
    if size is None or len(rows) == 0:
        return {}
    observed, predicted = table["xyzobs.px.value"][rows, :2], table["xyzcal.px"][rows, :2]
    cell = np.clip((observed / np.array(size) * _GRID).astype(np.int64), 0, _GRID - 1)
    place = cell[:, 1] * _GRID + cell[:, 0]
    n = np.bincount(place, minlength=_GRID**2)
    out: dict[str, Any] = {"size": list(size)}
    for k, name in enumerate("xy"):
        with np.errstate(invalid="ignore"):
            mean = np.bincount(place, (observed - predicted)[:, k], _GRID**2) / n
        mean[n < _FEWEST] = np.nan
        out[name] = [_plain(row) for row in mean.reshape(_GRID, _GRID)]
    return out


def _plain(values: np.ndarray) -> list[float | None]:
    return [float(f"{v:.4g}") if np.isfinite(v) else None for v in values.tolist()]
