"""Pixel filters before thresholding."""

from __future__ import annotations

import numpy as np
import pytest

from mxdask.models import Beam, Panel
from mxdask.spots.masking import pixel_d_star_sq, pixel_mask
from mxdask.spots.params import Filter, IceRings, Untrusted

BEAM = Beam(direction=(0, 0, 1), wavelength=1.0)
PANEL = Panel(
    fast_axis=(1, 0, 0), slow_axis=(0, -1, 0), origin=(-50, 40, -100), image_size=(100, 80), pixel_size=(1.0, 1.0)
)


def test_resolution_of_a_pixel():
    # 30.5 mm from the beam at 100 mm: 2θ = atan(0.305), 1/d = 2 sin θ / λ.
    two_theta = np.arctan2(np.hypot(30.5, 0.5), 100.0)
    d_star_sq = pixel_d_star_sq(PANEL, BEAM)
    assert d_star_sq[39, 80] == pytest.approx((2 * np.sin(two_theta / 2)) ** 2, rel=1e-12)


@pytest.mark.parametrize(("name", "wanted"), [("d_min", lambda d: d < 3), ("d_max", lambda d: d > 3)])
def test_resolution_limits(name, wanted):
    d = pixel_d_star_sq(PANEL, BEAM) ** -0.5
    mask = pixel_mask(PANEL, 0, BEAM, Filter(**{name: 3.0}))
    np.testing.assert_array_equal(~mask, wanted(d))


def test_resolution_range_and_ice_rings():
    d_star_sq = pixel_d_star_sq(PANEL, BEAM)
    mask = pixel_mask(PANEL, 0, BEAM, Filter(resolution_range=((4.0, 3.0),)))
    np.testing.assert_array_equal(~mask, (d_star_sq >= 1 / 16) & (d_star_sq <= 1 / 9))
    ice = pixel_mask(PANEL, 0, BEAM, Filter(ice_rings=IceRings(filter=True, width=0.004)))
    on_first_ring = np.abs(d_star_sq - 3.895**-2) < 0.0015
    assert on_first_ring.any()
    assert not ice[on_first_ring].any()
    assert ice.mean() > 0.5


def test_border_and_regions():
    mask = pixel_mask(PANEL, 0, None, Filter(border=2))
    assert mask.sum() == 96 * 76
    rectangle = ~pixel_mask(PANEL, 0, None, Filter(untrusted=Untrusted(rectangle=((10, 20, 5, 8),))))
    assert rectangle.sum() == 10 * 3
    assert rectangle[5:8, 10:20].all()
    circle = ~pixel_mask(PANEL, 0, None, Filter(untrusted=Untrusted(circle=((50, 40, 1.5),))))
    assert circle.sum() == 9
    polygon = ~pixel_mask(PANEL, 0, None, Filter(untrusted=Untrusted(polygon=((10, 5, 20, 5, 20, 8, 10, 8),))))
    np.testing.assert_array_equal(polygon, rectangle)


def test_panel_number():
    assert not pixel_mask(PANEL, 1, None, Filter(untrusted=Untrusted(panel=1))).any()
    assert pixel_mask(PANEL, 0, None, Filter(untrusted=Untrusted(panel=1))).all()
