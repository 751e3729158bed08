"""Search for periods along single directions by one-dimensional Fourier transforms (Steller et al. 1997: DPS)."""

from __future__ import annotations

import numpy as np
import scipy.fft

from mxdask.index.orientation import hemisphere, lowest_resolution
from mxdask.index.periods import Periods, distinct, power, sharpen

_MAX_SPOTS = 1000
_MAX_PEAKS = 200
_GRID_RADIANS = 0.029  # the widest grid of directions that DPS uses


def find_periods(rlp: np.ndarray, max_cell: float, *, min_cell: float = 3.0) -> Periods:
    """Real-space vectors at which the points repeat: the points are projected on each direction of a hemisphere.

    Parameters
    ----------
    rlp : (n, 3) Å⁻¹, datum frame. max_cell, min_cell : Å, lengths of interest.
    """
    points = lowest_resolution(rlp, _MAX_SPOTS)
    reach = float(np.linalg.norm(points, axis=1).max())
    # Bins fine enough for max_cell, and a transform fine enough to see a peak's shape.
    n_bins = scipy.fft.next_fast_len(int(np.ceil(8.0 * max_cell * reach)), real=True)
    width = 2.0 * reach / n_bins
    padded = scipy.fft.next_fast_len(2 * n_bins, real=True)
    first, last = int(np.ceil(min_cell * width * padded)), int(max_cell * width * padded) + 1
    vectors, heights = [], []
    for part in np.array_split(hemisphere(_GRID_RADIANS), 32):
        index = np.clip(((part @ points.T + reach) / width).astype(np.int64), 0, n_bins - 1)
        flat = (index + n_bins * np.arange(len(part))[:, None]).ravel()
        counts = np.bincount(flat, minlength=n_bins * len(part)).reshape(len(part), n_bins)
        spectrum = np.abs(scipy.fft.rfft(counts.astype(np.float32), n=padded, axis=1, workers=1))[:, first:last]
        if spectrum.shape[1] == 0:
            continue
        best = np.argmax(spectrum, axis=1)
        heights.append(spectrum[np.arange(len(part)), best])
        vectors.append(part * ((best + first) / (width * padded))[:, None])
    if not vectors:
        return Periods(np.zeros((0, 3)), np.zeros(0), float(1 / reach), len(points))
    everything, height = np.concatenate(vectors), np.concatenate(heights)
    top = everything[np.argsort(-height, kind="stable")[:_MAX_PEAKS]]
    weights = np.ones(len(points))
    sharp = sharpen(points, top, weights)
    strength = power(points, sharp, weights)
    keep = distinct(sharp, strength, min_length=min_cell, max_length=1.2 * max_cell)
    return Periods(sharp[keep], strength[keep], float(1 / reach), len(points))
