"""Kabsch's frame and the factors derived from it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxdask.geometry.kabsch import local_axes, lorentz_polarisation, partiality, rays_at, zeta

S0 = np.array([0.0, 0.0, -1.0])


def rays(n: int = 20) -> np.ndarray:
    v = np.random.default_rng(0).normal(size=(n, 3)) * [0.5, 0.5, 0.2] + S0
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def test_axes_are_orthonormal_and_perpendicular_to_the_ray() -> None:
    s1 = rays()
    e1, e2 = local_axes(S0, s1)
    for a, b in ((e1, s1), (e2, s1), (e1, e2), (e1, np.broadcast_to(S0, s1.shape))):
        assert np.allclose(np.sum(a * b, axis=1), 0, atol=1e-12)
    assert np.allclose(zeta(np.array([2.0, 0, 0]), S0, s1), e1[:, 0])


@given(st.floats(-0.01, 0.01), st.floats(-0.01, 0.01))
def test_rays_at_inverts_the_local_coordinates(a: float, b: float) -> None:
    s1 = rays()
    e1, e2 = local_axes(S0, s1)
    there = rays_at(s1, e1, e2, np.full(len(s1), a), np.full(len(s1), b))
    assert np.allclose(np.linalg.norm(there, axis=1), 1, atol=1e-12)
    assert np.allclose(np.sum((there - s1) * e1, axis=1), a, atol=1e-12)
    assert np.allclose(np.sum((there - s1) * e2, axis=1), b, atol=1e-12)


@given(st.floats(0.05, 1.0), st.floats(-0.02, 0.02))
def test_partialities_of_adjoining_images_add_up(z: float, phi: float) -> None:
    edges = np.linspace(-0.5, 0.5, 11)
    zz, pp = np.full(10, z), np.full(10, phi)
    parts = partiality(zz, 1e-3, pp, edges[:-1], edges[1:])
    assert parts.sum() == pytest.approx(1.0, abs=1e-9)
    assert np.allclose(parts, partiality(-zz, 1e-3, pp, edges[1:], edges[:-1]))


def test_lorentz_polarisation_by_hand() -> None:
    # 90° diffraction along y, spindle along x: L = |s1·(m2×s0)| = |y·y| = 1; unpolarised: P = ½(1 + cos²2θ) = ½
    s1 = np.array([[0.0, 1.0, 0.0]])
    axis = np.array([1.0, 0.0, 0.0])
    assert lorentz_polarisation(S0, s1, axis, np.array([0.0, 1.0, 0.0]), 0.5)[0] == pytest.approx(2.0)
    # fully polarised with its normal along the ray: P = (1 − 2)(1 − 1) + 1 = 1
    assert lorentz_polarisation(S0, s1, axis, np.array([0.0, 1.0, 0.0]), 1.0)[0] == pytest.approx(1.0)
    # three quarters polarised, its normal across the ray: P = (1 − 1.5)(1 − 0) + 0.75 = ¼
    assert lorentz_polarisation(S0, s1, axis, np.array([1.0, 0.0, 0.0]), 0.75)[0] == pytest.approx(4.0)
