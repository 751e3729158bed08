"""Changes of basis: notation, cosets, crystals, and one setting for many crystals."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxdask.errors import MxdaskError, ParameterError
from mxdask.lattice.cells import change_cell, similar
from mxdask.lattice.common_setting import cluster_cells
from mxdask.lattice.operators import (
    abc_of,
    constrain_crystal,
    hkl_of,
    left_cosets,
    parse_change_of_basis,
    point_group,
    reindex,
    xyz_of,
)
from mxdask.lattice.space_groups import parse_space_group, patterson_symbol, symmorphic
from mxdask.models.crystal import Crystal, orthogonalisation_matrix


@pytest.mark.parametrize("text", ["a+b,a+c,-b-c", "b,c,a", "-a,-b,c", "1/2*a+1/2*b,-1/2*a+1/2*b,c"])
def test_notation_round_trip(text: str) -> None:
    P = parse_change_of_basis(text)
    assert abc_of(P) == text
    np.testing.assert_allclose(parse_change_of_basis(xyz_of(P)), P, atol=1e-12)
    np.testing.assert_allclose(parse_change_of_basis(hkl_of(P)), P, atol=1e-12)


def test_notations_agree_with_gemmi() -> None:
    P = parse_change_of_basis("x-y,x,z")
    np.testing.assert_allclose(P, np.linalg.inv([[1, -1, 0], [1, 0, 0], [0, 0, 1]]).T)
    assert list(reindex(np.array([[1, 2, 3]]), parse_change_of_basis("b,c,a"))[0][0]) == [2, 3, 1]


@pytest.mark.parametrize("text", ["a,b", "a,a,c", "nonsense", "1,2,3"])
def test_bad_change_of_basis_says_so(text: str) -> None:
    with pytest.raises(MxdaskError, match="change of basis"):
        parse_change_of_basis(text)


def test_reindexing_drops_what_becomes_fractional() -> None:
    P = parse_change_of_basis("1/2*a,b,c")
    moved, integral = reindex(np.array([[2, 1, 1], [1, 1, 1]]), P)
    assert integral.tolist() == [True, False]
    assert moved[0].tolist() == [1, 1, 1]


def test_left_cosets_divide_the_group() -> None:
    lattice, laue = point_group(gemmi.SpaceGroup("P 4 3 2")), point_group(gemmi.SpaceGroup("P 2 3"))
    found = left_cosets(lattice, laue)
    assert len(found) == 2
    members = {tuple((g @ h).ravel()) for g in found for h in laue}
    assert len(members) == 24
    with pytest.raises(MxdaskError):
        left_cosets(laue, lattice)


def test_constrained_crystal_has_the_averaged_metric_and_stays_put() -> None:
    real = orthogonalisation_matrix((78.0, 78.2, 37.1, 90.1, 89.9, 90.05)).T
    crystal = Crystal(real, A_at_scan_points=np.array([np.linalg.inv(real), np.linalg.inv(real * 1.001)]))
    tetragonal = constrain_crystal(crystal, gemmi.SpaceGroup("P 4 2 2"))
    assert tetragonal.cell == pytest.approx([78.1, 78.1, 37.1, 90, 90, 90], abs=1e-3)
    assert tetragonal.space_group.hm == "P 4 2 2"
    cosines = np.einsum("ij,ij->i", tetragonal.real_space, real) / np.linalg.norm(real, axis=1) ** 2
    assert np.all(np.abs(cosines - 1) < 2e-3)
    assert tetragonal.A_at_scan_points is not None
    assert Crystal.from_A(tetragonal.A_at_scan_points[1]).cell[0] == pytest.approx(78.1 * 1.001, abs=1e-3)


def test_space_groups_as_users_write_them() -> None:
    assert parse_space_group("P43212").number == 96
    assert parse_space_group("19").hm == "P 21 21 21"
    assert parse_space_group("R 3").ext == "H"
    assert symmorphic(parse_space_group("I213")).hm == "I 2 3"
    assert patterson_symbol(parse_space_group("P212121")) == "P m m m"
    with pytest.raises(ParameterError, match="no such space group"):
        parse_space_group("P5")


@given(st.lists(st.integers(0, 23), min_size=4, max_size=4), st.integers(0, 2**31))
@settings(deadline=None, max_examples=15)
def test_like_crystals_come_to_one_cell_however_they_were_indexed(choices: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    base = np.array([41.0, 52.0, 63.0, 90, 97, 90])
    shears = [np.eye(3), np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1]]), np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])]
    cells = [change_cell(base * (1 + rng.normal(0, 1e-3, 6)), shears[c % 3]) for c in choices]
    cells.append(np.array([41.0, 52.0, 75.0, 90, 97, 90]))
    clusters = cluster_cells(cells, ["P"] * 5)
    assert [len(c.members) for c in clusters] == [4, 1]
    for row, P in zip(clusters[0].members, clusters[0].P, strict=True):
        assert similar(change_cell(cells[row], P), clusters[0].median, length_tolerance=0.01, angle_tolerance=1.0)
        assert np.linalg.det(P) == pytest.approx(1.0)
