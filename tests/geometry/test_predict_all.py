"""Prediction against brute force, and static against scan-varying."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxdask.errors import MxdaskError
from mxdask.geometry.predict_all import allowed_indices, centring_translations, predict_all
from mxdask.models import Beam, Crystal, Detector, Experiment, Goniometer, Panel, Scan, rotation_matrix


def experiment(
    n_images: int = 20, width: float = 0.5, start: float = 5.0, hall: str = " P 1", cell_size: float = 30.0
) -> Experiment:
    panel = Panel([1, 0, 0], [0, -1, 0], [-20.0, 20.0, -60.0], (200, 200), (0.2, 0.2))
    turn = rotation_matrix([1, 2, 3], 0.7)
    real = (turn @ np.diag([cell_size, cell_size * 1.1, cell_size * 1.3])).T
    return Experiment(
        "x", beam=Beam([0, 0, 1], 1.0), detector=Detector((panel,)), goniometer=Goniometer.single_axis([1, 0, 0]),
        scan=Scan((1, n_images), (start, width)), crystal=Crystal(real, hall),
    )  # fmt: skip


def brute_force(e: Experiment, d_min: float, padding: float) -> set[tuple[int, int, int, int]]:
    """Sign changes of |s0 + r| − |s0| on a fine grid of angles: (h, k, l, tenth of a degree)."""
    h = allowed_indices(e.crystal, e.crystal.A, d_min)
    low, high = np.sort(e.scan.oscillation_range) + [-padding, padding]
    phi = np.deg2rad(np.arange(low, high + 1e-9, 0.02))
    found = set()
    before = None
    for angle in phi:
        r = h @ (e.goniometer.rotation(angle) @ e.crystal.A).T
        outside = np.sum(r * (r + 2 * e.beam.s0), axis=1) > 0
        if before is not None:
            for row in np.flatnonzero(outside != before):
                found.add((*map(int, h[row]), round(np.rad2deg(angle) * 10)))
        before = outside
    return found


@pytest.mark.parametrize("width", [0.5, -0.5])
def test_static_prediction_finds_what_brute_force_finds(width: float) -> None:
    e = experiment(width=width)
    p = predict_all(e, d_min=3.0, padding=0.5)
    angle = np.rad2deg(p.xyz_mm[:, 2])
    expected = brute_force(e, 3.0, 0.5)
    on_detector = {
        (*h, a + k)
        for h, a in zip(map(tuple, p.miller_index.tolist()), np.round(angle * 10).astype(int), strict=True)
        for k in (-1, 0, 1)
    }
    missing = [x for x in expected if x not in on_detector]
    # what is missing missed the detector: check that its rays do
    for h, k, l, tenth in missing:
        r = e.goniometer.rotation(np.deg2rad(tenth / 10)) @ e.crystal.A @ [h, k, l]
        panel, xy = e.detector.ray_intersection((e.beam.s0 + r)[None])
        assert panel[0] < 0 or np.min(np.abs(xy[0] - [[0, 0], [40, 40]])) < 0.3
    assert len(p) > 50


def test_predictions_satisfy_the_ewald_condition() -> None:
    e = experiment()
    p = predict_all(e, padding=1.0)
    assert np.allclose(np.linalg.norm(p.s1, axis=1), 1.0, atol=1e-12)
    r = np.einsum("nij,nj->ni", e.goniometer.rotation(p.xyz_mm[:, 2]), p.miller_index @ e.crystal.A.T)
    assert np.allclose(p.s1, e.beam.s0 + r, atol=1e-10)
    assert np.all(np.diff(p.xyz_px[:, 2]) >= 0)
    assert p.xyz_px[:, 2].min() >= -2 and p.xyz_px[:, 2].max() <= 22
    assert np.array_equal(p.entering, p.s1 @ np.cross(e.beam.s0, e.goniometer.lab_axis) < 0)


def as_set(p) -> dict[tuple[int, ...], np.ndarray]:
    return {
        (*map(int, h), bool(s), round(z)): np.array([x, y, z])
        for h, s, (x, y, z) in zip(p.miller_index, p.entering, p.xyz_px, strict=True)
    }


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_varying_prediction_with_a_constant_crystal_is_the_static_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    e = experiment(n_images=12, width=float(rng.uniform(0.05, 0.3)), start=float(rng.uniform(0, 360)))
    points = np.broadcast_to(e.crystal.A, (13, 3, 3)).copy()
    varying = e.evolve(crystal=replace(e.crystal, A_at_scan_points=points))
    a, b = predict_all(e, padding=0.0), predict_all(varying, padding=0.0)
    # at the very ends of the scan rounding may decide
    inside = [(p.xyz_px[:, 2] > 1e-6) & (p.xyz_px[:, 2] < 12 - 1e-6) for p in (a, b)]
    first, second = as_set(a), as_set(b)
    assert abs(int(inside[0].sum()) - int(inside[1].sum())) <= 0
    common = first.keys() & second.keys()
    assert len(common) >= 0.98 * len(a)
    flat = np.array([np.abs(first[k] - second[k]).max() for k in common])
    assert np.median(flat) < 1e-3


def test_varying_prediction_follows_a_turning_crystal() -> None:
    """A crystal that slips by a whole image per image about the axis looks like a scan twice as wide."""
    e = experiment(n_images=10, width=0.2)
    slip = rotation_matrix([1, 0, 0], np.deg2rad(0.2) * np.arange(11))
    varying = e.evolve(crystal=replace(e.crystal, A_at_scan_points=slip @ e.crystal.A))
    wide = e.evolve(scan=Scan((1, 10), (5.0, 0.4)))
    a, b = predict_all(varying, padding=0.0), predict_all(wide, padding=0.0)
    first, second = as_set(a), as_set(b)
    assert len(first.keys() & second.keys()) >= 0.98 * len(second)


def test_a_full_turn_and_a_half_predicts_repeats() -> None:
    once, more = experiment(360, 1.0, 0.0), experiment(540, 1.0, 0.0)
    a, b = predict_all(once, d_min=4.0, padding=0.0), predict_all(more, d_min=4.0, padding=0.0)
    assert np.sum(b.xyz_px[:, 2] < 360) == len(a)
    assert np.sum(b.xyz_px[:, 2] >= 360) == np.sum(a.xyz_px[:, 2] < 180)


def test_lattice_centring_removes_indices() -> None:
    body = experiment(hall=" I 2 2 3")
    assert centring_translations(body.crystal).tolist() == [[6, 6, 6]]
    h = allowed_indices(body.crystal, body.crystal.A, 3.0)
    assert np.all(h.sum(axis=1) % 2 == 0)
    primitive = experiment()
    all_h = allowed_indices(primitive.crystal, primitive.crystal.A, 3.0)
    assert len(h) == np.sum(all_h.sum(axis=1) % 2 == 0)
    assert np.all(np.linalg.norm(all_h @ primitive.crystal.A.T, axis=1) <= 1 / 3.0)


@pytest.mark.parametrize("varying", [False, True])
def test_a_few_indices_are_predicted_as_among_all(varying: bool) -> None:
    e = experiment()
    if varying:
        slip = rotation_matrix([1, 0, 0], np.deg2rad(0.01) * np.arange(21))
        e = e.evolve(crystal=replace(e.crystal, A_at_scan_points=slip @ e.crystal.A))
    p = predict_all(e)
    some = p.miller_index[::9]
    few = predict_all(e, only=np.vstack([some, some, [[0, 0, 0]]]))
    rows = np.flatnonzero(np.any(np.all(p.miller_index[:, None] == some[None], axis=2), axis=1))
    assert np.array_equal(few.miller_index, p.miller_index[rows])
    assert np.array_equal(few.xyz_px, p.xyz_px[rows])


def test_stills_are_refused() -> None:
    with pytest.raises(MxdaskError, match="stills"):
        predict_all(experiment(width=0.0))
