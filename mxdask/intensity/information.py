"""Which unique reflections were measured at all: error against what their resolution makes one expect."""

from __future__ import annotations

import numpy as np

from mxdask.intensity.merging import Unmerged, weighted_means

_PER_SHELL = 200
_ROUNDS = 5
# A reflection this many σ above zero has been measured, whatever its neighbours are like.
_SIGNIFICANT = 3.0


def barely_measured(data: Unmerged, max_relative_sigma: float) -> np.ndarray:
    """(m,) bool, reflections whose merged σ is above ``max_relative_sigma`` times the mean intensity around them.

    With an intensity drawn from Wilson's acentric distribution of mean Σ, a measurement with error σ carries about
    ½·log₂(1 + Σ²/σ²) bits: less than a twentieth at σ = 4Σ. Such reflections, seen only by a crystal much weaker
    than the others, add noise to everything computed without weights.

    Σ is the weighted mean of shells with equal numbers of reflections, so that the noise itself hardly counts. A
    reflection that is significant by itself always stays.
    """
    n = len(data.asu.unique)
    means = weighted_means(data.asu.group, n, data.intensity, data.variance)
    n_shells = max(1, n // _PER_SHELL)
    order = np.argsort(data.inverse_d_squared, kind="stable")
    shell = np.empty(n, dtype=np.int64)
    shell[order] = np.arange(n) * n_shells // max(n, 1)
    seen = np.isfinite(means.mean)
    intensity = np.where(seen, means.mean, 0.0)
    count = np.maximum(np.bincount(shell, seen, n_shells), 1)
    expected = np.maximum(np.bincount(shell, intensity, n_shells) / count, 0.0)
    # Weight 1/(σ² + Σ²): the intensities scatter by Σ themselves, so that a precise weak reflection does not decide
    # alone, and what is known less well than that counts less. Started from the plain mean it settles quickly.
    for _ in range(_ROUNDS):
        with np.errstate(divide="ignore"):
            weight = np.where(seen, 1.0 / (means.sigma**2 + expected[shell] ** 2), 0.0)
        total = np.bincount(shell, weight, n_shells)
        expected = np.maximum(np.bincount(shell, weight * intensity, n_shells) / np.where(total > 0, total, 1.0), 0.0)
    with np.errstate(invalid="ignore"):
        unlike = means.sigma > max_relative_sigma * expected[shell]
        return seen & unlike & (means.mean < _SIGNIFICANT * means.sigma)
