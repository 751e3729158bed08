"""Small programs around spots."""

from __future__ import annotations

import numpy as np
import pytest

from mxdask.errors import MxdaskError
from mxdask.models import Scan
from mxdask.spots.blanks import detect_blanks
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
    assert detect_blanks(z, scan, phi_step=1.0) == [(31, 60)]
    assert detect_blanks(np.zeros(0), scan) == [(11, 70)]
    assert detect_blanks(np.linspace(10, 69.9, 500), scan) == []
