"""How far apart two lattices are (Andrews & Bernstein 2014, J. Appl. Cryst. 47, 346: G6; decision on the images)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mxdask.clustering.distance_kernels import nearest_images
from mxdask.lattice.cells import metric_tensor, minimum_cell
from mxdask.lattice.common_setting import unimodular_choices

# Bases whose squared lengths sum to at most this much above the smallest sum count as ways to describe the lattice:
# those that errors of a few per cent could make the reduced one.
NEARLY_REDUCED = 0.1


def g6(metric: np.ndarray) -> np.ndarray:
    """(…, 6) a², b², c², 2bc cos α, 2ac cos β, 2ab cos γ (Å²) of metric tensors (…, 3, 3)."""
    G = np.asarray(metric)
    return np.stack(
        [G[..., 0, 0], G[..., 1, 1], G[..., 2, 2], 2 * G[..., 1, 2], 2 * G[..., 0, 2], 2 * G[..., 0, 1]], axis=-1
    )


def equivalent_cells(minimum: Any) -> np.ndarray:
    """(k, 6) distinct G6 vectors of all nearly reduced bases of a lattice given by its minimum cell (Å, degrees)."""
    choices = unimodular_choices()
    vectors = g6(choices @ metric_tensor(minimum) @ choices.transpose(0, 2, 1))
    size = vectors[:, :3].sum(axis=1)
    near = vectors[size <= (1 + NEARLY_REDUCED) * size.min()]
    return np.unique(np.round(near, 6), axis=0)


def cell_distances(cells: Sequence[Any], centrings: Sequence[str]) -> np.ndarray:
    """Condensed (n(n-1)/2,) distances between lattices in Å², in the order of ``scipy.spatial.distance.pdist``.

    The Euclidean distance of reduced cells in G6, the smallest over all nearly reduced ways to choose the axes of
    either: a reduced cell may jump when noise takes it over a boundary of the Niggli cone, its images do not. Two
    cubic cells of 60 and 61 Å are √3·121 Å² apart.

    Parameters
    ----------
    cells : (6,) each, Å and degrees. centrings : centring letter of each.
    """
    minima = [minimum_cell(cell, centring)[1] for cell, centring in zip(cells, centrings, strict=True)]
    images = [equivalent_cells(m) for m in minima]
    offset = np.concatenate([[0], np.cumsum([len(i) for i in images])]).astype(np.int64)
    vectors = np.array([g6(metric_tensor(m)) for m in minima]).reshape(-1, 6)
    return nearest_images(vectors, np.concatenate([*images, np.zeros((0, 6))]), offset)
