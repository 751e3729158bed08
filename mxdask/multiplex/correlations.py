"""Correlation coefficients and cosines between crystals of one symmetry, and the trees made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.optimize import minimize
from scipy.spatial.distance import squareform

from mxdask.cosym.coordinates import NEGLIGIBLE, Problem, elbow, pair_weights, principal_axes
from mxdask.cosym.pairs import PairMatrix, PairRules, ReflectionLists, correlate
from mxdask.cosym.settings_group import SettingsGroup
from mxdask.errors import MxdaskError
from mxdask.intensity.cells import common_space_group, median_cell
from mxdask.intensity.merged_set import MergedSet
from mxdask.intensity.symmetry_data import normalised_set, usable_observations
from mxdask.lattice.operators import point_group
from mxdask.models import ExperimentList
from mxdask.multiplex.correlation_params import Params
from mxdask.table import ReflectionTable


@dataclass(frozen=True, eq=False)
class Tree:
    """A hierarchical tree: distances (n, n), linkage (n - 1, 4) of scipy."""

    matrix: np.ndarray
    linkage: np.ndarray

    def branches(self) -> list[tuple[float, list[int]]]:
        """Height and members (rows) of every branch of two or more, the lowest first."""
        n = len(self.linkage) + 1
        members: list[list[int]] = [[i] for i in range(n)]
        out = []
        for a, b, height, _ in self.linkage:
            members.append(sorted(members[int(a)] + members[int(b)]))
            out.append((float(height), members[-1]))
        return out

    def cut(self, height: float) -> np.ndarray:
        """(n,) label of each row when the tree is cut there."""
        if len(self.linkage) == 0:
            return np.ones(1, dtype=int)
        return np.asarray(fcluster(self.linkage, height, criterion="distance"))


@dataclass(frozen=True, eq=False)
class Correlations:
    """Everything about n crystals in one setting.

    Attributes
    ----------
    cc : (n, n) correlations, 1 on the diagonal, NaN without min_pairs common reflections; pairs : (n, n) how many.
    coordinates : (n, d) points whose dot products are near the correlations.
    functional : (d_max,) target for the first 1, 2 … dimensions.
    cos : (n, n) cosines of the angles between the points.
    cc_tree, cos_tree : of 1 - cc and 1 - cos.
    """

    cc: np.ndarray
    pairs: np.ndarray
    coordinates: np.ndarray
    functional: np.ndarray
    cos: np.ndarray
    cc_tree: Tree
    cos_tree: Tree


def normalised_sets(
    experiments: ExperimentList, tables: Sequence[ReflectionTable], params: Params
) -> list[MergedSet | str]:
    """Merged, normalised intensities of each crystal, or why there are none."""
    group = point_group(common_space_group(experiments))
    cell = np.array(median_cell(experiments).parameters)
    out: list[MergedSet | str] = []
    for experiment, table in zip(experiments, tables, strict=True):
        width = None if experiment.scan is None or experiment.scan.is_still else experiment.scan.width
        try:
            seen = usable_observations(table, params.partiality_threshold, width, params.d_min)
        except MxdaskError as error:
            out.append(str(error))
            continue
        if len(seen) < params.min_reflections:
            out.append(f"{len(seen)} usable reflections, fewer than {params.min_reflections}")
            continue
        out.append(
            normalised_set(seen.hkl, seen.intensity, seen.variance, np.eye(3), cell, group, params.normalisation)
        )
    return out


def correlations(
    sets: Sequence[MergedSet], laue: np.ndarray, seeds: Sequence[int], params: Params
) -> Correlations:  # fmt: skip
    """Matrices, coordinates and trees.

    Parameters
    ----------
    laue : (k, 3, 3) point group in which the sets are merged.
    seeds : one per crystal, made from its data: the start of the search does not depend on the order.
    """
    lists = ReflectionLists.of(sets, laue)
    rules = PairRules(params.min_pairs, params.cc_weights)
    r, n, effective = correlate(lists, lists, SettingsGroup.of(laue, laue), 0, rules)
    pairs = PairMatrix(r[None], n[None], effective[None])
    points, functional = _coordinates(pairs, seeds, params)
    cc = np.where(n >= params.min_pairs, r, np.nan)
    np.fill_diagonal(cc, 1.0)
    length = np.linalg.norm(points, axis=1)
    unit = points / np.where(length > 0, length, 1.0)[:, None]
    cos = np.clip(unit @ unit.T, -1, 1)
    method = params.hierarchical_clustering.linkage_method
    return Correlations(cc, n, points, functional, cos, _tree(np.nan_to_num(cc, nan=0.0), method), _tree(cos, method))


def _tree(similarity: np.ndarray, method: str) -> Tree:
    distance = np.clip(1.0 - 0.5 * (similarity + similarity.T), 0.0, 2.0)
    np.fill_diagonal(distance, 0.0)
    links = linkage(squareform(distance, checks=False), method) if len(distance) > 1 else np.zeros((0, 4))
    return Tree(distance, links)


def _coordinates(pairs: PairMatrix, seeds: Sequence[int], params: Params) -> tuple[np.ndarray, np.ndarray]:
    """Points whose dot products are near the correlations, and the target with the first 1, 2 … of their axes.

    The diagonal is not known, so with many dimensions a crystal could have one for itself. First a penalty on Σ|x|²,
    as strong as noise alone would fill dimensions, empties those; then the target is minimised in the others.
    """
    n = pairs.r.shape[1]
    weights = pair_weights(pairs, params.weights, params.min_pairs)
    d = params.dimensions or min(n, params.max_dimensions)
    points = np.array([np.random.default_rng([params.seed, seed]).random(d) for seed in seeds])
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points = _axes_first(_minimised(points, pairs, weights, _noise_level(pairs, weights)))
    power = np.square(points).mean(axis=0)
    points = points[:, power > NEGLIGIBLE * power[0]]
    points = _axes_first(_minimised(points, pairs, weights, 0.0))
    scan = np.array([_misfit(points[:, :k], pairs, weights) for k in range(1, points.shape[1] + 1)])
    keep = params.dimensions or elbow(scan)
    return points[:, :keep], scan


def _noise_level(pairs: PairMatrix, weights: np.ndarray) -> float:
    """Largest eigenvalue that errors (1 - r²)/√(n - 1) of the correlations give the weighted matrix (Wigner)."""
    variance = (weights * (1 - pairs.r**2)) ** 2 / np.maximum(pairs.effective - 1, 1)
    return 2.0 * float(np.sqrt(np.median(variance.sum(axis=(0, 2)))))


def _minimised(start: np.ndarray, pairs: PairMatrix, weights: np.ndarray, penalty: float) -> np.ndarray:
    """L-BFGS on the target + ½ penalty Σ|x|²."""
    problem = Problem(pairs, weights, np.eye(start.shape[1])[None])

    def target(flat: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = problem.target(flat.reshape(start.shape))
        return value + 0.5 * penalty * float(np.vdot(flat, flat)), gradient.ravel() + penalty * flat

    found = minimize(target, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 300, "ftol": 1e-10})
    return np.asarray(found.x).reshape(start.shape)


def _axes_first(points: np.ndarray) -> np.ndarray:
    """Points rotated to their principal axes."""
    return principal_axes(points[None])[0][0]


def _misfit(points: np.ndarray, pairs: PairMatrix, weights: np.ndarray) -> float:
    misfit = points @ points.T - pairs.r[0]
    return 0.5 * float(np.vdot(weights[0] * misfit, misfit))
