"""Cells under symmetry, rigid detectors, rotations and the smoother."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_sweeps import TRICLINIC, a_beam, a_crystal, a_detector

from mxdask.modelfit.beam import BeamParameters
from mxdask.modelfit.crystal import CrystalParameters, b_of_metric, metric_basis
from mxdask.modelfit.detector import DetectorParameters, panel_groups
from mxdask.modelfit.goniometer import GoniometerParameters
from mxdask.modelfit.rotations import composed
from mxdask.modelfit.smoother import Smoothing
from mxdask.models import Goniometer, Scan, rotation_matrix
from mxdask.models.crystal import b_matrix, hall_of

X = np.array([1.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("group", "count"),
    [("P 1", 6), ("P 1 2 1", 4), ("P 1 1 2", 4), ("P 21 21 21", 3), ("P 43 21 2", 2), ("P 3 2 1", 2), ("P 6", 2),
     ("R 3:R", 2), ("R 3:H", 2), ("I 21 3", 1)],
)  # fmt: skip
def test_number_of_cell_parameters(group, count):
    assert len(metric_basis(hall_of(gemmi.SpaceGroup(group)))) == count


def test_the_basis_is_made_of_plain_elements():
    tetragonal = metric_basis(hall_of(gemmi.SpaceGroup("P 4")))
    assert np.allclose(tetragonal[0], np.diag([1, 1, 0]))
    assert np.allclose(tetragonal[1], np.diag([0, 0, 1]))


def test_b_follows_the_convention():
    B = b_matrix(TRICLINIC)
    assert np.allclose(b_of_metric(B.T @ B), B, rtol=1e-12)


def test_a_crystal_starts_as_it_was_or_as_its_symmetry_says():
    crystal = a_crystal(5, TRICLINIC)
    parameters = CrystalParameters.of(crystal)
    assert np.allclose(parameters.A(np.zeros(9)), crystal.A, rtol=0, atol=1e-14)
    strained = CrystalParameters.of(a_crystal(5, (78.0, 78.3, 77.9, 90.1, 90.0, 89.8), "I 2 3"))
    cell = strained.crystal.with_A(strained.A(np.zeros(4))).cell
    assert np.allclose(cell[:3], cell[0])
    assert np.allclose(cell[3:], 90.0)
    assert cell[0] == pytest.approx(78.07, abs=0.05)


def test_cell_covariance_reaches_the_cell():
    """Cubic: a = 1/√g, so σ(a) = σ(g)·a³/2."""
    parameters = CrystalParameters.of(a_crystal(1, space_group="P 2 3"))
    covariance = np.zeros((4, 4))
    covariance[3, 3] = 0.01**2  # of 10⁻⁵ Å⁻²
    B = parameters.B_covariance(np.zeros(4), covariance)
    esds = parameters.crystal.with_A(parameters.A(np.zeros(4)), B_covariance=B).cell_esds()
    assert esds[0] == pytest.approx(0.5 * 78.0**3 * 0.01e-5, rel=1e-4)
    assert esds[2] == pytest.approx(esds[0], rel=1e-4)
    assert esds[3] == pytest.approx(0.0, abs=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(-20, 20), min_size=3, max_size=3))
def test_rotations_multiply_in_order(mrad):
    axes = np.array([[1.0, 0, 0], [0, 0.6, 0.8], [0, -0.8, 0.6]])
    total, derivative = composed(axes, np.array(mrad))
    plain = np.eye(3)
    for axis, angle in zip(axes, mrad, strict=True):
        plain = rotation_matrix(axis, 1e-3 * angle) @ plain
    assert np.allclose(total, plain, atol=1e-14)
    h = np.array([0.0, 1e-2, 0.0])
    numeric = (composed(axes, np.array(mrad) + h)[0] - composed(axes, np.array(mrad) - h)[0]) / 2e-2
    assert np.allclose(derivative[1], numeric, atol=1e-10)


def test_a_detector_moves_as_one_body():
    detector = a_detector(n_panels=4)
    parameters = DetectorParameters.of(detector, a_beam())
    values = np.array([0.5, -1.0, 2.0, 3.0, -4.0, 5.0])
    moved = parameters.model(values)
    corners = [p.lab_coord(np.array([[0.0, 0.0], [30.0, 40.0]])) for p in detector.panels]
    after = [p.lab_coord(np.array([[0.0, 0.0], [30.0, 40.0]])) for p in moved.panels]
    before, after = np.concatenate(corners), np.concatenate(after)
    distances = [np.linalg.norm(x[:, None] - x, axis=-1) for x in (before, after)]
    assert np.allclose(*distances, atol=1e-10)
    assert np.allclose(parameters.values_of(moved), values, atol=1e-8)
    pushed = parameters.model(np.array([2.0, 0, 0, 0, 0, 0]))
    assert pushed[0].distance == pytest.approx(detector[0].distance + 2.0)


def test_groups_of_panels():
    tree = {"children": [{"children": [{"panel": 0}, {"panel": 2}]}, {"panel": 1}]}
    detector = type(a_detector())(a_detector(n_panels=4).panels[:3], tree)
    assert panel_groups(detector, 0) == [(0, 1, 2)]
    assert panel_groups(detector, 1) == [(0, 2), (1,)]
    assert panel_groups(detector, 2) == [(0,), (2,), (1,)]


def test_the_beam_keeps_its_wavelength_and_turns_within_the_spindle_plane():
    parameters = BeamParameters.of(a_beam(), X)
    free = ~parameters.fixed(("in_spindle_plane", "wavelength"))
    assert free.tolist() == [False, True, False]
    turned = parameters.model(np.array([0.0, 2.0, 0.0]))
    assert turned.wavelength == pytest.approx(0.98)
    assert abs(turned.direction @ X) == pytest.approx(np.sin(2e-3))
    assert abs(turned.direction[1]) < 1e-12  # perpendicular to the plane nothing moves
    assert np.allclose(parameters.values_of(turned), [0.0, 2.0, 0.0], atol=1e-9)


def test_a_tilted_goniometer_becomes_one_axis():
    goniometer = Goniometer.multi_axis([[0, 0, 1], [1, 0, 0]], [30.0, 0.0], ["phi", "omega"], 1)
    parameters = GoniometerParameters.of(goniometer, a_beam())
    tilted = parameters.model(np.array([1.0, 2.0]))
    assert np.arccos(tilted.lab_axis @ goniometer.lab_axis) == pytest.approx(np.hypot(1e-3, 2e-3), rel=1e-3)
    assert np.allclose(tilted.fixed_rotation, goniometer.fixed_rotation)


@pytest.mark.parametrize(("degrees", "samples"), [(5, 2), (40, 2), (72, 3), (108, 5), (360, 12)])
def test_samples_along_a_scan(degrees, samples):
    scan = Scan((11, 10 + degrees * 2), (3.0, 0.5))
    smoothing = Smoothing.of(scan)
    assert smoothing.n_samples == samples
    z = np.linspace(*scan.array_range, 50)
    _, weight = smoothing.weights(z)
    assert np.allclose(weight.sum(axis=1), 1.0)
    constant = np.tile([1.0, -2.0], samples)
    assert np.allclose(smoothing.at(constant, z), [1.0, -2.0])


def test_a_block_is_an_image_unless_asked_for():
    scan = Scan((1, 50), (10.0, 0.1))
    smoothing = Smoothing.of(scan)
    assert smoothing.n_blocks == 50
    assert smoothing.block_of(scan.angle(np.array([0.0, 0.5, 1.5, 49.9, 50.0]))).tolist() == [0, 0, 1, 49, 49]
    assert Smoothing.of(scan, block_width=1.0).n_blocks == 5
