"""Crystals that change along a scan: samples joined by a Gaussian smoother (front.md 12.6)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mxdask.models import Scan

SIGMA = 0.70  # of the spacing between samples
NEIGHBOURS = 3
MAX_BLOCKS = 1000


@dataclass(frozen=True)
class Smoothing:
    """Samples along one scan and the blocks of images that get one model each.

    The value at t is the average of the three nearest samples with weights exp(−((z − p)/σ)²), z = t in intervals.

    Attributes
    ----------
    array_start : image coordinate of the scan's start. n_images : its images.
    n_intervals : equal parts of the scan, with samples at their ends (up to two parts) or middles and beyond.
    per_block : images per model.
    phi_start, phi_width : radians of the scan's start, per image.
    cell_varies : whether the cell varies too, or the orientation alone.
    """

    array_start: int
    n_images: int
    n_intervals: int
    per_block: float
    phi_start: float
    phi_width: float
    cell_varies: bool = True

    @classmethod
    def of(
        cls, scan: Scan, interval_width: float = 36.0, block_width: float | None = None, *, cell_varies: bool = True
    ) -> Smoothing:
        """Intervals and blocks as wide as asked for (degrees), an integral number of each over the scan.

        By default a block is one image, or more in a scan of very many: the steps between broader ones (1° in DIALS)
        show in the residuals of a crystal that turns.
        """
        width = abs(scan.width) * scan.n_images
        intervals = max(int(width / interval_width), 1)
        blocks = min(scan.n_images, MAX_BLOCKS) if block_width is None else max(round(width / block_width), 1)
        return cls(
            scan.array_range[0], scan.n_images, intervals, scan.n_images / min(blocks, scan.n_images),
            float(scan.angle(scan.array_range[0])), float(np.deg2rad(scan.width)), cell_varies,
        )  # fmt: skip

    @cached_property
    def positions(self) -> np.ndarray:
        """(n_samples,) places of the samples, in intervals from the start of the scan."""
        if self.n_intervals == 1:
            return np.array([0.0, 1.0])
        if self.n_intervals == 2:
            return np.array([0.0, 1.0, 2.0])
        return np.arange(self.n_intervals + 2) - 0.5

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(self.positions)

    @cached_property
    def n_blocks(self) -> int:
        """Number of parts of the scan that get a model each."""
        return max(round(self.n_images / self.per_block), 1)

    def weights(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Samples (n, m) and their weights (n, m) at image coordinates z (n,), m = 3 or fewer."""
        t = (np.asarray(z) - self.array_start) * self.n_intervals / self.n_images
        m = min(NEIGHBOURS, self.n_samples)
        distance = np.abs(t[:, None] - self.positions)
        nearest = np.sort(np.argsort(distance, axis=1, kind="stable")[:, :m], axis=1)
        weight = np.exp(-((np.take_along_axis(distance, nearest, 1) / SIGMA) ** 2))
        return nearest, weight / weight.sum(axis=1, keepdims=True)

    @cached_property
    def _block_weights(self) -> tuple[np.ndarray, np.ndarray]:
        centres = self.array_start + (np.arange(self.n_blocks) + 0.5) * self.per_block
        return self.weights(centres)

    @property
    def sample(self) -> np.ndarray:
        """(blocks, m) samples that make up each block's model."""
        return self._block_weights[0]

    @property
    def weight(self) -> np.ndarray:
        """(blocks, m) their weights."""
        return self._block_weights[1]

    def at_blocks(self, values: np.ndarray) -> np.ndarray:
        """(blocks, k) parameters at the blocks from those (samples·k,) of the samples."""
        return self._combine(values, self.sample, self.weight)

    def at(self, values: np.ndarray, z: np.ndarray) -> np.ndarray:
        """(n, k) parameters at image coordinates z."""
        return self._combine(values, *self.weights(z))

    def _combine(self, values: np.ndarray, sample: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return np.einsum("nm,nmk->nk", weight, values.reshape(self.n_samples, -1)[sample])

    def block_of(self, phi: np.ndarray) -> np.ndarray:
        """(n,) block of angles (radians)."""
        z = (phi - self.phi_start) / self.phi_width
        return np.clip((z / self.per_block).astype(np.int64), 0, self.n_blocks - 1)
