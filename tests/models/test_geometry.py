"""Geometry of the models, by hand and by invariance."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxdask.errors import MxdaskError
from mxdask.models import Beam, Crystal, Detector, Goniometer, Panel, Scan, rotation_matrix
from mxdask.models.crystal import b_matrix, cell_parameters, orthogonalisation_matrix
from mxdask.models.detector import PARALLAX

angles = st.floats(-180, 180)


def panel(**changes: object) -> Panel:
    values: dict = dict(
        fast_axis=[1, 0, 0], slow_axis=[0, -1, 0], origin=[-40, 42, -100], image_size=(1030, 1065),
        pixel_size=(0.075, 0.075), thickness=0.75, mu=5.3, material="CdTe", px_mm_strategy=PARALLAX,
    )  # fmt: skip
    return Panel(**(values | changes))


def test_rotation_matrix_turns_right_handed() -> None:
    np.testing.assert_allclose(rotation_matrix([0, 0, 2], np.pi / 2) @ [1, 0, 0], [0, 1, 0], atol=1e-15)


@given(st.lists(angles, min_size=3, max_size=3), st.floats(-3, 3))
def test_rotations_of_many_angles_agree_with_single_ones(axis: list[float], angle: float) -> None:
    if np.linalg.norm(axis) < 1e-3:
        return
    both = rotation_matrix(axis, np.array([angle, 0.1]))
    np.testing.assert_allclose(both[0], rotation_matrix(axis, angle), atol=1e-14)
    np.testing.assert_allclose(both[0] @ both[0].T, np.eye(3), atol=1e-12)


def test_kappa_chain_by_hand() -> None:
    """Two axes, scan on the outer one: F is the inner axis at its angle, S the identity; and the other way round."""
    inner, outer = [0, 0, 1], [1, 0, 0]
    g = Goniometer.multi_axis([inner, outer], [90, 30], ["PHI", "OMEGA"], scan_axis=1)
    np.testing.assert_allclose(g.fixed_rotation, rotation_matrix(inner, np.pi / 2), atol=1e-15)
    np.testing.assert_array_equal(g.setting_rotation, np.eye(3))
    g = Goniometer.multi_axis([inner, outer], [90, 30], ["PHI", "OMEGA"], scan_axis=0)
    np.testing.assert_allclose(g.setting_rotation, rotation_matrix(outer, np.pi / 6), atol=1e-15)
    np.testing.assert_allclose(g.lab_axis, rotation_matrix(outer, np.pi / 6) @ inner, atol=1e-15)


def test_pixel_and_mm_are_inverse_to_the_parallax_approximation() -> None:
    p = panel()
    xy = np.random.default_rng(1).uniform(0, 1000, (100, 2))
    np.testing.assert_allclose(p.mm_to_pixel(p.pixel_to_mm(xy)), xy, atol=2e-3)
    simple = panel(px_mm_strategy="SimplePxMmStrategy")
    np.testing.assert_allclose(simple.pixel_to_mm(xy), xy * 0.075)
    # Away from the beam the recorded position lies further out than the surface point.
    corner = np.array([[1000.0, 1000.0]])
    assert (p.pixel_to_mm(corner) < simple.pixel_to_mm(corner)).all()


def test_a_position_is_the_same_alone_and_among_others() -> None:
    tilt = rotation_matrix([1.0, 2.0, 0.5], 0.4)
    p = panel(fast_axis=tilt[0], slow_axis=tilt[1])
    xy = np.random.default_rng(3).uniform(0, 1000, (2000, 2))
    alone = np.vstack([p.pixel_to_mm(xy[i : i + 1]) for i in range(len(xy))])
    np.testing.assert_array_equal(alone, p.pixel_to_mm(xy))


def test_rays_come_back_to_where_they_were_sent() -> None:
    p = panel()
    xy = np.random.default_rng(2).uniform(0, 70, (50, 2))
    mm, forward = p.ray_mm(p.lab_coord(xy))
    np.testing.assert_allclose(mm, xy, atol=1e-10)
    assert forward.all()
    assert not p.ray_mm(-p.lab_coord(xy))[1].any()


def test_cell_and_matrices_follow_the_pdb_convention() -> None:
    cell = (50.0, 60.0, 70.0, 80.0, 95.0, 110.0)
    orth = orthogonalisation_matrix(cell)
    np.testing.assert_allclose(orth, np.array(gemmi.UnitCell(*cell).orth.mat.tolist()), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(cell_parameters(orth.T), cell, rtol=1e-12)
    B = b_matrix(cell)
    assert np.allclose(B, np.tril(B))
    q = B @ [1, 2, 3]
    assert 1 / np.linalg.norm(q) == pytest.approx(gemmi.UnitCell(*cell).calculate_d([1, 2, 3]))


@settings(max_examples=30)
@given(st.integers(0, 2**31))
def test_change_of_basis_keeps_reciprocal_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    c = Crystal(rng.normal(size=(3, 3)) * 20 + 30 * np.eye(3), A_at_scan_points=rng.normal(size=(4, 3, 3)))
    P = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    h = rng.integers(-5, 6, (10, 3))
    changed = c.change_basis(P)
    np.testing.assert_allclose((h @ P.T) @ changed.A.T, h @ c.A.T, atol=1e-12)
    np.testing.assert_allclose(changed.A_at_scan_points @ P, c.A_at_scan_points, atol=1e-10)


def test_scan_coordinates_are_absolute() -> None:
    s = Scan((11, 20), (5.0, 0.5), tuple([0.1] * 10), tuple(range(10)))
    assert s.array_range == (10, 20)
    assert np.rad2deg(s.angle(10)) == pytest.approx(5.0)
    assert s.frame(np.deg2rad(6.0)) == pytest.approx(12.0)
    part = s.cut(13, 15)
    assert part.oscillation == (6.0, 0.5)
    assert part.epochs == (2, 3, 4)
    assert part.angle(13.5) == pytest.approx(s.angle(13.5))
    with pytest.raises(MxdaskError, match="not inside"):
        s.cut(5, 12)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: panel(origin=[0, np.nan, 1]), "origin"),
        (lambda: panel(slow_axis=[1, 0, 0]), "parallel"),
        (lambda: panel(pixel_size=(0.1, 0.0)), "above zero"),
        (lambda: panel(pixel_size=(float("nan"), 0.1)), "above zero"),
        (lambda: panel(origin=[-5.0, 5.0, 0.0], fast_axis=[1, 0, 0], slow_axis=[0, -1, 0]), "distance 0"),
        (lambda: panel(thickness=float("inf")), "thickness"),
        (lambda: panel(trusted_range=(0.0, float("nan"))), "trusted range"),
        (lambda: Beam([0, 0, 1], float("nan")), "wavelength"),
        (lambda: Scan((3, 2), (0, 1)), "holds no image"),
        (lambda: Crystal(np.zeros((3, 3))), "span"),
        (lambda: Goniometer.single_axis([np.nan, 0, 0]), "not finite"),
    ],
)
def test_nonsense_geometry_says_what_is_wrong(build: object, words: str) -> None:
    with pytest.raises(MxdaskError, match=words):
        build()  # type: ignore[operator]


def test_esds_of_a_cubic_cell_follow_from_the_covariance() -> None:
    """With independent errors s on the diagonal of B = 1/a, σ(a) = a²·s."""
    a, s = 50.0, 1e-6
    covariance = np.zeros((9, 9))
    covariance[[0, 4, 8], [0, 4, 8]] = s**2
    esds = Crystal(np.eye(3) * a, B_covariance=covariance).cell_esds()
    assert esds is not None
    np.testing.assert_allclose(esds[:3], a * a * s, rtol=1e-4)
    np.testing.assert_allclose(esds[6], np.sqrt(3) * a**4 * s, rtol=1e-3)


@pytest.mark.parametrize("angle", [0.0, 60.0, 110.0, 150.0, 180.0])
def test_highest_resolution_of_a_panel_turned_to_any_two_theta(angle: float) -> None:
    """Behind the crystal a point on an edge, or inside, lies farther round than any corner."""
    turn = rotation_matrix([0.0, 1.0, 0.0], np.deg2rad(angle))
    panel = Panel(turn @ [1, 0, 0], turn @ [0, 1, 0], turn @ [-60.0, -15.0, -100.0], (120, 30), (1.0, 1.0))
    s0 = np.array([0.0, 0.0, -1.0])
    x, y = np.meshgrid(np.linspace(0, 120, 601), np.linspace(0, 30, 301))
    ray = panel.lab_coord(np.column_stack([x.ravel(), y.ravel()]))
    q = np.linalg.norm(ray / np.linalg.norm(ray, axis=1, keepdims=True) - s0, axis=1)
    assert Detector((panel,)).d_min(s0) == pytest.approx(1 / q.max(), rel=1e-5)
    assert Detector((panel,)).d_min(s0) <= 1 / q.max() + 1e-12
