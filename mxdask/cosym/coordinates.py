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
_MOST_AT_A_TIME = 1 << 18  # elements of the pair matrix: as many as stay in the processor's cache
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
    """(s, N, N) weights, zero without a correlation and for a point with itself; the others' mean is one."""
    usable = pairs.n >= max(min_pairs, 2)
    if kind is None:
        weight = usable.astype(np.float64)
    elif kind == "count":
        weight = np.where(usable, pairs.effective, 0.0)
    else:
        r = np.clip(pairs.r, -0.999, 0.999)
        weight = np.where(usable, np.sqrt(np.maximum(pairs.effective - 1, 0)) / (1 - r * r), 0.0)
    weight[0][np.diag_indices(weight.shape[1])] = 0.0
    total = np.count_nonzero(weight)
    return weight * (total / weight.sum()) if total else weight


@dataclass(frozen=True, eq=False)
class Problem:
    """The target f = ½ s Σ_g Σ_ij W_g (r_g - x_i·ρ(g)ᵀx_j)², the sum over all pairs of points.

    Attributes
    ----------
    pairs, weights : correlations, and their weights (s, N, N).
    rho : (s, d, d) orthogonal matrices of the settings, x_ik = ρ(k)·x_i.
    """

    pairs: PairMatrix
    weights: np.ndarray
    rho: np.ndarray

    def restricted(self, axes: np.ndarray) -> Problem:
        """The same with vectors in an invariant subspace, given by orthonormal columns (d, d')."""
        return Problem(self.pairs, self.weights, axes.T @ self.rho @ axes)

    def target(self, vectors: np.ndarray) -> tuple[float, np.ndarray]:
        """f and ∂f/∂x for vectors (N, d)."""
        gradient = np.zeros_like(vectors)
        value, s = 0.0, len(self.rho)
        at_a_time = max(1, _MOST_AT_A_TIME // len(vectors) ** 2)
        for lo in range(0, s, at_a_time):
            some = slice(lo, lo + at_a_time)
            moved = vectors @ self.rho[some]  # rows ρ(g)ᵀ·x_j
            misfit = vectors @ moved.transpose(0, 2, 1)
            misfit -= self.pairs.r[some]
            weighted = self.weights[some] * misfit
            value += float(np.vdot(weighted, misfit))
            gradient += (weighted @ moved).sum(axis=0)
        return 0.5 * s * value, 2.0 * s * gradient

    def points(self, vectors: np.ndarray) -> np.ndarray:
        """(s, N, d) x_ik = ρ(k)·x_i."""
        return vectors @ self.rho.transpose(0, 2, 1)


def regular_representation(group: SettingsGroup, copies: int) -> np.ndarray:
    """(s, c·s, c·s) ρ(k): component q of ρ(k)·v is component k⁻¹q of v, in each copy."""
    s = len(group)
    matrices = np.zeros((s, s, s))
    for k in range(s):
        matrices[k, np.arange(s), group.product[group.inverse[k]]] = 1.0
    return np.kron(np.eye(copies), matrices).reshape(s, copies * s, copies * s)


def start_vectors(seeds: list[int], d: int) -> np.ndarray:
    """(N, d) unit vectors, uniform in [0, 1) before, from a seed for each crystal: their order does not matter."""
    vectors = np.array([np.random.default_rng(seed).random(d) for seed in seeds])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


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
    problem = Problem(pairs, weights, regular_representation(group, COPIES))
    vectors = start_vectors(seeds, problem.rho.shape[1])
    penalty = noise_level(pairs, weights)
    for tolerance, iterations in ((1e-3, 30), (1e-5, 60), (1e-7, max_iterations)):
        vectors, _ = _minimise(vectors, problem, penalty, tolerance, iterations)
        problem, vectors = _without_empty_dimensions(problem, vectors)
    vectors, value = _minimise(vectors, problem, 0.0, 1e-8, max_iterations)
    points, power = principal_axes(problem.points(vectors))
    n_scan = max(2, len(group))
    scan = np.array([_functional(points[:, :, :d], pairs, weights, group) for d in range(1, points.shape[2] + 1)])
    scan = np.append(scan, np.full(max(0, n_scan - len(scan)), scan[-1]))[:n_scan]
    kept = min(dimensions or elbow(scan), points.shape[2])
    return Coordinates(points, power, value, scan, kept)


def noise_level(pairs: PairMatrix, weights: np.ndarray) -> float:
    """Largest eigenvalue that the errors of the correlations alone give the weighted matrix W∘r.

    For a symmetric matrix of independent errors it is 2√(Σ_q σ²_pq) of a row (Wigner); σ(r) = 1/√(n-1) at r = 0.
    """
    variance = weights**2 / np.maximum(pairs.effective - 1, 1)
    return 2.0 * float(np.sqrt(variance.sum(axis=(0, 2)).max()))


def _minimise(
    start: np.ndarray, problem: Problem, penalty: float, tolerance: float, iterations: int
) -> tuple[np.ndarray, float]:
    """L-BFGS on the target + ½ penalty Σ|x|² over all points, vectors no longer than one.

    A crystal's correlation with itself, |x|², is one at most. Nothing else says so: the target has no term for it, and
    few crystals with some wrong correlations are fitted best by vectors that are far longer. What exceeds one counts
    like a misfit with the weight of all the crystal's other terms.
    """
    s = len(problem.rho)
    stiffness = problem.weights.sum(axis=(0, 2))

    def function(flat: np.ndarray) -> tuple[float, np.ndarray]:
        vectors = flat.reshape(start.shape)
        value, gradient = problem.target(vectors)
        value += 0.5 * s * penalty * float(np.vdot(flat, flat))
        excess = np.maximum(np.square(vectors).sum(axis=1) - 1.0, 0.0)
        value += 0.5 * s * float(stiffness @ excess**2)
        gradient += s * (penalty + 2.0 * stiffness * excess)[:, None] * vectors
        return value, gradient.ravel()

    result = minimize(
        function, start.ravel(), jac=True, method="L-BFGS-B",
        options={"maxiter": iterations, "maxfun": 2 * iterations, "ftol": tolerance, "gtol": 1e-9},
    )  # fmt: skip
    return result.x.reshape(start.shape), float(result.fun)


def _without_empty_dimensions(problem: Problem, vectors: np.ndarray) -> tuple[Problem, np.ndarray]:
    """The problem in the invariant subspace that the points fill."""
    points = problem.points(vectors)
    axes = _axes(points)
    power = np.square(points @ axes).mean(axis=(0, 1))
    axes = axes[:, power > NEGLIGIBLE * power[0]]
    return problem.restricted(axes), vectors @ axes


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
    """The target for points (s, N, d) from the rows of the identity setting, times s (exact for whole orbits)."""
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
