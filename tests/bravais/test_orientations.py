"""Misorientations of crystals turned by known rotations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mxdask.bravais.orientations import (
    Params,
    direction_angle,
    misorientations,
    symmetry_operators,
)
from mxdask.models import Crystal
from mxdask.models.crystal import b_matrix


def _crystal(turn: Rotation, cell: tuple[float, ...] = (78, 78, 37, 90, 90, 90), hall: str = " P 4 2") -> Crystal:
    return Crystal.from_A(turn.as_matrix() @ b_matrix(cell), hall)


@given(st.floats(0.001, 40.0), st.integers(0, 7), st.integers(0, 10_000))
def test_known_rotation_is_found_whatever_equivalent_axes_the_second_crystal_has(
    angle: float, choice: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    start = Rotation.random(random_state=seed)
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    first, second = _crystal(start), _crystal(Rotation.from_rotvec(np.deg2rad(angle) * axis) * start)
    operators = symmetry_operators(first, Params())
    disguised = second.change_basis(operators[choice])
    (pair,) = misorientations([first, disguised], [operators, operators])
    assert pair.angle == pytest.approx(angle, abs=1e-6)
    assert np.allclose(pair.axis, axis, atol=1e-6 * 180 / angle)
    assert direction_angle(first, disguised, pair, (1, 0, 0)) <= angle + 1e-6


def test_lattice_symmetry_takes_in_more_than_the_space_group() -> None:
    first, second = (
        _crystal(Rotation.identity(), hall=" P 1"),
        _crystal(Rotation.from_euler("z", 89, degrees=True), hall=" P 1"),
    )
    plain = [symmetry_operators(c, Params()) for c in (first, second)]
    lattice = [symmetry_operators(c, Params(symmetry="lattice")) for c in (first, second)]
    (far,), (near,) = (misorientations([first, second], ops) for ops in (plain, lattice))
    assert far.angle == pytest.approx(89)
    assert near.angle == pytest.approx(1)


def test_sequential_compares_neighbours_only() -> None:
    crystals = [_crystal(Rotation.from_euler("x", a, degrees=True)) for a in (0, 5, 12)]
    operators = [symmetry_operators(c, Params()) for c in crystals]
    pairs = list(misorientations(crystals, operators, "sequential"))
    assert [(p.first, p.second) for p in pairs] == [(0, 1), (1, 2)]
    assert [p.angle for p in pairs] == pytest.approx([5, 7])
