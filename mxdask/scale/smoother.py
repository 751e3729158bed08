"""A smooth function of the rotation from a few parameters (back.md 13.2; Evans 2006, Acta Cryst. D62, 72)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Keeps the last frame inside the last interval.
_INSIDE = 0.999
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Smoother:
    """Gaussian-weighted average of the nearest parameters.

    Attributes
    ----------
    n_bins : equal intervals over the sweep; 0 for one constant.
    norm_factor : intervals per frame.
    interval : degrees.
    """

    n_bins: int
    norm_factor: float
    interval: float

    @classmethod
    def constant(cls) -> Smoother:
        """One parameter, the same everywhere."""
        return cls(0, 0.0, 0.0)

    @classmethod
    def over(cls, n_images: int, width: float, spacing: float) -> Smoother:
        """Intervals of at most about ``spacing`` degrees over a sweep of n_images of ``width`` degrees."""
        total = n_images * abs(width)
        reach = spacing + _TOLERANCE
        if total <= reach:
            n_bins = 1
        elif total < 2 * reach:
            n_bins = 2
        else:
            n_bins = max(int(total / reach) + 1, 3)
        interval = total / n_bins
        return cls(n_bins, _INSIDE * abs(width) / interval, interval)

    @classmethod
    def spanning(cls, extent: float, n_bins: int) -> Smoother:
        """``n_bins`` equal intervals over an extent of anything else than rotation; positions count from its start."""
        return cls(n_bins, n_bins / extent, extent / n_bins)

    @property
    def n_parameters(self) -> int:
        if self.n_bins < 3:
            return self.n_bins + 1
        return self.n_bins + 2

    @property
    def positions(self) -> np.ndarray:
        """(n_parameters,) where the parameters sit, in intervals from the start of the sweep."""
        shift = 0.0 if self.n_bins < 3 else -0.5
        return np.arange(self.n_parameters) + shift

    def weights(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which parameters make the value at each frame, and how much.

        Parameters
        ----------
        frame : (n,) frames since the start of the sweep.

        Returns
        -------
        first : (n,) i8, first of the (up to) three parameters.
        weight : (n, 3), their weights; they add up to one, unused ones are zero.
        """
        n, x = self.n_parameters, np.asarray(frame) * self.norm_factor
        if n <= 3:
            first = np.zeros(len(x), dtype=np.int64)
            last = np.full(len(x), n)
        else:
            shifted = x - 1.5
            first = (np.sign(shifted) * np.floor(np.abs(shifted) + 0.5)).astype(np.int64) + 1
            last = first + 3
            last = np.where(first < 0, np.maximum(2, last), last)
            first = np.maximum(first, 0)
            first = np.where(last > n, np.minimum(first, n - 2), first)
            last = np.minimum(last, n)
        index = first[:, None] + np.arange(3)
        sigma = 0.65 if n == 2 else 0.7
        position = self.positions[np.minimum(index, n - 1)]
        weight = np.where(index < last[:, None], np.exp(-(((x[:, None] - position) / sigma) ** 2)), 0.0)
        return first, weight / weight.sum(axis=1, keepdims=True)

    def value(self, frame: np.ndarray, parameters: np.ndarray) -> np.ndarray:
        """(n,) the smooth function at frames since the start of the sweep."""
        first, weight = self.weights(frame)
        index = np.minimum(first[:, None] + np.arange(3), len(parameters) - 1)
        return (weight * parameters[index]).sum(axis=1)
