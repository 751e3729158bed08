"""Numbers behind the pictures, and pages that need no network."""

from __future__ import annotations

import re

import numpy as np
import pytest
from synthetic_sweeps import several

from mxdask.clustering.params import ProjectionParams
from mxdask.clustering.pictures import bins, dendrogram_page, histogram_page, projection_page, within_fences
from mxdask.clustering.projection import equivalents, poles, stereographic
from mxdask.clustering.unit_cells import cluster_cells_of


def test_stereographic_projection_keeps_the_tangent_of_half_the_angle():
    angle = np.deg2rad([0, 30, 90])
    vectors = np.column_stack([np.sin(angle), 0 * angle, np.cos(angle)])
    assert np.allclose(stereographic(vectors, np.array([0, 0, 1.0]))[:, 0], np.tan(angle / 2))
    assert np.allclose(
        stereographic(-vectors[:2], np.array([0, 0, 1.0])), stereographic(vectors[:2], np.array([0, 0, 1.0]))
    )
    assert np.allclose(stereographic(np.array([[0, 2.0, 0]]), np.array([0, 1.0, 0])), 0)


def test_poles_of_all_crystals_lie_in_the_unit_circle_and_equivalents_are_shown_once():
    experiments, _ = several(3, 1)
    found = poles(experiments, ProjectionParams(hkl=((1, 0, 0),)))
    assert len(found[0].xy) == 3
    assert np.all(np.linalg.norm(found[0].xy, axis=1) <= 1 + 1e-12)
    assert equivalents(np.array([1, 0, 0]), experiments[0].crystal).tolist() == [[1, 0, 0]]


def test_histogram_counts_everything_within_the_fences():
    values = np.array([77.9, 78.0, 78.0, 78.1, 120.0])
    inside = within_fences(values, 1.5)
    assert inside.tolist() == [77.9, 78.0, 78.0, 78.1]
    counts, edges = bins(inside, 20)
    assert counts.sum() == 4
    assert np.allclose(np.diff(edges), 0.05)


@pytest.mark.parametrize("n", [2, 3])
def test_pages_hold_their_scripts(n):
    experiments, _ = several(n, 1)
    names = [e.name for e in experiments]
    cells = np.array([e.crystal.cell for e in experiments])
    tree = cluster_cells_of(experiments).tree
    for page in (
        dendrogram_page(tree, names, 5000.0),
        dendrogram_page(tree, names, 5000.0, logarithmic=True),
        histogram_page(cells, 20, 1.5),
        projection_page(poles(experiments, ProjectionParams()), names),
    ):
        assert page.lstrip().startswith("<!DOCTYPE html>")
        assert not re.search(r'<(script|link|img)[^>]*(src|href)="http', page)
