"""Which unique reflections were measured at all: error against what their resolution makes one expect."""

from __future__ import annotations

import numpy as np

from mxdask.intensity.merging import Unmerged, weighted_means

_PER_SHELL = 200


def barely_measured(data: Unmerged, max_relative_sigma: float) -> np.ndarray:
    """(m,) bool, reflections whose merged σ is above ``max_relative_sigma`` times the mean intensity around them.

    With an intensity drawn from Wilson's acentric distribution of mean Σ, a measurement with error σ carries about
    ½·log₂(1 + Σ²/σ²) bits: less than a twentieth at σ = 4Σ. Such reflections, seen only by a crystal much weaker
    than the others, add noise to everything computed without weights.

    Σ is the weighted mean of shells with equal numbers of reflections, so that the noise itself hardly counts.
    """
    n = len(data.asu.unique)
    means = weighted_means(data.asu.group, n, data.intensity, data.variance)
    n_shells = max(1, n // _PER_SHELL)
    order = np.argsort(data.inverse_d_squared, kind="stable")
    shell = np.empty(n, dtype=np.int64)
    shell[order] = np.arange(n) * n_shells // max(n, 1)
    # One measurement, one weight: 1/(σ² + spread²) with the spread of intensities themselves, estimated in two rounds.
    seen = np.isfinite(means.mean)
    expected = np.zeros(n_shells)
    for _ in range(2):
        weight = np.where(seen, 1.0 / (means.sigma**2 + expected[shell] ** 2), 0.0)
        total = np.bincount(shell, weight, n_shells)
        mean = np.bincount(shell, weight * np.nan_to_num(means.mean), n_shells)
        expected = np.divide(mean, total, out=np.zeros(n_shells), where=total > 0)
    with np.errstate(invalid="ignore"):
        return seen & (means.sigma > max_relative_sigma * np.maximum(expected[shell], 0.0))
