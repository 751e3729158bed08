"""Strong pixels by comparison with the pixels at the same scattering angle (*radial_profile*, front.md 6.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.models import Beam, Panel
from mxdask.spots.masking import pixel_d_star_sq
from mxdask.spots.params import RadialProfile
from mxdask.spots.threshold import StrongPixels

_NARROW = np.outer([1, 2, 1], [1, 2, 1]) / 16
_WIDE = np.array([[1, 4, 7, 4, 1], [4, 16, 26, 16, 4], [7, 26, 41, 26, 7], [4, 16, 26, 16, 4], [1, 4, 7, 4, 1]]) / 273


@dataclass(frozen=True)
class RadialTables:
    """Which pixels are usable and in which 2θ bin they are.

    Attributes
    ----------
    valid : (slow, fast) bool. bins : (slow, fast) i2. n_bins : their number.
    """

    valid: np.ndarray
    bins: np.ndarray
    n_bins: int


def make_radial_tables(valid: np.ndarray, panel: Panel, beam: Beam, n_bins: int) -> RadialTables:
    """Equal bins of 2θ from the smallest to the largest of the panel; 2θ of a pixel's first corner, as in DIALS."""
    d_star_sq = pixel_d_star_sq(panel, beam, at=0.0)
    two_theta = 2 * np.arcsin(np.minimum(0.5 * beam.wavelength * np.sqrt(d_star_sq), 1.0))
    two_theta -= two_theta.min()
    bins = np.floor(two_theta * (n_bins / (two_theta.max() + 1e-10))).astype(np.int16)
    return RadialTables(valid, np.minimum(bins, n_bins - 1), n_bins)


class RadialThreshold:
    """Strong: above median + n_iqr·IQR of the usable pixels in the same bin (at least two counts above the median)."""

    def __init__(
        self, tables: RadialTables, panel: Panel, trusted_range: tuple[float, float], params: RadialProfile
    ) -> None:
        self.tables, self.params = tables, params
        self._gain = panel.gain if panel.gain > 0 else 1.0
        self._pedestal = panel.pedestal
        self._range = trusted_range

    def find(self, frame: np.ndarray) -> StrongPixels:
        """Strong pixels of a (slow, fast) raw frame."""
        low, high = self._range
        usable = self.tables.valid & (frame >= low) & (frame <= high)
        image = (frame.astype(np.float64) - self._pedestal) / self._gain
        if self.params.blur is not None:
            image = np.where(usable, image, 0.0)  # codes for dead pixels must not leak into their neighbours
            from scipy.ndimage import convolve  # slow to import, and seldom wanted

            image = convolve(image, _NARROW if self.params.blur == "narrow" else _WIDE, mode="constant")
        strong = usable & (image > self.levels(image, usable)[self.tables.bins])
        index = np.flatnonzero(strong)
        above = int(np.count_nonzero(self.tables.valid & (frame > high)))
        n_usable = int(np.count_nonzero(usable))
        total = int(frame[usable].sum(dtype=np.int64))
        return StrongPixels(index, frame.ravel()[index].astype(np.int64), n_usable, total, above)

    def levels(self, image: np.ndarray, usable: np.ndarray) -> np.ndarray:
        """(n_bins,) threshold of each bin."""
        bins, values = self.tables.bins[usable], image[usable]
        order = np.lexsort((values, bins))
        values = values[order]
        ends = np.searchsorted(bins[order], np.arange(self.tables.n_bins + 1))
        levels = np.full(self.tables.n_bins, np.inf)
        for k in np.flatnonzero(np.diff(ends)):
            low, median, high = np.quantile(values[ends[k] : ends[k + 1]], [0.25, 0.5, 0.75])
            above = self.params.n_iqr * (high - low)
            unit = 1.0 / self._gain
            levels[k] = median + (above if above > unit else 2.0 * unit)
        return levels
