"""Metric symmetry: Le Page angles, lattice groups, subgroups in their best settings."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxdask.lattice.cells import cell_of_metric, change_cell, metric_tensor, minimum_cell, similar, symmetrised_cell
from mxdask.lattice.metric import lattice_group, lattice_operators, lattice_twofolds, metric_subgroups
from mxdask.lattice.operators import point_group
from mxdask.lattice.point_groups import closure, contains, same_group, subgroups

# The joint cell of four l-cysteine sweeps and what dials.refine_bravais_settings says about it (front.md A15).
L_CYSTEINE = (5.495698, 8.207543, 12.162378, 90.13729, 89.70592, 89.81624)

N_SUBGROUPS = {"P 1": 1, "P 2": 2, "P 2 2 2": 5, "P 4 2 2": 10, "R 3 2": 6, "P 6 2 2": 16, "I 4 3 2": 30}


def test_l_cysteine_settings_are_those_of_dials() -> None:
    found = metric_subgroups(L_CYSTEINE, holohedries_only=True)
    assert [s.bravais for s in found] == ["oP", "mP", "mP", "mP", "aP"]
    assert [round(s.delta, 4) for s in found] == pytest.approx([0.3472, 0.3472, 0.3250, 0.2299, 0.0], abs=1e-4)
    assert found[0].cb_op == "a,b,c"
    assert found[1].cell == pytest.approx([8.2075, 5.4957, 12.1624, 90, 90.137, 90], abs=1e-3)


@pytest.mark.parametrize(
    ("cell", "centring", "bravais", "count"),
    [
        ((78, 78, 78, 90, 90, 90), "I", "cI", 30),
        ((80, 80, 80, 90, 90, 90), "F", "cF", 30),
        ((50, 50, 50, 90, 90, 90), "P", "cP", 30),
        ((60, 60, 100, 90, 90, 120), "P", "hP", 16),
        ((60, 60, 130, 90, 90, 120), "R", "hR", 6),
        ((78, 78, 37, 90, 90, 90), "P", "tP", 10),
        ((78, 78, 137, 90, 90, 90), "I", "tI", 10),
        ((40, 50, 60, 90, 90, 90), "F", "oF", 5),
        ((40, 50, 63, 90, 90, 90), "I", "oI", 5),
        ((40, 57, 63, 90, 90, 90), "C", "oC", 5),
        ((40, 57, 63, 90, 100, 90), "P", "mP", 2),
        ((40, 57, 63, 80, 100, 95), "P", "aP", 1),
    ],
)
def test_every_lattice_type_is_recognised(cell: tuple[float, ...], centring: str, bravais: str, count: int) -> None:
    found = metric_subgroups(cell, centring)
    assert len(found) == count
    assert found[0].bravais == bravais
    assert found[-1].bravais == "aP"
    for setting in found:
        expected = change_cell(cell, setting.P_input_best)
        assert similar(expected, setting.cell, length_tolerance=1e-3, angle_tolerance=0.1)
        conventional = np.rint(setting.P_minimum_best @ setting.ops @ np.linalg.inv(setting.P_minimum_best))
        assert same_group(conventional.astype(int), point_group(setting.space_group))


def test_standard_cell_is_left_alone() -> None:
    assert metric_subgroups((60, 60, 130, 90, 90, 120), "R")[0].cb_op == "a,b,c"
    assert metric_subgroups((40, 57, 63, 90, 90, 90), "C")[0].cb_op == "a,b,c"


def test_orthorhombic_axes_are_sorted() -> None:
    best = metric_subgroups((63, 40, 57, 90, 90, 90))[0]
    assert best.cell[:3] == pytest.approx([40, 57, 63])


def test_i2_only_where_beta_is_smaller_and_wanted() -> None:
    cell = (100, 50, 70, 90, 115, 90)
    assert metric_subgroups(cell, "C")[0].bravais == "mI"
    assert metric_subgroups(cell, "C")[0].cell[4] < 115
    assert metric_subgroups(cell, "C", best_monoclinic_beta=False)[0].bravais == "mC"


@pytest.mark.parametrize(("symbol", "count"), N_SUBGROUPS.items())
def test_number_of_subgroups(symbol: str, count: int) -> None:
    found = subgroups(point_group(gemmi.SpaceGroup(symbol)))
    assert len(found) == count
    for group in found:
        again = closure(group)
        assert again is not None
        assert same_group(again, group)


def test_infinite_group_is_refused() -> None:
    shear = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    assert closure([shear]) is None


def test_twofolds_of_a_cubic_lattice() -> None:
    found = lattice_twofolds((50, 50, 50, 90, 90, 90), 1.0)
    assert len(found) == 9
    assert max(delta for _, delta in found) < 1e-6


# any reasonable cell, distorted a little and seen in a random primitive basis
_BASES = st.lists(st.sampled_from([(0, 1, 1), (0, 2, -1), (1, 0, -1), (1, 2, 1), (2, 0, 1), (2, 1, -1)]), max_size=4)


@given(
    st.sampled_from(
        [("I", (78, 78, 78, 90, 90, 90)), ("P", (60, 60, 100, 90, 90, 120)), ("P", (30, 40, 50, 90, 99, 90))]
    ),
    _BASES,
)
@settings(deadline=None, max_examples=25)
def test_metric_symmetry_does_not_depend_on_the_basis(
    lattice: tuple[str, tuple[float, ...]], steps: list[tuple[int, int, int]]
) -> None:
    centring, cell = lattice
    _, minimum = minimum_cell(cell, centring)
    P = np.eye(3)
    for row, other, factor in steps:
        shear = np.eye(3)
        shear[row, other] = factor
        P = shear @ P
    moved = metric_subgroups(change_cell(minimum, P))
    straight = metric_subgroups(cell, centring)
    assert [s.bravais for s in moved] == [s.bravais for s in straight]
    assert moved[0].cell == pytest.approx(straight[0].cell, abs=1e-6)


def test_symmetrised_cell_obeys_its_group() -> None:
    minimum = np.array([67.7, 67.6, 67.65, 109.4, 109.5, 109.55])
    group = lattice_group(minimum, 5.0)
    assert len(group) == 24
    metric = metric_tensor(symmetrised_cell(minimum, group))
    for W in group:
        np.testing.assert_allclose(W @ metric @ W.T, metric, atol=1e-8)
        assert contains(group, np.rint(np.linalg.inv(W)).astype(int))
    assert cell_of_metric(metric)[:3] == pytest.approx([67.65] * 3, abs=0.05)


@pytest.mark.parametrize(
    ("cell", "centring", "count"),
    [((78, 78, 78, 90, 90, 90), "I", 24), ((60, 70, 80, 90, 105, 90), "C", 2), ((50, 50, 120, 90, 90, 120), "R", 6)],
)
def test_operators_of_a_lattice_keep_its_cell_and_centring(cell: tuple, centring: str, count: int) -> None:
    operators = lattice_operators(cell, centring)
    assert operators.dtype.kind == "i" and len(operators) == count
    np.testing.assert_array_equal(operators[0], np.eye(3))
    reciprocal = np.linalg.inv(metric_tensor(cell))
    np.testing.assert_allclose(operators.transpose(0, 2, 1) @ reciprocal @ operators, [reciprocal] * count, atol=1e-12)
