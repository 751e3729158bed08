"""The smoother: intervals as DIALS lays them, weights that average."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxdask.scale.smoother import Smoother


@pytest.mark.parametrize(
    ("n_images", "width", "spacing", "n_bins", "n_parameters"),
    [(100, 0.1, 4.0, 3, 5), (100, 0.1, 5.0, 2, 3), (15, 0.1, 1.5, 1, 2), (1800, 0.1, 15.0, 12, 14),
     (1700, 0.1, 20.0, 9, 11)],
)  # fmt: skip
def test_intervals(n_images, width, spacing, n_bins, n_parameters):
    smoother = Smoother.over(n_images, width, spacing)
    assert (smoother.n_bins, smoother.n_parameters) == (n_bins, n_parameters)
    assert smoother.interval == pytest.approx(n_images * width / n_bins)
    assert smoother.norm_factor == pytest.approx(0.999 * width / smoother.interval)


@given(st.integers(1, 3000), st.floats(0.01, 1.0), st.floats(0.5, 20.0), st.floats(-5.0, 5.0))
def test_a_constant_stays_constant(n_images, width, spacing, level):
    smoother = Smoother.over(n_images, width, spacing)
    frames = np.linspace(0, n_images, 57)
    np.testing.assert_allclose(smoother.value(frames, np.full(smoother.n_parameters, level)), level, atol=1e-12)
    first, weight = smoother.weights(frames)
    used = (first[:, None] + np.arange(3))[weight > 0]
    assert used.min() >= 0
    assert used.max() < smoother.n_parameters


def test_value_is_the_gaussian_average_of_the_nearest_three():
    smoother = Smoother.over(100, 1.0, 10.0)
    parameters = np.random.default_rng(0).normal(size=smoother.n_parameters)
    x = 37.0 * smoother.norm_factor
    nearest = np.argsort(np.abs(smoother.positions - x))[:3]
    weight = np.exp(-(((x - smoother.positions[nearest]) / 0.7) ** 2))
    expected = weight @ parameters[nearest] / weight.sum()
    assert smoother.value(np.array([37.0]), parameters)[0] == pytest.approx(expected)


def test_one_constant():
    assert Smoother.constant().value(np.array([0.0, 9.0]), np.array([3.0])).tolist() == [3.0, 3.0]
