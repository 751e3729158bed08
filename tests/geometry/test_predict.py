"""Prediction of given reflections against the geometry it must fulfil."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_sweeps import TRICLINIC, a_crystal, a_sweep, spots

from mxdask.geometry.predict import predict_given, unit_axis
from mxdask.models import Goniometer, rotation_matrix


def tilted(sweep, axis=(0.9, 0.1, -0.3)):
    return sweep.evolve(
        goniometer=Goniometer.single_axis(
            axis, rotation_matrix([0.2, 0.5, 0.8], 0.7), rotation_matrix([0.3, -0.2, 0.1], 0.05)
        )
    )


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_points_lie_on_the_sphere_and_rays_on_the_panel(seed):
    sweep = tilted(a_sweep("s", a_crystal(seed, TRICLINIC)))
    rng = np.random.default_rng(seed)
    hkl = rng.integers(-8, 9, (200, 3))
    entering = rng.random(200) < 0.5
    place = predict_given(sweep, hkl, entering, np.zeros(200, int), np.zeros(200))
    ok = place.possible
    goniometer, s0 = sweep.goniometer, sweep.beam.s0
    # The reflection at its own angle, built from matrices only.
    q = np.einsum("nij,nj->ni", goniometer.rotation(place.xyz_mm[:, 2]), hkl @ sweep.crystal.A.T)
    assert np.allclose((q + s0)[ok], place.s1[ok], atol=1e-12)
    assert np.allclose(np.linalg.norm(place.s1[ok], axis=1), np.linalg.norm(s0), atol=1e-12)
    ray = sweep.detector[0].lab_coord(place.xyz_mm[:, :2])
    cosine = np.sum(ray * place.s1, axis=1) / np.linalg.norm(ray, axis=1) / np.linalg.norm(place.s1, axis=1)
    assert np.allclose(cosine[ok], 1.0, atol=1e-12)


def test_the_root_is_the_one_that_was_observed():
    sweep = tilted(a_sweep("s", a_crystal(3)))
    hkl = np.random.default_rng(0).integers(-20, 21, (500, 3))
    axis = sweep.goniometer.lab_axis
    for entering in (True, False):
        place = predict_given(sweep, hkl, np.full(500, entering), np.zeros(500, int), np.zeros(500))
        outside = place.s1 @ np.cross(sweep.beam.s0, axis) < 0
        crosses = np.isclose(np.linalg.norm(place.s1, axis=1), np.linalg.norm(sweep.beam.s0), atol=1e-9)
        assert np.all(outside[crosses & place.possible] == entering)


@pytest.mark.parametrize("turns", [-3, 0, 2])
def test_the_turn_is_the_one_nearest_to_the_observation(turns):
    sweep = a_sweep("s", a_crystal(1))
    table = spots(sweep, 50, noise=0.0)
    phi = table["xyzobs.mm.value"][:, 2] + 2 * np.pi * turns
    place = predict_given(sweep, table["miller_index"], table["entering"], table["panel"], phi)
    assert np.allclose(place.xyz_mm[:, 2], phi, atol=1e-9)


def test_points_that_never_cross_are_told():
    sweep = a_sweep("s", a_crystal(1))
    far = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200]])
    place = predict_given(sweep, far, np.ones(3, bool), np.zeros(3, int), np.zeros(3))
    assert not np.any(place.possible)
    assert np.all(np.isfinite(place.s1))


def test_an_axis_given_to_a_few_digits_counts_as_a_direction():
    axis = Goniometer.single_axis([0.70712, 0.70711, 0.0])
    assert np.linalg.norm(axis.rotation_axis) != pytest.approx(1.0, abs=1e-7)
    assert np.linalg.norm(unit_axis(axis)) == pytest.approx(1.0, abs=1e-15)
