"""Groups of crystals with the same structure, found from their intensities; and crystals that belong to none."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from scipy.cluster.hierarchy import linkage

from mxdask.clustering.crystal_data import CrystalData, merge_observations, on_one_scale
from mxdask.clustering.partition import Evidence, as_one, find_partition
from mxdask.clustering.similarity import coordinates, residual_similarity
from mxdask.clustering.standing import Standing, judge, stand


@dataclass(frozen=True, eq=False)
class Groups:
    """Which crystals belong together.

    Attributes
    ----------
    label : (n,) group of each crystal, 0 the largest (ties: the one with the smallest key); -1 belongs to none.
    coordinates : (n, d) points whose dot products are the covariances of the deviations from the mean of all.
    similarity, similarity_sigma : (n, n) error-weighted correlation of those deviations, and what noise alone gives
        (inf without common reflections).
    linkage : (n - 1, 4) Ward's tree of the coordinates, as scipy has it.
    reason : "" for a sound member; else what is wrong with the crystal, whether it belongs to a group or not.
    n_groups : how many groups.
    flaw : per crystal "", or "weak", "damaged", "disturbed" (more than its errors), "unlike", "undecided", "few".
    nearest : (n,) the group that fits best, also of crystals that belong to none.
    difference : 1 - CC between the true normalised intensities of two groups, on average; 0 with one group.
    eigenvalues, noise_eigenvalue : of the matrix of covariances, and what noise alone reaches.
    standing : the measures that flaws come from, rows as crystals.
    """

    label: np.ndarray
    coordinates: np.ndarray
    similarity: np.ndarray
    similarity_sigma: np.ndarray
    linkage: np.ndarray
    reason: list[str]
    n_groups: int
    flaw: list[str]
    nearest: np.ndarray
    difference: float
    eigenvalues: np.ndarray
    noise_eigenvalue: float
    standing: Standing


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
    decay: np.ndarray | None = None,
    evidence: Evidence | None = None,
) -> Groups:
    """Sort crystals by what their intensities say; the number of groups is found.

    Parameters
    ----------
    crystal, reflection : (n,) crystal and unique reflection of each observation; several per pair are averaged.
    intensity, sigma : (n,), scaled or not; indexing ambiguities resolved.
    keys : (n_crystals,) numbers that belong to the crystals: the answer does not depend on the order they come in.
    d_star_sq : (n_reflections,) Å⁻², for normalisation by shells of resolution.
    decay : (n_crystals,) growth of B during the sweep (Å²), see :func:`mxdask.clustering.decay.sweep_decay`.
    """
    order = np.argsort(np.asarray(keys), kind="stable")
    place = np.empty(n_crystals, dtype=np.int64)
    place[order] = np.arange(n_crystals)
    merged = merge_observations(place[np.asarray(crystal)], np.asarray(reflection), intensity, sigma, n_crystals)
    data = on_one_scale(*merged, n_crystals, n_reflections, d_star_sq)
    return _in_order(_find(data, evidence or Evidence(), None if decay is None else decay[order]), place)


def _find(data: CrystalData, evidence: Evidence, decay: np.ndarray | None) -> Groups:
    similarity = residual_similarity(data, as_one(data).noise.variance(data))
    points, eigenvalues, noise = coordinates(similarity, least_dimensions=2)
    tree = linkage(points, "ward") if data.n_crystals > 1 else np.zeros((0, 4))
    found = find_partition(data, evidence)
    standing = stand(data, found)
    label, flaw, reason = judge(standing, found.label, decay)
    label, rank = _by_size(label, found.n_groups)
    return Groups(
        label, points, similarity.r, similarity.sigma, tree, reason, int(label.max(initial=-1)) + 1, flaw,
        rank[found.label], found.difference, eigenvalues, noise, standing,
    )  # fmt: skip


def _by_size(label: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels with the largest group first (ties: the one with the first crystal), and the new number of each group."""
    size = np.bincount(label[label >= 0], minlength=n_groups)
    first = [int(np.argmax(label == g)) if size[g] else len(label) for g in range(n_groups)]
    rank = np.empty(n_groups, dtype=np.int64)
    rank[sorted(range(n_groups), key=lambda g: (-size[g], first[g]))] = np.arange(n_groups)
    rank[size == 0] = -1
    return np.where(label >= 0, rank[label], -1), rank


def _in_order(groups: Groups, place: np.ndarray) -> Groups:
    """Rows as the crystals came: crystal i was worked on in place[i]."""
    position = np.empty(len(place), dtype=np.int64)
    position[place] = np.arange(len(place))
    tree = groups.linkage.copy()
    leaf = tree[:, :2] < len(place)
    tree[:, :2][leaf] = position[tree[:, :2][leaf].astype(np.int64)]
    both = np.ix_(place, place)
    standing = Standing(**{f.name: getattr(groups.standing, f.name)[place] for f in fields(Standing)})
    return replace(
        groups, label=groups.label[place], coordinates=groups.coordinates[place], similarity=groups.similarity[both],
        similarity_sigma=groups.similarity_sigma[both], linkage=tree, reason=[groups.reason[p] for p in place],
        flaw=[groups.flaw[p] for p in place], nearest=groups.nearest[place], standing=standing,
    )  # fmt: skip
