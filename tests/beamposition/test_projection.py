"""The beam position from made-up images."""

from __future__ import annotations

import numpy as np
import pytest

from mxdask.beamposition.params import Inversion, Maximum, Midpoint
from mxdask.beamposition.projection import inversion, maximum, midpoint
from mxdask.errors import MxdaskError

SHAPE = (700, 600)


def scattering(centre: tuple[float, float], width: float = 90.0, height: float = 200.0) -> np.ndarray:
    """Counts that fall off with the distance from ``centre`` (fast, slow), a gap of masked pixels, a hot pixel."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    r2 = (x - centre[0]) ** 2 + (y - centre[1]) ** 2
    image = np.random.default_rng(1).poisson(height * np.exp(-0.5 * r2 / width**2)).astype(float)
    image[20, 30] = 1e6
    image[:, 100:104] = np.nan
    return image


@pytest.mark.parametrize("centre", [(310.0, 345.0), (280.5, 372.25)])
def test_midpoint(centre):
    image = scattering(centre)
    assert midpoint(image, "x", Midpoint()) == pytest.approx(centre[0], abs=2.0)
    assert midpoint(image, "y", Midpoint()) == pytest.approx(centre[1], abs=2.0)


def test_maximum():
    image = scattering((310.0, 345.0), width=4.0, height=5000.0)
    params = Maximum(bad_pixel_threshold=1e5)
    assert maximum(image, "x", params) == pytest.approx(310.0, abs=2.0)
    assert maximum(image, "y", params) == pytest.approx(345.0, abs=2.0)


def test_inversion():
    rng = np.random.default_rng(2)
    centre = np.array([310.0, 345.0])
    image = np.zeros(SHAPE)
    for offset in rng.uniform(-200, 200, (60, 2)).round():
        for sign in (1, -1):
            x, y = (centre + sign * offset - 0.5 * (sign < 0)).astype(int)
            image[y, x] = 100 + abs(offset[0])
    params = Inversion()
    assert inversion(image, "x", 350.0, params) == pytest.approx(centre[0], abs=1.0)
    assert inversion(image, "y", 300.0, params) == pytest.approx(centre[1], abs=1.0)


@pytest.mark.parametrize(("pixels", "middle"), [((30, 37, 44), 37.5), ((30, 43), 37.0)])
def test_inversion_is_about_the_middle_of_pixels(pixels, middle):
    image = np.zeros((50, 80))
    image[25, list(pixels)] = 100.0
    assert inversion(image, "x", 36.0, Inversion(inversion_window_width=10)) == middle


def test_nothing_to_see():
    with pytest.raises(MxdaskError, match="bright patch"):
        midpoint(np.zeros(SHAPE), "x", Midpoint())
    with pytest.raises(MxdaskError, match="outside"):
        inversion(np.ones(SHAPE), "x", -5000.0, Inversion())
