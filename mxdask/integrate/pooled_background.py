"""Background levels steadied by those around reflections nearby on the detector.

The background of one box is known from some hundred pixels, and for weak reflections its error is part of the error of
the intensity. Boxes nearby on the detector have nearly the same background. So for the profile fit a box's own level
b_i is combined with the mean m_i around its neighbours in the same part of the scan (empirical Bayes: Efron & Morris,
1973): both are weighted by the inverse of their variances, that of m_i as a prediction of b_i being m_i's own plus the
spread τ² of levels about those of their neighbours. τ² is taken from the data: where the background is rough (ice,
diffuse scattering), τ is large and every box keeps its own level. A box that departs clearly does so too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

NEIGHBOURS = 20
FEWEST = 10 * NEIGHBOURS  # boxes of one panel and part of the scan, below which each keeps its own level
_NAMES = ("number", "panel", "xyz", "mean", "pixels", "own")
DEPARTS = 4.0  # standard deviations from which on a box is not like its neighbours


@dataclass(frozen=True)
class BackgroundLevels:
    """Background of n boxes.

    Attributes
    ----------
    number : (n,) u8, ``partial_id`` of the reflections. panel : (n,). xyz : (n, 3) px, px, frame coordinate.
    mean : (n,) counts per pixel and image. pixels : (n,) f8, background pixels with the same information.
    """

    number: np.ndarray
    panel: np.ndarray
    xyz: np.ndarray
    mean: np.ndarray
    pixels: np.ndarray
    own: np.ndarray

    def select(self, rows: np.ndarray) -> BackgroundLevels:
        return BackgroundLevels(*(getattr(self, name)[rows] for name in _NAMES))

    @staticmethod
    def concat(parts: Sequence[BackgroundLevels]) -> BackgroundLevels:
        return BackgroundLevels(*(np.concatenate([getattr(p, name) for p in parts]) for name in _NAMES))

    def of(self, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Levels and pixels of the reflections with these numbers; ``number`` of the levels must be sorted."""
        rows = np.searchsorted(self.number, number)
        return self.mean[rows], self.pixels[rows]


def pooled(levels: BackgroundLevels) -> BackgroundLevels:
    """The levels, each drawn towards those around it; ordered by ``number``."""
    levels = levels.select(np.argsort(levels.number, kind="stable"))
    mean, pixels = levels.mean.copy(), levels.pixels.copy()
    for panel in np.unique(levels.panel):
        alike = (levels.panel == panel) & ~levels.own
        rows = np.flatnonzero(alike & (levels.mean > 0) & (levels.pixels > 0))
        if len(rows) >= FEWEST:
            mean[rows], pixels[rows] = _pooled(levels.xyz[rows, :2], levels.mean[rows], levels.pixels[rows])
    return replace(levels, mean=mean, pixels=pixels)


def _pooled(xy: np.ndarray, own: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    _, near = cKDTree(xy).query(xy, NEIGHBOURS + 1)
    itself = near == np.arange(len(xy))[:, None]
    itself[~itself.any(axis=1), -1] = True  # boxes at the very same place may come before it
    near = near[~itself].reshape(len(xy), NEIGHBOURS)
    around = own[near].mean(axis=1)
    variance_own = around / pixels
    variance_around = around * np.mean(1.0 / pixels[near], axis=1) / NEIGHBOURS
    relative = (own - around) / around
    spread = 1.4826 * np.median(np.abs(relative - np.median(relative)))
    expected = np.median((variance_own + variance_around) / around**2)
    tau_squared = max(0.0, spread**2 - expected) * around**2
    weight_own, weight_around = 1.0 / variance_own, 1.0 / (variance_around + tau_squared)
    departs = np.abs(own - around) > DEPARTS * np.sqrt(1.0 / weight_own + 1.0 / weight_around)
    mean = (own * weight_own + around * weight_around) / (weight_own + weight_around)
    same_information = mean * (weight_own + weight_around)
    return np.where(departs, own, mean), np.where(departs, pixels, same_information)
