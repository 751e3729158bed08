"""Indices passed on from spot to spot."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_spots import TRICLINIC, make_sweep, random_rotation

from mxdask.flow import Flow
from mxdask.index.assign import assign
from mxdask.index.assign_local import assign_local
from mxdask.index.params import LocalAssignment, Params
from mxdask.index.step import run
from mxdask.models import rotation_matrix
from mxdask.models.crystal import orthogonalisation_matrix
from mxdask.params import parse


def lattice_points() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A (3, 3), indices and points of all nodes of a lattice up to index 9."""
    rows = orthogonalisation_matrix(TRICLINIC[0]).T @ random_rotation(np.random.default_rng(1)).T
    A = np.linalg.inv(rows)
    hkl = np.array([h for h in np.ndindex(19, 19, 5)]) - (9, 9, 2)
    hkl = hkl[np.any(hkl != 0, axis=1)]
    return A, hkl, hkl @ A.T


def test_an_orientation_that_is_off_keeps_its_indices() -> None:
    A, hkl, rlp = lattice_points()
    turned = rotation_matrix((0.2, 1.0, -0.5), np.deg2rad(4.0)) @ A
    found = assign_local(rlp, np.zeros(len(rlp)), [turned], LocalAssignment())
    right = np.all(found.hkl == hkl, axis=1)
    assert right.mean() > 0.99
    simple = assign(rlp, [turned], tolerance=0.3)
    assert np.all(simple.hkl == hkl, axis=1).mean() < 0.7


def test_foreign_points_are_left_out_and_disputed_ones_belong_to_none() -> None:
    A, hkl, rlp = lattice_points()
    rng = np.random.default_rng(0)
    strangers = rng.uniform(rlp.min(0), rlp.max(0), size=(200, 3))
    points = np.concatenate([rlp, strangers])
    found = assign_local(points, np.zeros(len(points)), [A], LocalAssignment())
    assert np.array_equal(found.hkl[: len(hkl)], hkl)
    assert np.mean(found.lattice[len(hkl) :] >= 0) < 0.2
    both = assign_local(rlp, np.zeros(len(rlp)), [A, A], LocalAssignment())
    assert np.all(both.lattice == -1)
    none = assign_local(rlp[:1], np.zeros(1), [A], LocalAssignment())
    assert none.lattice.tolist() == [-1]


@pytest.mark.parametrize("method", ["simple", "local"])
def test_either_method_indexes_a_sweep(method: str) -> None:
    sweep = make_sweep(21, TRICLINIC, n_spots=400, foreign=0.1)
    from synthetic_spots import join

    with Flow("sync") as flow:
        _, table, _ = run(*join([sweep]), parse(Params, [f"index_assignment.method={method}"]), flow=flow)
    indexed = table["id"] >= 0
    assert indexed.sum() > 0.95 * np.count_nonzero(sweep.lattice >= 0)
