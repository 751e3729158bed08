"""Another choice of axes leaves reciprocal space as it is."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_sweeps import TRICLINIC, a_crystal, several

from mxdask.errors import MxdaskError, ParameterError
from mxdask.lattice.operators import parse_change_of_basis
from mxdask.lists.reindexing import group_in_new_axes, reindex_crystal, reindex_list, reindex_table
from mxdask.lists.to_reference import by_intensities, by_orientation, merged
from mxdask.table import ReflectionTable


@given(st.sampled_from(["b,c,a", "-a,-b,c", "a+b,b,c", "h,-k,-l", "x-y,x,z"]))
def test_positions_in_reciprocal_space_stay(op):
    P = parse_change_of_basis(op)
    crystal = a_crystal(3, TRICLINIC)
    points = np.array([crystal.A, crystal.A * 1.001])
    crystal = crystal.with_A(crystal.A, A_at_scan_points=points)
    new = reindex_crystal(crystal, P)
    hkl = np.array([[1, 2, 3], [-4, 0, 7]])
    table, lost = reindex_table(ReflectionTable({"id": np.zeros(2, int), "miller_index": hkl}), [P])
    assert lost == 0
    assert np.allclose(table["miller_index"] @ new.A.T, hkl @ crystal.A.T)
    assert np.allclose(table["miller_index"] @ new.A_at_scan_points[1].T, hkl @ points[1].T)


def test_the_space_group_turns_with_the_axes():
    P = parse_change_of_basis("b,c,a")
    assert group_in_new_axes(gemmi.SpaceGroup("P 1 21 1"), P).hm in ("P 21 1 1", "P 1 1 21")
    assert group_in_new_axes(gemmi.SpaceGroup("P 21 21 2"), P).hm != "P 21 21 2"
    turned = gemmi.SpaceGroup("P 1 21 1")
    for _ in range(3):
        turned = group_in_new_axes(turned, P)
    assert turned.hm == "P 1 21 1"


def test_offset_moves_indexed_reflections_only_and_fractions_are_counted():
    table = ReflectionTable({"id": np.array([0, 0, -1]), "miller_index": [[1, 1, 0], [2, 1, 0], [0, 0, 0]]})
    moved, _ = reindex_table(table, [np.eye(3)], (0, 0, 1))
    assert moved["miller_index"].tolist() == [[1, 1, 1], [2, 1, 1], [0, 0, 0]]
    halved, lost = reindex_table(table, [np.diag([0.5, 1, 1])])
    assert lost == 1
    assert halved["miller_index"].tolist() == [[0, 0, 0], [1, 1, 0], [0, 0, 0]]


def test_shared_crystals_stay_shared_and_cells_obey_the_group():
    experiments, _ = several(1, 5)
    twice = experiments.with_experiments([experiments[0], experiments[0].evolve(identifier="x")])
    new = reindex_list(twice, [parse_change_of_basis("b,c,a")] * 2, gemmi.SpaceGroup("P 4 3 2"))
    assert new[0].crystal is new[1].crystal
    assert np.ptp(new[0].crystal.cell[:3]) < 1e-9


def test_orientation_nearest_to_the_reference():
    crystal = a_crystal(5)  # cubic metric in P 1
    for op in ("b,c,a", "-b,a,c", "-a,b,-c"):
        disguised = crystal.change_basis(parse_change_of_basis(op), " P 1")
        best = by_orientation(disguised, crystal, 5.0)[0]
        assert -best.score < 1e-6
        assert np.allclose(best.P @ parse_change_of_basis(op), np.eye(3))


def test_a_different_lattice_is_no_reference():
    with pytest.raises(MxdaskError, match="not that of the reference"):
        by_orientation(a_crystal(1), a_crystal(1, TRICLINIC), 5.0)


@pytest.mark.parametrize("op", ["a,b,c", "b,a,-c"])
def test_ambiguity_is_resolved_by_intensities(op):
    P = parse_change_of_basis(op)
    crystal = a_crystal(2, (78, 78, 37, 90, 90, 90), "P 4")
    rng = np.random.default_rng(0)
    hkl = np.unique(rng.integers(-6, 7, (400, 3)), axis=0)
    hkl = hkl[np.any(hkl != 0, axis=1)]
    intensity = rng.exponential(100.0, len(hkl))
    reference = merged([_table(hkl, intensity)], crystal)
    measured = reference.intensity + rng.normal(0, 5, len(reference))
    turned = np.rint(reference.hkl @ P.T).astype(int)
    other = crystal.change_basis(P)
    best = by_intensities(other, _table(turned, measured), crystal, reference, 5.0)
    back = best[0].P @ P
    assert best[0].score > 0.95 > best[1].score + 0.5
    assert abs(back[2, 2]) == 1 and back[2, 2] == np.linalg.det(back[:2, :2])  # in 4, up to Friedel's law
    assert np.allclose(abs(back), np.round(abs(back)))


def _table(hkl, intensity):
    return ReflectionTable(
        {
            "id": np.zeros(len(hkl), int),
            "flags": np.zeros(len(hkl), int),
            "miller_index": hkl,
            "intensity.sum.value": intensity,
            "intensity.sum.variance": np.full(len(hkl), 25.0),
        }
    )


def test_nonsense_change_of_basis():
    with pytest.raises(MxdaskError, match="three terms"):
        parse_change_of_basis("a,b")
    with pytest.raises(ParameterError, match="no symbol"):
        group_in_new_axes(gemmi.SpaceGroup("P 21 21 21"), parse_change_of_basis("a+b,b,c"))
