"""Distances and clusters of unit cells, against cctbx's published numbers and a plain search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxdask.clustering.cell_distance import cell_distances, equivalent_cells, g6
from mxdask.clustering.unit_cells import CellLinkage, cluster_unit_cells
from mxdask.lattice.cells import change_cell, metric_tensor, minimum_cell

_GOOD = (67.7, 67.7, 67.7, 109.47, 109.47, 109.47)
_BAD = (67.76, 67.83, 110.69, 89.96, 89.94, 70.52)


def test_cubic_cells_of_60_and_61_angstrom():
    (distance,) = cell_distances([(60, 60, 60, 90, 90, 90), (61, 61, 61, 90, 90, 90)], "PP")
    assert distance == pytest.approx(209.57814772, abs=1e-6)


def test_the_tutorials_bad_cell_is_isolated_by_the_default_threshold():
    distances = cell_distances([_GOOD, _BAD], "PP")
    assert distances[0] == pytest.approx(8799, rel=2e-3)  # front.md 13.5
    result = cluster_unit_cells([_GOOD, _BAD, (67.9, 67.6, 67.75, 109.6, 109.3, 109.5)], "PPP")
    assert [c.members for c in result.clusters] == [(0, 2), (1,)]
    assert result.clusters[0].lattice.bravais == "cI"


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_kernel_is_the_smallest_distance_of_images_either_way(seed):
    rng = np.random.default_rng(seed)
    cells = [np.array(base) * (1 + rng.normal(0, 0.01, 6)) for base in (_GOOD, _BAD, (50, 51, 70, 95, 91, 119))]
    minima = [minimum_cell(c)[1] for c in cells]
    own, images = [g6(metric_tensor(m)) for m in minima], [equivalent_cells(m) for m in minima]
    expected = [
        min(np.linalg.norm(images[i] - own[j], axis=1).min(), np.linalg.norm(images[j] - own[i], axis=1).min())
        for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    assert np.allclose(cell_distances(cells, "PPP"), expected)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_another_choice_of_axes_is_no_distance(seed):
    rng = np.random.default_rng(seed)
    cell = np.array((41, 52, 63, 81, 95, 103)) * (1 + rng.normal(0, 0.01, 6))
    P = np.array([[1, 0, 0], [1, 1, 0], [0, -1, 1]])
    assert cell_distances([cell, change_cell(cell, P)], "PP")[0] < 1e-3


def test_centred_and_primitive_description_of_one_lattice():
    primitive = np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]])
    cell = (78.0, 78, 78, 90, 90, 90)
    assert cell_distances([cell, change_cell(cell, primitive)], "IP")[0] < 1e-3


def test_order_of_crystals_only_renames_members():
    rng = np.random.default_rng(3)
    cells = [np.array(_GOOD) * (1 + rng.normal(0, 0.002, 6)) for _ in range(6)] + [np.array(_BAD)] * 2
    turned = cells[::-1]
    first = cluster_unit_cells(cells, "P" * 8, CellLinkage(1000, "average"))
    second = cluster_unit_cells(turned, "P" * 8, CellLinkage(1000, "average"))
    assert {c.members for c in first.clusters} == {tuple(sorted(7 - m for m in c.members)) for c in second.clusters}


def test_one_crystal_is_one_cluster():
    result = cluster_unit_cells([_GOOD], "P")
    assert result.tree.shape == (0, 4)
    assert [c.members for c in result.clusters] == [(0,)]
