"""Coordinates of crystals whose dot products reproduce their correlations.

Setting k of crystal i is a point x_ik; wanted is x_ik·x_jl ≈ r for all pairs (back.md 11.2.8). As r depends on l⁻¹k
only, so may the points: x_ik = ρ(k)·x_i, with ρ the regular representation of the settings group (possibly several
copies). The target is convex in the points' Gram matrix and unchanged by the group, so nothing is lost by this, and
only one vector per crystal is left to find: s times fewer unknowns and s times less work per step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import minimize

from mxdask.cosym.pairs import PairMatrix
from mxdask.cosym.settings_group import SettingsGroup

Weights = Literal["count", "standard_error"]

COPIES = 2  # of the regular representation: room for crystals that are not isomorphous
NEGLIGIBLE = 1e-3  # of the first axis' mean square: a dimension that the penalty has emptied


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Result of the minimisation.

    Attributes
    ----------
    points : (s, N, d) x_ik, rotated to principal axes, the largest first.
    power : (d,) mean square of the points along them.
    functional : value of the target (all settings) with all dimensions.
    functional_of_dimensions : (d_max,) value with the first 1, 2 … dimensions only.
    dimensions : how many are kept for analysis.
    """

    points: np.ndarray
    power: np.ndarray
    functional: float
    functional_of_dimensions: np.ndarray
    dimensions: int

    @property
    def reduced(self) -> np.ndarray:
        """(s, N, dimensions) points in the dimensions kept."""
        return self.points[:, :, : self.dimensions]


def pair_weights(pairs: PairMatrix, kind: Weights | None, min_pairs: int) -> np.ndarray:
    """(s, N, N) weights, zero for pairs without a correlation and for a point with itself; mean of the others is one."""
    usable = pairs.n >= max(min_pairs, 2)
    if kind is None:
        weight = usable.astype(np.float64)
    elif kind == "count":
        weight = np.where(usable, pairs.n, 0).astype(np.float64)
    else:
        r = np.clip(pairs.r, -0.999, 0.999)
        weight = np.where(usable, np.sqrt(np.maximum(pairs.n - 1, 0)) / (1 - r * r), 0.0)
    weight[0][np.diag_indices(weight.shape[1])] = 0.0
    total = np.count_nonzero(weight)
    return weight * (total / weight.sum()) if total else weight


def target(vectors: np.ndarray, pairs: PairMatrix, weights: np.ndarray, group: SettingsGroup) -> tuple[float, np.ndarray]:
    """Value and gradient of f = ½ s Σ_g Σ_ij W_g (r_g - x_i·ρ(g⁻¹)x_j)², the sum over all pairs of points.

    Parameters
    ----------
    vectors : (N, c, s) crystals' vectors, c copies of the regular representation.

    Returns
    -------
    f, and ∂f/∂vectors of the same shape.
    """
    n, copies, s = vectors.shape
    flat = vectors.reshape(n, copies * s)
    gradient = np.zeros_like(flat)
    value = 0.0
    for g in range(s):
        moved = np.ascontiguousarray(vectors[:, :, group.product[g]]).reshape(n, copies * s)
        misfit = flat @ moved.T
        misfit -= pairs.r[g]
        weighted = weights[g] * misfit
        value += float(np.vdot(weighted, misfit))
        gradient += weighted @ moved
    return 0.5 * s * value, (2.0 * s * gradient).reshape(vectors.shape)


def start_vectors(seeds: list[int], copies: int, s: int) -> np.ndarray:
    """(N, c, s) uniform in [0, 1), drawn for each crystal from its own seed: the order of crystals does not matter."""
    return np.array([np.random.default_rng(seed).random((copies, s)) for seed in seeds])


def find_coordinates(
    pairs: PairMatrix,
    weights: np.ndarray,
    group: SettingsGroup,
    seeds: list[int],
    *,
    dimensions: int | None = None,
    max_iterations: int = 300,
) -> Coordinates:
    """Minimise the target from a seeded start, rotate to principal axes and choose the number of dimensions.

    With few common reflections per pair, noise would fill every dimension. So the search is done twice: first with a
    penalty on the trace of the Gram matrix, just strong enough that noise alone leaves no dimension (singular-value
    thresholding), then without it in the dimensions that remain.

    Parameters
    ----------
    seeds : one number per crystal.
    dimensions : to keep; None: the elbow of the functional (at least 2).
    """
    s = len(group)
    start = _known_mean(start_vectors(seeds, COPIES, s), group)
    start /= np.linalg.norm(start, axis=(1, 2), keepdims=True)
    problem = (pairs, weights, group, max_iterations)
    vectors, _ = _minimise(start, problem, noise_level(pairs, weights), None)
    points, _ = principal_axes(all_settings(vectors, group))
    power = np.square(points).mean(axis=(0, 1))
    axes = _axes(all_settings(vectors, group))[:, power > NEGLIGIBLE * power[0]]
    vectors, value = _minimise(vectors, problem, 0.0, axes @ axes.T)
    points, power = principal_axes(all_settings(vectors, group))
    n_scan = min(max(2, s), points.shape[2])
    scan = np.array([_functional(points[:, :, :d], pairs, weights, group) for d in range(1, n_scan + 1)])
    kept = min(dimensions or elbow(scan), points.shape[2])
    return Coordinates(points, power, value, scan, kept)


def noise_level(pairs: PairMatrix, weights: np.ndarray) -> float:
    """Largest eigenvalue that the errors of the correlations alone give the weighted matrix W∘r.

    For a symmetric matrix of independent errors it is 2√(Σ_q σ²_pq) of a row (Wigner); σ(r) = 1/√(n-1) at r = 0.
    """
    variance = weights**2 / np.maximum(pairs.n - 1, 1)
    return 2.0 * float(np.sqrt(variance.sum(axis=(0, 2)).max()))


def _minimise(
    start: np.ndarray,
    problem: tuple[PairMatrix, np.ndarray, SettingsGroup, int],
    penalty: float,
    projection: np.ndarray | None,
) -> tuple[np.ndarray, float]:
    """L-BFGS on target + ½ penalty Σ|x|², within the invariant subspace given by a projection (c·s, c·s)."""
    pairs, weights, group, max_iterations = problem
    n, copies, s = start.shape

    def inside(vectors: np.ndarray) -> np.ndarray:
        kept = _known_mean(vectors, group)
        return kept if projection is None else (kept.reshape(n, copies * s) @ projection).reshape(start.shape)

    def function(flat: np.ndarray) -> tuple[float, np.ndarray]:
        vectors = flat.reshape(start.shape)
        value, gradient = target(vectors, pairs, weights, group)
        value += 0.5 * s * penalty * float(np.vdot(flat, flat))
        return value, (inside(gradient) + s * penalty * vectors).ravel()

    result = minimize(
        function, inside(start).ravel(), jac=True, method="L-BFGS-B",
        options={"maxiter": max_iterations, "maxfun": 2 * max_iterations, "ftol": 1e-8, "gtol": 1e-9},
    )  # fmt: skip
    return inside(result.x.reshape(start.shape)), float(result.fun)


def _known_mean(vectors: np.ndarray, group: SettingsGroup) -> np.ndarray:
    """The part of the vectors that the known symmetry leaves unchanged."""
    if len(group.known) == 1:
        return vectors
    return np.mean([vectors[:, :, group.product[k]] for k in group.known], axis=0)


def all_settings(vectors: np.ndarray, group: SettingsGroup) -> np.ndarray:
    """(s, N, c·s) points x_ik = ρ(k)·x_i: component q of setting k is component k⁻¹q of the vector."""
    n, copies, s = vectors.shape
    return np.array([vectors[:, :, group.product[group.inverse[k]]].reshape(n, copies * s) for k in range(s)])


def principal_axes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points rotated about the origin, so that dot products stay, to the axes of greatest Σx²; and the mean of x²."""
    rotated = points @ _axes(points)
    return rotated, np.square(rotated).mean(axis=(0, 1))


def _axes(points: np.ndarray) -> np.ndarray:
    """(d, d) columns: principal axes, largest first; the largest component of each is positive."""
    flat = points.reshape(-1, points.shape[2])
    axes = np.linalg.eigh(flat.T @ flat)[1][:, ::-1]
    return axes * np.where(axes[np.argmax(np.abs(axes), axis=0), np.arange(axes.shape[1])] < 0, -1.0, 1.0)


def _functional(points: np.ndarray, pairs: PairMatrix, weights: np.ndarray, group: SettingsGroup) -> float:
    """The target for points (s, N, d) from the rows of the identity setting, times s (exact if d spans whole orbits)."""
    value = 0.0
    for g in range(len(group)):
        misfit = points[0] @ points[group.inverse[g]].T - pairs.r[g]
        value += float(np.vdot(weights[g] * misfit, misfit))
    return 0.5 * len(group) * value


def elbow(functional: np.ndarray) -> int:
    """Number of dimensions where the curve bends most: farthest from the line from its steepest point to its end."""
    n = len(functional)
    if n <= 2:
        return 2
    x = np.arange(1, n + 1, dtype=float)
    slopes = (functional[-1] - functional[:-1]) / (x[-1] - x[:-1])
    first = int(np.argmin(slopes))
    dx, dy = x[-1] - x[first], functional[-1] - functional[first]
    gaps = np.abs((x[first:] - x[first]) * dy - (functional[first:] - functional[first]) * dx) / np.hypot(dx, dy)
    return max(2, int(x[first + int(np.argmax(gaps))]))
