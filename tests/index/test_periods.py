"""Searches for periods, the longest axis, and the orientation of a known cell."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_spots import CUBIC_I, TRICLINIC, make_sweep

from mxdask.errors import MxdaskError
from mxdask.index import fft1d, fft3d
from mxdask.index.candidates import detector_shift, evaluate_known
from mxdask.index.known_symmetry import primitive_rows
from mxdask.index.lattices import same_lattice
from mxdask.index.max_cell import boxes_overlap, estimate_max_cell, on_ice_ring
from mxdask.index.orientation import directions_of_known_length, hemisphere, orientations
from mxdask.index.params import Fft3d, Indexing, MaxCellEstimation, RealSpaceGridSearch
from mxdask.index.periods import power, sharpen
from mxdask.index.prepare import split_sweeps
from mxdask.index.spots import SweepSpots
from mxdask.index.tasks import spots_of
from mxdask.lattice.powder import ice_lines
from mxdask.models import ExperimentList
from mxdask.table import ReflectionTable


def spots_from(seed: int, **options: object) -> tuple[SweepSpots, np.ndarray]:
    """Spots and the true primitive lattice."""
    made = make_sweep(seed, **options)
    sweeps = split_sweeps(ExperimentList([made.experiment]), made.table, Indexing())
    return spots_of(sweeps), primitive_rows(made.truth[0])


def coefficients(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return vectors @ np.linalg.inv(rows)


@pytest.mark.parametrize("search", ["fft3d", "fft1d"])
@pytest.mark.parametrize("crystal", [CUBIC_I, TRICLINIC])
def test_the_best_periods_are_lattice_vectors(search: str, crystal: tuple) -> None:
    spots, rows = spots_from(11, crystal=crystal, n_spots=300)
    if search == "fft3d":
        found = fft3d.find_periods(spots.rlp, 100.0, Fft3d())
    else:
        found = fft1d.find_periods(spots.rlp, 100.0)
    best = coefficients(found.vectors[:3], rows)
    assert np.abs(best - np.rint(best)).max() < 0.05
    assert np.linalg.matrix_rank(np.rint(best)) >= 2
    assert np.all(np.diff(found.power) <= 0)


def test_periods_do_not_feel_a_wrong_beam_centre() -> None:
    right, _ = spots_from(3, n_spots=300, foreign=0.0, beam_error_px=0.0)
    wrong, _ = spots_from(3, n_spots=300, foreign=0.0, beam_error_px=6.0)
    a = fft3d.find_periods(right.rlp, 90.0, Fft3d())
    b = fft3d.find_periods(wrong.rlp, 90.0, Fft3d())
    assert b.power[0] > 0.9 * a.power[0]


def test_the_beam_centre_error_is_found() -> None:
    wrong, rows = spots_from(3, n_spots=300, beam_error_px=6.0)
    right, _ = spots_from(3, n_spots=300, beam_error_px=0.0)
    true = right.sweeps[0].detector[0].origin - wrong.sweeps[0].detector[0].origin
    shift = detector_shift(wrong, rows, 8.0)
    np.testing.assert_allclose(shift * 0.075, [true[0], -true[1]], atol=0.8 * 0.075)
    np.testing.assert_allclose(wrong.shifted(shift).rlp, right.rlp, atol=8e-4)


def test_power_is_one_for_a_period_and_sharpening_reaches_it() -> None:
    spots, rows = spots_from(5, n_spots=200, foreign=0.0, noise_px=0.0, noise_images=0.0)
    weights = np.ones(len(spots))
    np.testing.assert_allclose(power(spots.rlp, rows, weights), 1.0, atol=1e-5)
    off = rows + np.random.default_rng(0).normal(size=(3, 3)) * 0.15
    sharp = sharpen(spots.rlp, off, weights, n_steps=8)
    assert np.all(power(spots.rlp, sharp, weights) > power(spots.rlp, off, weights))
    assert power(spots.rlp, sharp, weights).min() > 0.99


def test_power_against_the_plain_sum() -> None:
    rng = np.random.default_rng(1)
    rlp, vectors, w = rng.normal(size=(40, 3)), rng.normal(size=(7, 3)) * 5, rng.random(40)
    plain = [abs(sum(w[i] * np.exp(2j * np.pi * rlp[i] @ v) for i in range(40))) ** 2 / w.sum() ** 2 for v in vectors]
    np.testing.assert_allclose(power(rlp, vectors, w), plain)


def test_half_of_the_map_is_read_as_the_whole() -> None:
    rng = np.random.default_rng(2)
    n = 16
    full = np.abs(np.fft.fftn(rng.random((n, n, n)))) ** 2
    half = full[:, :, : n // 2 + 1]
    x, y, z = rng.integers(-30, 30, size=(3, 200))
    np.testing.assert_allclose(fft3d._at(half, x, y, z, n), full[x % n, y % n, z % n])


def test_hemisphere_is_covered() -> None:
    grid = hemisphere(0.1)
    np.testing.assert_allclose(np.linalg.norm(grid, axis=1), 1.0)
    probe = np.random.default_rng(0).normal(size=(500, 3))
    probe /= np.linalg.norm(probe, axis=1, keepdims=True)
    assert np.arccos(np.clip(np.abs(probe @ grid.T).max(axis=1), -1, 1)).max() < 0.1


@pytest.mark.parametrize("wedge", [5.0, 1.0])
def test_a_known_cell_is_oriented_from_one_good_direction(wedge: float) -> None:
    spots, rows = spots_from(8, n_spots=100, wedge=wedge)
    known = rows @ np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    known = known * np.sign(np.linalg.det(known) * np.linalg.det(rows))
    periods = directions_of_known_length(spots.rlp, known, RealSpaceGridSearch())
    tried = [evaluate_known(spots, r, tolerance=0.3, max_shift=4.0) for r in orientations(spots.rlp, known, periods)]
    best = max((c for c in tried if c is not None), key=lambda c: c.fit)
    assert same_lattice(best.rows, rows, tolerance=0.15)


def test_overlapping_boxes_against_all_pairs() -> None:
    rng = np.random.default_rng(4)
    low = rng.integers(0, 30, size=(150, 3))
    size = rng.integers(1, 5, size=(150, 3))
    box = np.column_stack([low[:, 0], low[:, 0] + size[:, 0], low[:, 1], low[:, 1] + size[:, 1],
                           low[:, 2], low[:, 2] + size[:, 2]])  # fmt: skip
    panel = rng.integers(0, 2, size=150)
    plain = np.zeros(150, dtype=bool)
    for i in range(150):
        for j in range(150):
            if i != j and panel[i] == panel[j]:
                plain[i] |= all(box[i, k] < box[j, k + 1] and box[j, k] < box[i, k + 1] for k in (0, 2, 4))
    assert np.array_equal(boxes_overlap(box, panel), plain)


def test_ice_rings_of_hexagonal_ice() -> None:
    spacing = 1 / np.sqrt(ice_lines(1.9))
    for d in (3.895, 3.669, 3.438, 2.671, 2.249, 2.072, 1.948, 1.918):  # the rings every crystallographer knows
        assert np.abs(spacing - d).min() < 0.006
    assert on_ice_ring(np.array([[1 / 3.669, 0, 0], [1 / 3.1, 0, 0]])).tolist() == [True, False]


def test_max_cell_is_a_little_longer_than_the_longest_axis() -> None:
    spots, rows = spots_from(2, n_spots=1500, foreign=0.0, noise_px=0.05, noise_images=0.05)
    estimate = estimate_max_cell([spots.table], MaxCellEstimation())
    assert 0.9 < estimate / np.linalg.norm(rows, axis=1).max() < 2.5


def test_max_cell_needs_neighbours() -> None:
    spots, _ = spots_from(2, n_spots=9, foreign=0.0)
    with pytest.raises(MxdaskError, match="too few to estimate max_cell"):
        estimate_max_cell([spots.table], MaxCellEstimation())
    with pytest.raises(MxdaskError, match="0 neighbouring spots"):
        estimate_max_cell([ReflectionTable.empty(["id"])], MaxCellEstimation())
