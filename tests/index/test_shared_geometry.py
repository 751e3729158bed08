"""What several sweeps say about the detector, and what a lattice says about spots."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_spots import blank_experiment

from mxdask.index.quality import chance_bits, explain
from mxdask.index.ranking import weighted_scores
from mxdask.index.shared_geometry import Displacement, agreed_displacement, with_beam_centre_of

DISTANCE = 150.0
IMPORTED = blank_experiment("x", wedge=5.0)


def test_displacement_there_and_back() -> None:
    given = Displacement(np.array([2e-3, -1e-3, 3e-3]), 0.4)
    found = Displacement.between(IMPORTED.detector, given.applied(IMPORTED.detector))
    np.testing.assert_allclose(found.rotation, given.rotation, atol=1e-12)
    assert found.distance == pytest.approx(0.4, abs=2e-3)  # of the turned normal: D (1 - cos tilt) less


def test_the_median_of_sweeps_forgets_the_one_that_slipped() -> None:
    common = np.array([1e-3, 2e-3, -1e-3])
    rng = np.random.default_rng(0)
    pairs = [
        (IMPORTED.detector, Displacement(common + 1e-4 * rng.normal(size=3), 0.1).applied(IMPORTED.detector))
        for _ in range(6)
    ]
    pairs.append((IMPORTED.detector, Displacement(np.array([2e-2, 0, 0]), 2.0).applied(IMPORTED.detector)))
    agreed = agreed_displacement([Displacement.between(*p) for p in pairs], np.ones(7), DISTANCE)
    np.testing.assert_allclose(agreed.rotation, common, atol=2e-4)
    assert agreed.distance == pytest.approx(0.1, abs=1e-3)
    assert agreed_displacement([Displacement.between(*p) for p in pairs[:2]], np.ones(2), DISTANCE) is None


def test_scattered_sweeps_leave_the_import_as_it_was() -> None:
    pairs = [
        (IMPORTED.detector, Displacement(np.array([turn, 0, 0]), 0.0).applied(IMPORTED.detector))
        for turn in (-8e-3, 3e-3, 11e-3, 9e-3)
    ]
    found = [Displacement.between(*p) for p in pairs]
    assert abs(agreed_displacement(found, np.ones(4), DISTANCE).rotation[0]) < 3e-3


def test_the_beam_centre_is_kept() -> None:
    moved = Displacement(np.array([5e-3, 2e-3, -4e-3]), 1.0).applied(IMPORTED.detector)
    s0 = IMPORTED.beam.s0
    fixed = with_beam_centre_of(moved, s0, IMPORTED.detector, s0)
    np.testing.assert_allclose(fixed[0].ray_mm(s0[None])[0], IMPORTED.detector[0].ray_mm(s0[None])[0], atol=1e-9)


def test_information_prefers_the_right_cell() -> None:
    rng = np.random.default_rng(0)
    anywhere = rng.uniform(-0.5, 0.5, size=(1000, 3))
    near = 0.03 * rng.normal(size=(1000, 3))

    def distances(share: float, stretch: float) -> np.ndarray:
        rows = np.concatenate([near[: int(1000 * share)] * (stretch, 1, 1), anywhere[int(1000 * share) :]])
        return np.linalg.norm(rows - np.rint(rows), axis=1)

    right, doubled, halved = explain(distances(0.8, 1.0)), explain(distances(0.81, 2.0)), explain(distances(0.4, 1.0))
    chance = explain(distances(0.0, 1.0))
    assert right.bits > doubled.bits > halved.bits > chance.bits
    assert chance.bits < 0.02
    assert right.fraction == pytest.approx(0.8, abs=0.01)
    assert right.spread == pytest.approx(0.03 * np.sqrt(3), rel=0.05)
    assert explain(np.zeros(0)).bits == 0.0
    assert chance_bits(9) > chance_bits(3) > 0


def test_weighted_score_by_hand() -> None:
    score = weighted_scores([1000.0, 2000.0], [0.5, 1.0], [0.02, 0.01])
    np.testing.assert_allclose(score, [0 + 1 + 1, 1 + 0 + 0])
