"""Frames of a sweep."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mxdask.simulate.crystals import TrueCrystal
from mxdask.simulate.instrument import Instrument
from mxdask.simulate.params import SimulatedSet
from mxdask.simulate.predict import TrueReflections
from mxdask.simulate.render_kernels import add_spots, expose, spot_profiles
from mxdask.simulate.seeds import noise_key

_HALF_WIDTH = 4.5  # standard deviations drawn on each side of a spot


def spot_boxes(reflections: TrueReflections) -> tuple[np.ndarray, np.ndarray]:
    """First pixel (n, 2) and size (n, 2) of the boxes spots are drawn in, both (fast, slow), int64."""
    reach = _HALF_WIDTH * np.sqrt(reflections.covariance[:, [0, 2]])
    low = np.floor(reflections.xyz[:, :2] - reach).astype(np.int64)
    high = np.ceil(reflections.xyz[:, :2] + reach).astype(np.int64)
    return low, high - low


def touches_bad_pixels(instrument: Instrument, reflections: TrueReflections) -> np.ndarray:
    """(n,) whether a spot's box holds a masked, hot or dead pixel or leaves the panel."""
    bad = instrument.mask != 0
    bad[tuple(instrument.hot.T)] = True
    bad[tuple(instrument.dead.T)] = True
    summed = np.zeros((bad.shape[0] + 1, bad.shape[1] + 1), np.int64)
    summed[1:, 1:] = np.cumsum(np.cumsum(bad, axis=0), axis=1)
    low, size = spot_boxes(reflections)
    high = low + size
    limit = np.array(bad.shape[::-1])
    outside = np.any((low < 0) | (high > limit), axis=1)
    (x0, y0), (x1, y1) = np.clip(low, 0, limit).T, np.clip(high, 0, limit).T
    inside = summed[y1, x1] - summed[y0, x1] - summed[y1, x0] + summed[y0, x0]
    return outside | (inside > 0)


def frames(
    sim: SimulatedSet, instrument: Instrument, crystal: TrueCrystal, index: int, reflections: TrueReflections
) -> Iterator[np.ndarray]:
    """The images of a sweep, (slow, fast) uint16 or uint32; one buffer is used again for each.

    Masked pixels hold the type's largest value, as Eiger detectors write it.
    """
    corner, shape = spot_boxes(reflections)
    offset = np.concatenate([[0], np.cumsum(np.prod(shape, axis=1))]).astype(np.int64)
    profile = np.zeros(offset[-1], np.float32)
    x, y = np.ascontiguousarray(reflections.xyz[:, :2].T)
    spot_profiles(x, y, reflections.covariance, corner, shape, offset, profile)
    dtype = np.dtype(f"u{sim.detector.bits // 8}")
    image = np.zeros(instrument.mask.shape, dtype)
    expected = np.zeros(instrument.mask.shape, np.float32)
    half_q2 = 1 / (2 * reflections.d**2)
    start, width = np.deg2rad(crystal.start), np.deg2rad(sim.sweep.width)
    marker = np.iinfo(dtype).max
    for j in range(sim.sweep.images):
        np.multiply(instrument.background, np.float32(crystal.flux[j]), out=expected)
        counts = reflections.counts_full * crystal.image_factor[j]
        left, right = start + j * width, start + (j + 1) * width
        add_spots(
            expected, counts, reflections.phi, reflections.zeta, half_q2, crystal.sigma_M, left, right,
            crystal.decay_b[j], corner, shape, offset, profile,
        )  # fmt: skip
        expected[tuple(instrument.hot.T)] += instrument.hot_rates
        expected[tuple(instrument.dead.T)] = 0
        key = np.uint64(noise_key(sim.seed, index, j))
        expose(expected, key, marker - 1, instrument.mask, marker, image)
        yield image
