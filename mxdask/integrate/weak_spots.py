"""What the many weak reflections say together about where spots lie.

Strong reflections teach the profile, but a weak crystal has few, and those at low resolution: how far predictions are
off elsewhere would be a guess. The centroid of a reflection of three counts is worth nothing, that of a thousand such
reflections together is. Pixels are weighted with a Gaussian w about the prediction, which is nearly the best that can
be done above a background. For a Gaussian spot with counts S at distance δ, Σ(c − b)wu ÷ Σ(c − b)w is δh²/(σ² + h²),
h² and σ² the variances of weight and spot. With the mean of Σ(c − b)w over reflections at about the same scattering
angle in place of a reflection's own the quotient is an unbiased, if noisy, measurement of δ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mxdask.integrate.foreground import ForegroundPixels
from mxdask.integrate.profile_kernels import weighted_moments

# Reflections over whose counts Ŝ is averaged.
AROUND = 200
_NAMES = ("number", "z", "s1", "moments")


@dataclass(frozen=True)
class WeakSpots:
    """First moments of n reflections.

    Attributes
    ----------
    number : (n,) u8, ``partial_id`` of the reflections. z : (n,) frame coordinate. s1 : (n, 3) Å⁻¹.
    moments : (n, 6) of :func:`weighted_moments`.
    """

    number: np.ndarray
    z: np.ndarray
    s1: np.ndarray
    moments: np.ndarray

    @staticmethod
    def concat(parts: Sequence[WeakSpots]) -> WeakSpots:
        return WeakSpots(*(np.concatenate([getattr(p, name) for p in parts]) for name in _NAMES))

    def between(self, low: float, high: float) -> WeakSpots:
        """Those with low ≤ z < high, in the order of their numbers."""
        rows = np.flatnonzero((self.z >= low) & (self.z < high))
        rows = rows[np.argsort(self.number[rows], kind="stable")]
        return WeakSpots(*(getattr(self, name)[rows] for name in _NAMES))


def moments_of(rows: np.ndarray, pixels: ForegroundPixels, background: np.ndarray) -> np.ndarray:
    """(m, 6) moments of the reflections ``rows``, which have no unusable pixel; background (n,) counts per pixel."""
    out = np.empty((len(rows), 6))
    weighted_moments(rows, pixels.pixel_start, pixels.uv, pixels.count_start, pixels.counts, background, out)
    return out


def centres(moments: np.ndarray, angle: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measured centres (n, 2), radians, and how many counts of a spot on no background would tell as much, (n,).

    Parameters
    ----------
    moments : (n, 6) of :class:`WeakSpots`. angle : (n,) what grows with the scattering angle.
    variance : (n, 2) radians², σ² of a spot along ε1 and ε2.
    """
    n = len(moments)
    if n < AROUND:
        return np.zeros((n, 2)), np.zeros(n)
    order = np.argsort(angle, kind="stable")
    total = np.concatenate([[0.0], np.cumsum(moments[order, 0])])
    first = np.clip(np.arange(n) - AROUND // 2, 0, n - AROUND)
    expected = np.empty(n)
    expected[order] = (total[first + AROUND] - total[first]) / AROUND
    known = (expected > 0) & (moments[:, 5] > 0)
    expected, h2 = np.where(known, expected, 1.0)[:, None], np.where(known, moments[:, 5], 1.0)[:, None]
    factor = (variance + h2) / h2
    centre = factor * moments[:, 1:3] / expected
    by_signal = expected * variance * h2 * (variance + h2) / (2 * variance + h2) ** 2
    noise = factor**2 * (by_signal + moments[:, 3:5]) / expected**2
    return centre, np.where(known, 1.0 / np.mean(noise / variance, axis=1), 0.0)
