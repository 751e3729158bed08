"""Predicted reflections: the kernel against plain numpy, the geometry against the models."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mxdask.geometry.mapping import map_spots
from mxdask.models import Beam, rotation_matrix
from mxdask.models.crystal import b_matrix
from mxdask.simulate.crystals import true_crystal
from mxdask.simulate.instrument import build, goniometer
from mxdask.simulate.params import Crystals, quick
from mxdask.simulate.predict import efficiency, lorentz_polarisation, predict
from mxdask.simulate.predict_kernels import crossings
from mxdask.simulate.spots import strong_spots

STILL_CRYSTAL = Crystals(count=2, scatter=0.0, drift=0.0)


def _sampled_crossings(hkl, A, s0, axis, start, end):
    """Sign changes of |s0 + q| − |s0| on a fine grid of angles: slow and certain."""
    phi = np.linspace(start, end, 4001)
    q = np.einsum("aij,nj->nai", rotation_matrix(axis, phi), hkl @ A.T)
    off = np.linalg.norm(q + s0, axis=2) - np.linalg.norm(s0)
    row, step = np.nonzero(off[:, :-1] * off[:, 1:] < 0)
    return row, phi[step]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_kernel_finds_what_sampling_finds(seed):
    random = np.random.default_rng(seed)
    A = Rotation.random(random_state=random).as_matrix() @ b_matrix((30, 40, 50, 90, 100, 90))
    hkl = random.integers(-10, 11, (200, 3)).astype(np.int32)
    hkl = hkl[np.any(hkl != 0, axis=1)]
    s0 = np.array([0.02, -0.01, -1.0])
    axis = np.array([1.0, 0.0, 0.0])
    start, end = 0.3, 1.5
    rows, phi = np.zeros(1000, np.int64), np.zeros(1000)
    n = crossings(hkl, A, s0, axis, start, end, 0.0, 0.0, 0.0, 100.0, rows, phi)
    expected_rows, expected_phi = _sampled_crossings(hkl, A, s0, axis, start, end)
    found = sorted(zip(rows[:n].tolist(), phi[:n].tolist(), strict=True))
    # Two crossings inside one step of the grid cannot be seen by sampling; they come in pairs.
    assert len(found) >= len(expected_rows)
    assert (len(found) - len(expected_rows)) % 2 == 0
    step = (end - start) / 4000
    for row, angle in zip(expected_rows, expected_phi, strict=True):
        assert min(abs(p - angle - step / 2) for r, p in found if r == row) < step


def test_reflections_lie_where_the_models_put_them():
    """Without drift and scatter, mapping positions back with the true geometry gives the indices."""
    sim = quick().model_copy(update={"crystals": STILL_CRYSTAL})
    experiments, _ = strong_spots(sim)
    experiment = experiments[0].evolve(detector=build(sim).detector)
    true = predict(sim, true_crystal(sim, 0), 0)
    assert len(true) > 300
    xy_mm = build(sim).panel.pixel_to_mm(true.xyz[:, :2])
    mapped = map_spots(experiment, np.zeros(len(true), int), np.column_stack([xy_mm, true.phi]))
    hkl = mapped.rlp @ np.linalg.inv(true_crystal(sim, 0).A).T
    # px → mm inverts mm → px to about 0.001 px only, hence the tolerance.
    assert np.abs(hkl - true.hkl).max() < 0.01
    assert np.linalg.norm(true.s1, axis=1) == pytest.approx(1 / sim.beam.wavelength)
    assert np.rad2deg(true.phi) == pytest.approx(true_crystal(sim, 0).start + true.xyz[:, 2] * sim.sweep.width)
    e1 = np.cross(true.s1, build(sim).beam.s0)
    assert true.zeta == pytest.approx(e1 @ goniometer(sim).lab_axis / np.linalg.norm(e1, axis=1))


def test_corrected_counts_are_the_true_intensities():
    sim = quick()
    crystal = true_crystal(sim, 0)
    true = predict(sim, crystal, 0)
    corrected = true.counts_full * true.lp / true.qe * np.exp(crystal.b_extra / (2 * true.d**2))
    assert corrected / true.I == pytest.approx(np.full(len(true), corrected[0] / true.I[0]))


def test_whole_reflections_are_recorded_whole():
    sim = quick()
    true = predict(sim, true_crystal(sim, 1), 1)
    width = np.rad2deg(true_crystal(sim, 1).sigma_M) / sim.sweep.width / np.abs(true.zeta)
    z = true.xyz[:, 2]
    inside = (z > 5 * width) & (z < sim.sweep.images - 5 * width)
    assert inside.sum() > 100
    assert true.fraction[inside] == pytest.approx(1.0, abs=1e-5)
    assert np.all(true.fraction <= 1 + 1e-9)
    assert np.all(true.counts_recorded <= true.counts_full * 1.2)


def test_lorentz_and_polarisation_by_hand():
    """Beam along −Z, axis X, polarised along X: a ray to +Y has L = sin 2θ, P = 1 + p·cos²2θ + …"""
    beam = Beam(np.array([0.0, 0.0, 1.0]), 1.0, polarization_fraction=0.9)
    angle = np.deg2rad(30)
    s1 = np.array([[0.0, np.sin(angle), -np.cos(angle)]])
    polarisation = (1 - 1.8) * (1 - np.sin(angle) ** 2) + 0.9 * (1 + np.cos(angle) ** 2)
    lp = lorentz_polarisation(s1, beam, np.array([1.0, 0.0, 0.0]))
    assert lp[0] == pytest.approx(np.sin(angle) / polarisation)


def test_efficiency_grows_with_the_path():
    panel = build(quick()).panel
    qe = efficiency(np.array([[0, 0, -1.0], [0, 0.6, -0.8]]), panel)
    assert qe[1] >= qe[0] == pytest.approx(1 - np.exp(-panel.mu * panel.thickness), rel=1e-3)
