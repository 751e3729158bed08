"""Groups of crystals with the same structure, found from their intensities; and crystals that belong to none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import linkage

from mxdask.clustering.crystal_data import CrystalData, merge_observations, on_one_scale
from mxdask.clustering.partition import Evidence, compact, find_partition, one_group_noise, settle
from mxdask.clustering.similarity import coordinates, residual_similarity
from mxdask.clustering.species_model import GroupMeans


@dataclass(frozen=True, eq=False)
class Groups:
    """Which crystals belong together.

    Attributes
    ----------
    label : (n,) group of each crystal, 0 the largest (ties: the one with the smallest key); -1 belongs to none.
    coordinates : (n, d) points whose dot products are the covariances of the deviations from the mean of all.
    similarity, similarity_sigma : (n, n) error-weighted correlation of those deviations, and what noise alone gives.
    linkage : (n - 1, 4) Ward's tree of the coordinates, as scipy has it.
    reason : (n,) "" for members; else what the crystal is an outlier of.
    n_groups : how many groups.
    """

    label: np.ndarray
    coordinates: np.ndarray
    similarity: np.ndarray
    similarity_sigma: np.ndarray
    linkage: np.ndarray
    reason: list[str]
    n_groups: int
    eigenvalues: np.ndarray
    eigenvalue_of_noise: float


def find_groups(
    crystal: np.ndarray,
    reflection: np.ndarray,
    intensity: np.ndarray,
    sigma: np.ndarray,
    n_crystals: int,
    n_reflections: int,
    keys: np.ndarray,
    *,
    d_star_sq: np.ndarray | None = None,
    evidence: Evidence | None = None,
) -> Groups:
    """Sort crystals by what their intensities say.

    Parameters
    ----------
    crystal, reflection : (n,) crystal and unique reflection of each observation; several per pair are averaged.
    intensity, sigma : (n,), scaled or not, with the errors that the error model gives.
    keys : (n_crystals,) numbers that belong to the crystals: the answer does not depend on the order they come in.
    d_star_sq : (n_reflections,) Å⁻², for normalisation by shells of resolution.
    """
    order = np.argsort(np.asarray(keys), kind="stable")
    place = np.empty(n_crystals, dtype=np.int64)
    place[order] = np.arange(n_crystals)
    merged = merge_observations(place[np.asarray(crystal)], np.asarray(reflection), intensity, sigma, n_crystals)
    data = on_one_scale(*merged, n_crystals, n_reflections, d_star_sq)
    return _in_order(_find(data, evidence or Evidence()), place)


def _find(data: CrystalData, evidence: Evidence) -> Groups:
    noise = one_group_noise(data)
    similarity = residual_similarity(data, noise.variance(data))
    points, eigenvalues, level = coordinates(similarity, least_dimensions=2)
    tree = linkage(points, "ward") if data.n_crystals > 1 else np.zeros((0, 4))
    label = find_partition(data, evidence)
    label = _by_size(label)
    return Groups(
        label, points, similarity.r, similarity.sigma, tree, [""] * data.n_crystals, int(label.max(initial=-1)) + 1,
        eigenvalues, level,
    )


def _by_size(label: np.ndarray) -> np.ndarray:
    label = compact(label)
    size = np.bincount(label[label >= 0], minlength=label.max(initial=-1) + 1)
    rank = np.empty(len(size), dtype=np.int64)
    rank[np.argsort(-size, kind="stable")] = np.arange(len(size))
    return np.where(label >= 0, rank[label], -1)


def _in_order(groups: Groups, place: np.ndarray) -> Groups:
    """Rows as the crystals came: crystal i was worked on in place[i]."""
    tree = groups.linkage.copy()
    if len(tree):
        position = np.empty(len(place), dtype=np.int64)
        position[place] = np.arange(len(place))
        for column in (0, 1):
            leaf = tree[:, column] < len(place)
            tree[leaf, column] = position[tree[leaf, column].astype(np.int64)]
    both = np.ix_(place, place)
    return Groups(
        groups.label[place], groups.coordinates[place], groups.similarity[both], groups.similarity_sigma[both], tree,
        [groups.reason[p] for p in place], groups.n_groups, groups.eigenvalues, groups.eigenvalue_of_noise,
    )
