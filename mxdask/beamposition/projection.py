"""The beam position from the projections of an image on its axes (front.md 8.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import uniform_filter1d

from mxdask.beamposition.params import Inversion, Maximum, Midpoint
from mxdask.errors import MxdaskError

_SAME_CLUSTER = 40  # px between midpoints of one bright patch
_WIDEST = 3


def midpoint(image: np.ndarray, axis: str, params: Midpoint) -> float:
    """Pixel coordinate of the middle of the brightest patch.

    Parameters
    ----------
    image : (slow, fast) counts, NaN where masked. axis : "x" (fast) or "y" (slow).

    Raises
    ------
    MxdaskError : no run above any level is wide enough.
    """
    values = np.nan_to_num(image)
    if params.exclude_intensity_percent > 0:
        values = np.where(values > np.percentile(values, 100 - params.exclude_intensity_percent), 0.0, values)
    along = 0 if axis == "x" else 1
    profile = values.mean(axis=along)
    excluded = params.exclude_pixel_range_x if axis == "x" else params.exclude_pixel_range_y
    dead = params.dead_pixel_range_x if axis == "x" else params.dead_pixel_range_y
    profile = _without(profile, excluded)
    profile = uniform_filter1d(profile, params.convolution_width, mode="nearest")
    profile = (profile - profile.min()) / max(float(np.ptp(profile)), 1e-12)
    start, stop, step = params.intersection_range
    runs = [r for level in np.arange(start, stop + 0.5 * step, step) for r in _runs(profile > level)]
    runs = [
        (a, b) for a, b in runs
        if b - a > params.intersection_min_width and not any(a < high and b > low for low, high in dead)
    ]  # fmt: skip
    if not runs:
        raise MxdaskError(f"midpoint: the profile along {axis} has no bright patch wider than intersection_min_width")
    return _middle_of_best(runs)


def _middle_of_best(runs: Sequence[tuple[int, int]]) -> float:
    """Of the three clusters of widest runs the mean midpoint of the one with most members."""
    middles = np.array([0.5 * (a + b) for a, b in runs])
    widths = np.array([b - a for a, b in runs])
    order = np.argsort(middles, kind="stable")
    cluster = np.cumsum(np.concatenate([[0], np.diff(middles[order]) > _SAME_CLUSTER]))
    members = [order[cluster == k] for k in range(int(cluster[-1]) + 1)]
    members.sort(key=lambda rows: -float(widths[rows].mean()))
    best = max(members[:_WIDEST], key=len)
    return float(middles[best].mean())


def maximum(image: np.ndarray, axis: str, params: Maximum) -> float:
    """Pixel coordinate of the brightest place: the bin with the largest sum, in it the brightest column or row."""
    values = _without_bright(np.nan_to_num(image), params.bad_pixel_threshold)
    along = 0 if axis == "x" else 1
    profile = values.mean(axis=along)
    for _ in range(params.n_convolutions):
        profile = uniform_filter1d(profile, 2 * params.convolution_width + 1, mode="nearest")
    width = min(params.bin_width, len(profile))
    starts = np.arange(0, len(profile) - width + 1, params.bin_step)
    sums = np.concatenate([[0.0], np.cumsum(profile)])
    first = int(starts[np.argmax(sums[starts + width] - sums[starts])])
    top = values.max(axis=along)[first : first + width]
    return first + int(np.argmax(top)) + 0.5


def inversion(image: np.ndarray, axis: str, guess: float, params: Inversion) -> float:
    """Pixel coordinate about which the profile of maxima is most like itself inverted, near ``guess`` (px)."""
    values = _without_bright(np.nan_to_num(image), params.bad_pixel_threshold)
    profile = values.max(axis=0 if axis == "x" else 1)
    n = len(profile)
    # Pixels i and k - i lie opposite to each other about the coordinate (k + 1)/2.
    products = np.convolve(profile, profile)
    k = np.arange(len(products))
    overlap = np.minimum(k, n - 1) - np.maximum(k - n + 1, 0) + 1
    centre = 0.5 * (k + 1)
    near = np.abs(centre - guess) <= params.inversion_window_width
    if not near.any():
        raise MxdaskError(f"inversion: guess_position {guess:g} px along {axis} lies far outside the image")
    score = np.where(near, products / overlap, -np.inf)
    return float(centre[np.argmax(score)])


def _without(profile: np.ndarray, ranges: Sequence[tuple[int, int]]) -> np.ndarray:
    out = profile.copy()
    for first, end in ranges:
        out[max(first, 0) : end] = 0.0
    return out


def _without_bright(values: np.ndarray, threshold: float | None) -> np.ndarray:
    return values if threshold is None else np.where(values > threshold, 0.0, values)


def _runs(above: np.ndarray) -> list[tuple[int, int]]:
    """Half-open ranges of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], above, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
