"""Rendering kernels against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf
from scipy.stats import chisquare, multivariate_normal, poisson

from mxdask.simulate.render_kernels import add_spots, expose, rocking, spot_profiles


def test_rocking_curve_against_numpy():
    random = np.random.default_rng(1)
    n, images, sigma, start, width = 50, 30, 0.001, 0.2, 0.002
    phi, zeta = random.uniform(0.19, 0.27, n), random.uniform(-1, 1, n)
    half_q2, factor, decay = random.uniform(0, 0.3, n), random.uniform(0.8, 1.2, images), np.linspace(0, 2, images)
    recorded, fraction = np.zeros(n), np.zeros(n)
    rocking(phi, zeta, half_q2, sigma, start, width, factor, decay, recorded, fraction)
    edges = start + width * np.arange(images + 1)
    curve = erf(np.abs(zeta)[:, None] / (np.sqrt(2) * sigma) * (edges - phi[:, None]))
    parts = 0.5 * np.diff(curve, axis=1)
    assert fraction == pytest.approx(parts.sum(axis=1), abs=1e-8)
    assert recorded == pytest.approx((parts * factor * np.exp(-decay * half_q2[:, None])).sum(axis=1), abs=1e-8)


def test_profiles_are_integrals_of_gaussians():
    x, y = np.array([5.3, 6.8]), np.array([6.1, 5.4])
    covariance = np.array([[0.5, -0.2, 0.7], [1.4, 0.6, 0.6]])
    shape = np.array([[12, 13], [13, 12]])
    offset = np.array([0, 156, 312])
    profile = np.zeros(312, np.float32)
    spot_profiles(x, y, covariance, np.zeros((2, 2), np.int64), shape, offset, profile)
    fine = 20
    for i in range(2):
        nx, ny = shape[i]
        grid = (np.arange(nx * fine) + 0.5) / fine, (np.arange(ny * fine) + 0.5) / fine
        xx, yy = np.meshgrid(*grid)
        c_xx, c_xy, c_yy = covariance[i]
        density = multivariate_normal((x[i], y[i]), [[c_xx, c_xy], [c_xy, c_yy]]).pdf(np.dstack([xx, yy]))
        expected = density.reshape(ny, fine, nx, fine).sum(axis=(1, 3)) / fine**2
        assert profile[offset[i] : offset[i + 1]].reshape(ny, nx) == pytest.approx(expected, abs=2e-3)
    assert profile[:156].sum() == pytest.approx(1, abs=1e-4)


def test_spots_are_cut_at_the_edge_and_summed():
    frame = np.zeros((10, 8), np.float32)
    corner, shape, offset = np.array([[-2, 7], [0, 8]]), np.array([[5, 5], [4, 2]]), np.array([0, 25, 33])
    profile = np.ones(33, np.float32)
    args = (np.array([10.0, 5.0]), np.array([1.0, 1.0]), np.array([1.0, 1.0]), np.zeros(2))
    add_spots(frame, *args, 0.01, 0.5, 1.5, 0.0, corner, shape, offset, profile)
    expected = np.zeros((10, 8))
    expected[7:10, 0:3] += 10
    expected[8:10, 0:4] += 5
    assert frame == pytest.approx(expected)


@pytest.mark.parametrize("mean", [0.02, 0.7, 8.0, 49.0, 51.0, 2000.0])
def test_noise_is_poissons(mean):
    expected = np.full((400, 500), mean, np.float32)
    image = np.zeros(expected.shape, np.uint32)
    expose(expected, np.uint64(123456789), 2**32 - 2, np.zeros(expected.shape, np.uint32), 2**32 - 1, image)
    n = image.size
    assert image.mean() == pytest.approx(mean, abs=5 * np.sqrt(mean / n))
    assert image.var() == pytest.approx(mean, rel=0.02, abs=0.3 if mean > 50 else 0)
    low, high = int(poisson.ppf(1e-3, mean)), int(poisson.ppf(1 - 1e-3, mean))
    bins = np.unique(np.linspace(low, high + 1, 12).astype(int))
    observed = np.histogram(image, np.concatenate([[-0.5], bins[1:-1] - 0.5, [np.inf]]))[0]
    probability = np.diff(np.concatenate([[0], poisson.cdf(bins[1:-1] - 1, mean), [1]]))
    assert chisquare(observed, n * probability).pvalue > 1e-4


def test_noise_belongs_to_key_and_place():
    expected = np.full((60, 70), 3.0, np.float32)
    mask = np.zeros(expected.shape, np.uint32)
    mask[3, 4] = 1
    images = [np.zeros(expected.shape, np.uint16) for _ in range(3)]
    for key, image in zip((5, 5, 6), images, strict=True):
        expose(expected, np.uint64(key), 65534, mask, 65535, image)
    assert np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])
    assert images[0][3, 4] == 65535
    assert abs(np.corrcoef(images[0][4:].ravel(), images[2][4:].ravel())[0, 1]) < 0.1


def test_overflow_is_cut():
    image = np.zeros((2, 2), np.uint16)
    expose(np.full((2, 2), 1e6, np.float32), np.uint64(1), 65534, np.zeros((2, 2), np.uint32), 65535, image)
    assert np.all(image == 65534)
