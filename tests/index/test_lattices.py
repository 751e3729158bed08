"""Cells from periods: reduction, equality, cells that are too large, known cells, clusters of cells."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_spots import CUBIC_I, TRICLINIC, random_rotation

from mxdask.errors import ParameterError
from mxdask.index.consensus import consensus_cell
from mxdask.index.known_symmetry import TargetSymmetry, match_cell
from mxdask.index.lattices import combinations, reduced, same_lattice, smallest_rotation, too_large
from mxdask.index.params import KnownSymmetry
from mxdask.lattice.cells import minimum_cell
from mxdask.lattice.metric import lattice_group
from mxdask.models.crystal import cell_parameters, orthogonalisation_matrix


def rows_of(cell: tuple[float, ...], seed: int = 0, centring: str = "P") -> np.ndarray:
    rows = orthogonalisation_matrix(cell).T @ random_rotation(np.random.default_rng(seed)).T
    return minimum_cell(cell, centring)[0] @ rows


def unimodular(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    P = np.eye(3, dtype=int)
    for _ in range(6):
        i, j = rng.choice(3, 2, replace=False)
        P[i] += int(rng.integers(-1, 2)) * P[j]
    return P


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_reduction_finds_the_same_cell_from_any_basis(seed: int) -> None:
    rows = reduced(rows_of(TRICLINIC[0], seed))
    again = reduced(unimodular(seed) @ rows)
    assert same_lattice(rows, again)
    np.testing.assert_allclose(cell_parameters(again), cell_parameters(rows), rtol=1e-6)
    assert np.linalg.det(again) > 0


def test_a_rhombohedral_primitive_cell_is_written_with_obtuse_angles() -> None:
    rows = rows_of(CUBIC_I[0], 3, "I") * np.array([[1.0], [-1.0], [1.0]])
    cell = cell_parameters(reduced(rows))
    np.testing.assert_allclose(cell[3:], 109.4712, atol=1e-3)


@pytest.mark.parametrize(
    "large",
    [
        [[2, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[1, 1, 0], [-1, 1, 0], [0, 0, 1]],
        [[-1, 1, 1], [1, -1, 1], [1, 1, -1]],  # volume 4: cut twice
        [[1, 1, 0], [-1, 2, 0], [0, 0, 1]],
        [[1, 2, 0], [-2, 1, 0], [0, 0, 1]],
    ],
)
def test_a_cell_that_is_too_large_is_cut(large: list[list[int]]) -> None:
    small = reduced(rows_of(TRICLINIC[0], 5))
    hkl = np.random.default_rng(0).integers(-8, 9, size=(300, 3))
    assert too_large(small, hkl, 0.9) is None
    rows = np.array(large) @ small
    for _ in range(2):
        found = too_large(rows, np.rint(hkl @ (rows @ np.linalg.inv(small)).T).astype(int), 0.9)
        rows = rows if found is None else found
    assert same_lattice(rows, small)


def test_combinations_start_with_the_best_vectors() -> None:
    rows = rows_of(TRICLINIC[0], 7)
    extra = np.array([rows[0] + rows[1], rows[1] + 2 * rows[2], rows.sum(axis=0)])
    first = next(islice(combinations(np.concatenate([rows, extra])), 1))
    assert same_lattice(first, rows)


def test_match_cell_undoes_any_change_of_basis() -> None:
    rows = rows_of(CUBIC_I[0], 1, "I")
    P = match_cell(np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]]) @ rows * 1.003, rows, 0.05, 2.0)
    assert P is not None
    matched = P @ (np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]]) @ rows)
    np.testing.assert_allclose(matched @ matched.T, rows @ rows.T, atol=1e-6)
    assert match_cell(rows * 1.2, rows, 0.05, 2.0) is None


def test_rotation_between_lattices_is_modulo_symmetry() -> None:
    rows = rows_of(CUBIC_I[0], 2, "I")
    group = lattice_group(cell_parameters(rows), 0.5)
    assert len(group) == 24
    turned = group[17] @ rows
    assert smallest_rotation(turned, rows, group) < 1e-4
    assert smallest_rotation(turned @ _turn(3.0).T, rows, group) == pytest.approx(3.0, abs=1e-6)


def _turn(degrees: float) -> np.ndarray:
    a = np.deg2rad(degrees)
    return np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])


def test_target_in_the_users_setting() -> None:
    target = TargetSymmetry.of(KnownSymmetry(unit_cell=(78, 78, 78, 90, 90, 90), space_group="I213"))
    rows = rows_of(CUBIC_I[0], 4, "I")
    setting = target.match(rows) @ rows
    np.testing.assert_allclose(cell_parameters(setting), CUBIC_I[0], atol=1e-6)
    by_symmetry = TargetSymmetry.of(KnownSymmetry(space_group="I213"))
    np.testing.assert_allclose(cell_parameters(by_symmetry.match(rows) @ rows), CUBIC_I[0], atol=1e-6)
    assert TargetSymmetry.of(KnownSymmetry(space_group="P6122")).match(rows) is None


def test_a_cell_without_the_space_groups_symmetry_is_refused() -> None:
    with pytest.raises(ParameterError, match="does not have the symmetry of P 41 21 2"):
        TargetSymmetry.of(KnownSymmetry(unit_cell=(78, 78, 37, 90, 90, 95), space_group="P41212"))


def test_consensus_is_the_largest_cluster_whatever_the_order() -> None:
    rng = np.random.default_rng(2)
    good = [rows_of(CUBIC_I[0], s, "I") * (1 + 0.002 * rng.normal()) for s in range(6)]
    odd = [rows_of((67.8, 67.8, 110.7, 90.0, 90.0, 70.5), 9), rows_of(TRICLINIC[0], 3)]
    found = consensus_cell([odd[0], *good, odd[1]])
    assert found.members == (1, 2, 3, 4, 5, 6)
    np.testing.assert_allclose(found.cell[:3], 67.46, rtol=0.003)
    again = consensus_cell([*good[::-1], *odd])
    np.testing.assert_allclose(np.sort(again.cell), np.sort(found.cell), rtol=1e-6)
    assert consensus_cell([good[0], *odd]) is None
