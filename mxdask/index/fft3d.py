"""Search for periods by one three-dimensional Fourier transform (Steller et al. 1997; front.md 9.3)."""

from __future__ import annotations

from itertools import product

import numpy as np
import scipy.fft

from mxdask.index.params import Fft3d
from mxdask.index.periods import Periods, distinct, power, sharpen

# Points at the resolution limit count this much (DIALS): they tell more, but are also wrong more often.
_WEIGHT_AT_LIMIT = 0.05
_MAX_PEAKS = 300
_MAX_SPOTS_TO_SHARPEN = 1000
_NEIGHBOURS = sorted((d for d in product((-1, 0, 1), repeat=3) if any(d)), key=lambda d: sum(abs(x) for x in d))
# Peaks must stand out this many times over the mean power of points at random; peaks as high as 0.15 always do.
_ABOVE_NOISE, _ALWAYS = 3.0, 0.15


def find_periods(rlp: np.ndarray, max_cell: float, params: Fft3d, *, min_cell: float = 3.0) -> Periods:
    """Real-space vectors at which the points repeat.

    Parameters
    ----------
    rlp : (n, 3) Å⁻¹, goniometer datum frame.
    max_cell : Å, longest vector of interest.

    Notes
    -----
    Unlike DIALS the squared modulus of the transform is searched, not the squared real part (see
    :func:`mxdask.index.periods.power`), and the peaks are refined against the points themselves.
    """
    d = 1.0 / np.linalg.norm(rlp, axis=1)
    d_min = params.d_min or max(5.0 * max_cell / params.grid_points, float(d.min()))
    used = rlp[d >= d_min * (1 - 1e-9)]
    if len(used) < 4:
        return Periods(np.zeros((0, 3)), np.zeros(0), d_min, len(used))
    n = min(params.grid_points, scipy.fft.next_fast_len(int(np.ceil(5.0 * max_cell / d_min)), real=True))
    n += n % 2
    b_iso = params.b_iso if params.b_iso is not None else -4.0 * d_min**2 * np.log(_WEIGHT_AT_LIMIT)
    weights = np.exp(-b_iso / 4.0 * np.einsum("ij,ij->i", used, used))
    noise = float(weights @ weights) / float(weights.sum()) ** 2
    cutoff = max(params.peak_cutoff, min(_ALWAYS, _ABOVE_NOISE * noise))
    peaks = _peaks(_power_map(used, weights, n, d_min), n, cutoff, min_cell / (0.5 * d_min))
    vectors = peaks * (0.5 * d_min)
    vectors = vectors[np.linalg.norm(vectors, axis=1) < 1.2 * max_cell]
    lowest = np.argsort(-weights, kind="stable")[:_MAX_SPOTS_TO_SHARPEN]
    points, flat = used[lowest], np.ones(len(lowest))
    # Damped weights lead to the peak from afar. Ranked are the periods with equal weights: a few points of lowest
    # resolution repeat at many short vectors.
    vectors = sharpen(points, vectors, weights[lowest], n_steps=2)
    vectors = sharpen(points, vectors, flat, n_steps=3)
    strength = power(points, vectors, flat)
    keep = distinct(vectors, strength, min_length=min_cell, max_length=1.2 * max_cell)
    return Periods(vectors[keep], strength[keep], d_min, len(used))


def _power_map(rlp: np.ndarray, weights: np.ndarray, n: int, d_min: float) -> np.ndarray:
    """(n, n, n//2 + 1) float32 squared modulus of the transform of the gridded points (half of it is enough)."""
    step = 2.0 / (d_min * n)
    index = np.rint(rlp / step).astype(np.int64) + n // 2
    inside = np.all((index >= 0) & (index < n), axis=1)
    grid = np.zeros((n, n, n), dtype=np.float32)
    # Set, not added: two spots on one grid point are one lattice point seen twice.
    grid[tuple(index[inside].T)] = weights[inside]
    transform = scipy.fft.rfftn(grid, workers=1, overwrite_x=True)
    del grid
    return np.square(transform.real) + np.square(transform.imag)


def _peaks(power_map: np.ndarray, n: int, cutoff: float, min_radius: float) -> np.ndarray:
    """(m, 3) positions (grid steps, signed) of local maxima above ``cutoff`` × the origin peak, highest first."""
    flat = power_map.ravel()
    half = n // 2 + 1
    # The origin peak is as high as a perfect period of all points would be.
    candidates = np.flatnonzero(flat > cutoff * float(flat[0]))
    x, rest = np.divmod(candidates, n * half)
    y, z = np.divmod(rest, half)
    heights = flat[candidates]
    # Nearest neighbours first: they rule out most points, which need not be compared with the others.
    for dx, dy, dz in _NEIGHBOURS:
        top = heights >= _at(power_map, x + dx, y + dy, z + dz, n)
        x, y, z, heights = x[top], y[top], z[top], heights[top]
    position = np.column_stack([x, y, z])
    position = np.where(position >= n // 2, position - n, position)
    far = np.linalg.norm(position, axis=1) > min_radius
    position, heights = position[far], heights[far]
    best = np.argsort(-heights, kind="stable")[:_MAX_PEAKS]
    return position[best].astype(np.float64)


def _at(power_map: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray, n: int) -> np.ndarray:
    """Map values at grid points, periodic and centrosymmetric: only z in [0, n/2] is stored."""
    z = z % n
    mirrored = z > n // 2
    x, y, z = np.where(mirrored, -x, x) % n, np.where(mirrored, -y, y) % n, np.where(mirrored, n - z, z)
    return power_map[x, y, z]
