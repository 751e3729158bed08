"""Reflections whose residuals do not belong to the rest (front.md 12.3)."""

from __future__ import annotations

import itertools

import numpy as np

from mxdask.modelfit.mcd import mcd_outliers
from mxdask.modelfit.options import FitOptions
from mxdask.modelfit.part import Hands, OwnHands
from mxdask.modelfit.selection import Observations
from mxdask.models import ExperimentList

LEAST_FOR_TUKEY = 8  # quartiles of fewer values say nothing
BLOCK_WIDTH = 18.0  # degrees
PER_BLOCK = 50
JOBS_PER_PART = 16


def find_outliers(
    experiments: ExperimentList,
    data: list[Observations],
    residuals: list[np.ndarray],
    options: FitOptions,
    hands: Hands | None = None,
) -> list[np.ndarray]:
    """Per experiment (n,) mask of outliers among its residuals (n, 3).

    Every experiment is judged in blocks of φ by itself. Blocks with too few reflections join their neighbour;
    experiments that are too small as a whole are judged together, each about its own median, instead of being
    thrown away (as DIALS does).
    """
    masks = [np.zeros(len(r), dtype=bool) for r in residuals]
    if options.outlier == "null":
        return masks
    small = [i for i, r in enumerate(residuals) if 0 < len(r) < options.minimum_outlier_job]
    large = [i for i, r in enumerate(residuals) if len(r) >= options.minimum_outlier_job]
    jobs = [(i, rows) for i in large for rows in _blocks(experiments, data[i], i, options)]
    parts = [jobs[a : a + JOBS_PER_PART] for a in range(0, len(jobs), JOBS_PER_PART)]
    items = [([residuals[i][rows] for i, rows in part], options) for part in parts]
    found = (OwnHands() if hands is None else hands).map(_judge_each, items, "outliers")
    for (i, rows), outliers in zip(jobs, itertools.chain.from_iterable(found), strict=True):
        masks[i][rows] = outliers
    if small:
        # In an order that does not depend on that of the experiments.
        small.sort(key=lambda i: experiments[i].identifier)
        centred = [residuals[i] - np.median(residuals[i], axis=0) for i in small]
        together = _judge(np.concatenate(centred), options)
        flags = np.split(together, np.cumsum([len(c) for c in centred])[:-1])
        for i, mask in zip(small, flags, strict=True):
            masks[i] = mask
    return masks


def _judge_each(jobs: list[np.ndarray], options: FitOptions) -> list[np.ndarray]:
    return [_judge(values, options) for values in jobs]


def _judge(values: np.ndarray, options: FitOptions) -> np.ndarray:
    """(n,) outliers of one job; with too few values for the method, the simpler one, or none."""
    if options.outlier == "mcd" and len(values) >= options.minimum_outlier_job:
        return mcd_outliers(values, seed=options.seed)
    if len(values) >= LEAST_FOR_TUKEY:
        return tukey_outliers(values, options.tukey_multiplier)
    return np.zeros(len(values), dtype=bool)


def tukey_outliers(values: np.ndarray, multiplier: float = 1.5) -> np.ndarray:
    """(n,) rows with any column of (n, k) outside [Q1 − m·IQR, Q3 + m·IQR]."""
    low, high = np.percentile(values, [25, 75], axis=0)
    fence = multiplier * (high - low)
    return np.any((values < low - fence) | (values > high + fence), axis=1)


def _blocks(experiments: ExperimentList, data: Observations, i: int, options: FitOptions) -> list[np.ndarray]:
    """Row numbers of the blocks of φ, none with fewer reflections than a job needs."""
    scan = experiments[i].scan
    assert scan is not None
    total = abs(scan.width) * scan.n_images
    z = scan.frame(data.observed[:, 2]) - scan.array_range[0]
    width = options.outlier_block_width or _auto_width(z * abs(scan.width), total)
    count = max(1, round(total / width))
    block = np.clip((z * count / scan.n_images).astype(np.int64), 0, count - 1)
    jobs: list[np.ndarray] = []
    for b in range(count):
        rows = np.flatnonzero(block == b)
        if jobs and (len(rows) < options.minimum_outlier_job or len(jobs[-1]) < options.minimum_outlier_job):
            jobs[-1] = np.concatenate([jobs[-1], rows])
        else:
            jobs.append(rows)
    return jobs


def _auto_width(angle: np.ndarray, total: float) -> float:
    """Degrees per block: at least 18, and wide enough for 50 reflections in the emptiest block."""
    width = 1.0
    while width < total:
        fewest = int(np.histogram(angle, bins=max(1, int(total / width)), range=(0.0, total))[0].min())
        if fewest >= PER_BLOCK:
            break
        width *= 2.0 if fewest < 5 else PER_BLOCK / fewest * 1.001
    return max(BLOCK_WIDTH, min(width, total))
