"""Small programs around spots."""

from __future__ import annotations

import numpy as np
import pytest

from mxdask.errors import MxdaskError
from mxdask.models import Scan
from mxdask.spots.blanks import detect_blanks, detect_weak
from mxdask.spots.gain import estimate_gain


@pytest.mark.parametrize("gain", [1.0, 0.5, 3.0])
def test_gain_of_simulated_counts(gain):
    rng = np.random.default_rng(6)
    image = gain * rng.poisson(4.0, (300, 300))
    mask = np.ones(image.shape, bool)
    image[100:103, 100:103] = 10_000
    mask[:, 200] = False
    assert estimate_gain(image, mask) == pytest.approx(gain, rel=0.02)


def test_gain_needs_counts():
    with pytest.raises(MxdaskError, match="window"):
        estimate_gain(np.zeros((50, 50)), np.ones((50, 50), bool))


def test_blanks():
    scan = Scan((11, 70), (0.0, 0.1))
    z = np.concatenate([np.linspace(10, 30, 200), np.linspace(61, 69.9, 90)])
    assert detect_blanks(z, scan, phi_step=1.0).regions == [(31, 60)]
    assert detect_blanks(np.zeros(0), scan).regions == [(11, 70)]
    assert detect_blanks(np.linspace(10, 69.9, 500), scan).regions == []


def test_bins_are_equal():
    """50 images of 0.1° in bins of 2°: DIALS makes two bins of 25 images, not 20 + 20 + 10."""
    found = detect_blanks(np.arange(50) + 0.5, Scan((1, 50), (0.0, 0.1)))
    np.testing.assert_array_equal(found.edges, [0, 25, 50])
    np.testing.assert_array_equal(found.values, [25, 25])


def test_weak_parts_by_integrated_intensity():
    scan = Scan((1, 40), (0.0, 0.5))
    z = np.arange(40) + 0.5
    ratio = np.where((z > 8) & (z < 16), 0.5, 10.0)
    found = detect_weak(z, ratio, scan)
    assert found.regions == [(9, 16)]
    assert found.as_dict()["blank_regions"] == [[8, 16]]
