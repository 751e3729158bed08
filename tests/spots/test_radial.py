"""The radial profile threshold."""

from __future__ import annotations

import numpy as np
import pytest

from mxdask.models import Beam, Panel
from mxdask.spots.params import RadialProfile
from mxdask.spots.radial import RadialThreshold, make_radial_tables

BEAM = Beam(direction=(0, 0, 1), wavelength=1.0)
PANEL = Panel(
    fast_axis=(1, 0, 0), slow_axis=(0, -1, 0), origin=(-50, 40, -100), image_size=(100, 80), pixel_size=(1.0, 1.0)
)


@pytest.fixture
def frame() -> np.ndarray:
    y, x = np.mgrid[:80, :100]
    ring = 60 * np.exp(-(((np.hypot(x - 50, y - 40) - 30) / 2) ** 2))
    frame = np.random.default_rng(0).poisson(5 + ring).astype(np.uint16)
    frame[10, 12], frame[60, 70] = 120, 500
    return frame


def test_levels_are_median_plus_quartile_ranges(frame):
    mask = np.ones(frame.shape, bool)
    tables = make_radial_tables(mask, PANEL, BEAM, 20)
    threshold = RadialThreshold(tables, PANEL, (0, 1000), RadialProfile(n_bins=20))
    levels = threshold.levels(frame.astype(float), mask)
    values = frame[tables.bins == 7]
    low, median, high = np.percentile(values, [25, 50, 75])
    assert levels[7] == median + 6 * (high - low)


@pytest.mark.parametrize("blur", [None, "narrow", "wide"])
def test_spots_are_found_and_a_ring_is_not(frame, blur):
    mask = np.ones(frame.shape, bool)
    mask[60, 71] = False
    frame[60, 71] = 65535
    tables = make_radial_tables(mask, PANEL, BEAM, 100)
    found = RadialThreshold(tables, PANEL, (0, 1000), RadialProfile(blur=blur)).find(frame)
    assert 60 * 100 + 70 in found.index
    assert 60 * 100 + 71 not in found.index
    assert len(found.index) < 40
    assert found.n_usable == mask.sum()
