"""The learnt width of rocking curves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

from mxdask.integrate.foreground import ForegroundPixels, starts
from mxdask.integrate.rocking import rocking_factor
from mxdask.models import Scan

SCAN = Scan((1, 40), (5.0, 0.1))
SIGMA_M = np.deg2rad(0.15)


def simulated(true: float, n: int = 120, counts: float = 300.0, seed: int = 0):
    """Arguments of rocking_factor for reflections whose curves are ``true`` times as wide as σ_m says."""
    rng = np.random.default_rng(seed)
    zeta = rng.uniform(0.4, 1.0, n) * rng.choice([-1, 1], n)
    phi = SCAN.angle(rng.uniform(12.0, 28.0, n))
    half = 3 * SIGMA_M / np.abs(zeta)
    images = np.column_stack([np.floor(SCAN.frame(phi - half)), np.ceil(SCAN.frame(phi + half))]).astype(np.int64)
    area, level = 30, 0.3
    pieces = []
    for i in range(n):
        edges = SCAN.angle(np.arange(images[i, 0], images[i, 1] + 1))
        part = 0.5 * np.diff(erf(abs(zeta[i]) * (edges - phi[i]) / (np.sqrt(2) * SIGMA_M * true)))
        pieces.append(rng.poisson(level + counts * part[:, None] / area, (len(part), area)).ravel())
    pixels = ForegroundPixels(
        starts(np.full(n, area)), np.zeros((n * area, 2), np.float32),
        starts([len(p) for p in pieces]), np.concatenate(pieces).astype(np.int32),
    )  # fmt: skip
    return pixels, np.full(n, level), images, phi, zeta, np.full(n, SIGMA_M), SCAN


@pytest.mark.parametrize("true", [0.85, 1.0, 1.2])
def test_the_width_is_found(true: float) -> None:
    assert rocking_factor(*simulated(true)) == pytest.approx(true, rel=0.03)


def test_few_reflections_stay_near_the_prior() -> None:
    pixels, *rest = simulated(1.3, n=1, counts=15.0)
    assert abs(rocking_factor(pixels, *rest) - 1.0) < 0.15
    assert rocking_factor(pixels.select(np.arange(0)), *[a[:0] if isinstance(a, np.ndarray) else a for a in rest]) == 1


def test_reflections_that_contradict_are_left_out() -> None:
    pixels, *rest = simulated(1.0)
    counts = pixels.counts.copy()
    for i in (3, 70):  # another spot on the last image
        counts[pixels.count_start[i + 1] - 30 : pixels.count_start[i + 1]] += 60
    spoilt = ForegroundPixels(pixels.pixel_start, pixels.uv, pixels.count_start, counts)
    assert rocking_factor(spoilt, *rest) == pytest.approx(rocking_factor(pixels, *rest), rel=0.02)
