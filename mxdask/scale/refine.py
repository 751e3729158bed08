"""Least squares for the scaling models: Levenberg-Marquardt with the means eliminated (back.md 13.3).

T = Σ_h Σ_i w (I - g⟨I_h⟩)² + Σ restraint·p², where ⟨I_h⟩ is the best mean for the scales at hand, so its own
derivative drops out of the gradient (Golub & Pereyra 1973). The normal equations are solved by conjugate gradients,
preconditioned with each experiment's block; the matrix of all parameters is never made, so the cost of a step
grows with the number of observations only.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mxdask.scale import target_kernels as kernels
from mxdask.scale.design import Design, Layout

_MAX_STEPS = 60
_CG_STEPS = 200
_CG_TOLERANCE = 1e-4
# Relative drop of the target below which nothing is left to gain.
_CONVERGED = 1e-6
# Eigenvalues of a normal matrix below this, relative to the largest, are rounding errors.
_NO_INFORMATION = 1e-10


@dataclass(frozen=True)
class Fit:
    """Refined parameters.

    Attributes
    ----------
    parameters : (n_parameters,) S, B, C.
    blocks : per experiment, its block of the reduced normal matrix for (ln S, B, C).
    target : Σ w (I - g⟨I⟩)² + restraints; ``start_target`` before the first step.
    n_observations, n_steps : used, made.
    """

    parameters: np.ndarray
    blocks: list[np.ndarray]
    target: float
    start_target: float
    n_observations: int
    n_steps: int


def factors(design: Design, parameters: np.ndarray) -> np.ndarray:
    """(n,) inverse scale factors g."""
    g = np.empty(len(design))
    kernels.scale_factors(np.ascontiguousarray(parameters), *_sparse(design), g)
    return g


def factor_rows(design: Design, parameters: np.ndarray, g: np.ndarray) -> np.ndarray:
    """(n, w + 3 + k) derivatives of g with respect to ln S, B and C."""
    rows = np.empty((len(design), design.scale_weight.shape[1] + 3 + design.harmonics.shape[1]))
    kernels.derivatives(np.ascontiguousarray(parameters), *_sparse(design), g, rows)
    return rows


def starting_scales(
    design: Design,
    layout: Layout,
    intensity: np.ndarray,
    weight: np.ndarray,
    n_rounds: int = 30,
    known: dict[int, np.ndarray] | None = None,
    fixed_means: np.ndarray | None = None,
) -> np.ndarray:
    """(n_parameters,) one scale per experiment from alternating means and scales; crystals may differ a hundredfold.

    Parameters
    ----------
    known : experiment → its parameters from an earlier scaling, which stay; the others are brought to their level.
    fixed_means : as in :func:`refine`.
    """
    starts = design.group_starts
    n = len(layout.models)
    group = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    scale, parameters, free = np.ones(n), layout.initial(), np.ones(n, dtype=bool)
    for i, own in (known or {}).items():
        parameters[layout.start[i] : layout.start[i + 1]] = own
        free[i] = False
    shape = factors(design, parameters)
    for _ in range(n_rounds):
        g = scale[design.experiment] * shape
        # Means of what is known already, wherever there is such an observation.
        trusted = weight if np.all(free) else weight * np.where(free[design.experiment], 1e-6, 1.0)
        mean = np.bincount(group, trusted * g * intensity) / np.bincount(group, trusted * g * g)
        if fixed_means is not None:
            mean = np.where(np.isnan(fixed_means), mean, fixed_means)
        expected = shape * mean[group]
        top = np.bincount(design.experiment, weight * expected * intensity, n)
        bottom = np.bincount(design.experiment, weight * expected**2, n)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.where(bottom > 0, np.maximum(top / bottom, 1e-4), 1.0)
        scale = np.where(free, found, 1.0)
        if np.all(free) and fixed_means is None:
            scale /= scale.mean()
    where = np.repeat(np.arange(n), np.diff(layout.start))
    return np.where(layout.is_scale(), parameters * scale[where], parameters)


def refine(
    design: Design,
    layout: Layout,
    intensity: np.ndarray,
    weight: np.ndarray,
    start: np.ndarray,
    restraints: sparse.csr_array,
    fixed_means: np.ndarray | None = None,
) -> Fit:
    """Minimise the target from ``start``.

    Parameters
    ----------
    intensity, weight : (n,) corrected intensities and 1/σ².
    restraints : from :meth:`Layout.restraints`.
    fixed_means : (m,) intensities of the groups from elsewhere, NaN where the mean of the observations is taken.
    """
    problem = _Problem(design, layout, intensity, weight, restraints, fixed_means)
    x = _to_internal(layout, start)
    state = problem.evaluate(x)
    first, damping, n_steps = state.target, 1e-4, 0
    while n_steps < _MAX_STEPS:
        n_steps += 1
        gradient, blocks, rows = problem.linearise(state)
        accepted = False
        while damping < 1e8:
            shift = problem.solve(state, rows, blocks, gradient, damping)
            trial = problem.evaluate(state.x + np.clip(shift, -problem.limit, problem.limit))
            if np.isfinite(trial.target) and trial.target <= state.target:
                accepted = True
                break
            damping = max(damping * 10.0, 1e-6)
        if not accepted:
            break
        drop = (state.target - trial.target) / max(state.target, 1e-300)
        state, damping = trial, max(damping * 0.1, 1e-9)
        if drop < _CONVERGED:
            break
    _, flat, _ = problem.linearise(state)
    return Fit(_to_external(layout, state.x), problem.split(flat), state.target, first, len(design), n_steps)


def covariances(layout: Layout, fit: Fit, restraints: sparse.csr_array, relative: bool = False) -> list[np.ndarray]:
    """Per experiment, the covariance of (ln S, B, C), the other experiments held.

    This is how much the noise of the data moves the restrained parameters: H⁻¹·D·H⁻¹, where H is the normal matrix
    and D the data's part of it. What the data do not determine stays where the restraints hold it and has no
    variance, so that how loose a restraint was chosen does not turn up in the errors of intensities.

    Parameters
    ----------
    relative : leave out the common factor of each experiment: its error is the same for all its reflections, not a
        scatter among them. With one experiment this factor, and a common B, are never determined and always left out.
    """
    alone = len(fit.blocks) == 1
    held = [m for m, out in ((layout.is_scale(), alone or relative), (layout.is_decay(), alone)) if out]
    found = []
    for block, first, last in zip(fit.blocks, layout.start[:-1], layout.start[1:], strict=True):
        data = block - restraints[first:last, first:last].toarray()
        projector = np.eye(len(block))
        for mark in held:
            own = mark[first:last]
            projector -= np.outer(own, own) / max(own.sum(), 1)
        inverse = np.linalg.pinv(projector @ block @ projector, rcond=_NO_INFORMATION, hermitian=True)
        found.append(inverse @ data @ inverse)
    return found


def scale_esds(layout: Layout, fit: Fit) -> np.ndarray:
    """(e,) relative error of each experiment's scale against the others'; inf where nothing links it to them."""
    scale = layout.is_scale()
    information = np.empty(len(fit.blocks))
    for i, block in enumerate(fit.blocks):
        own = scale[layout.start[i] : layout.start[i + 1]].astype(np.float64)
        information[i] = own @ block @ own  # restraints hold differences of scales only
    largest = np.array([np.trace(block) for block in fit.blocks])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(information > _NO_INFORMATION * largest, 1.0 / np.sqrt(information), np.inf)


def esds(layout: Layout, fit: Fit, covariance: list[np.ndarray]) -> np.ndarray:
    """(n_parameters,) standard deviations of S, B, C."""
    sigma = np.sqrt(np.concatenate([np.maximum(np.diag(c), 0.0) for c in covariance]))
    return np.where(layout.is_scale(), sigma * fit.parameters, sigma)


def factor_variances(
    design: Design, layout: Layout, fit: Fit, covariance: list[np.ndarray], g: np.ndarray
) -> np.ndarray:
    """(n,) variances of g."""
    out = np.empty(len(design))
    sizes = np.diff(layout.start)
    block_start = np.concatenate([[0], np.cumsum(sizes**2)]).astype(np.int64)
    flat = np.concatenate([c.ravel() for c in covariance])
    rows = factor_rows(design, fit.parameters, g)
    kernels.propagated_variance(
        design.experiment, rows, design.scale_first, design.decay_first, design.absorption_first, layout.start,
        block_start, design.scale_weight.shape[1], flat, out,
    )  # fmt: skip
    return out


@dataclass(frozen=True)
class _State:
    x: np.ndarray
    g: np.ndarray
    mean: np.ndarray
    norm: np.ndarray
    target: float


class _Problem:
    """The target and its linearisation for fixed observations."""

    def __init__(
        self, design: Design, layout: Layout, intensity: np.ndarray, weight: np.ndarray, restraint: sparse.csr_array,
        fixed_means: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        self.design, self.layout, self.restraint = design, layout, restraint
        self.restraint_blocks = [restraint[a:b, a:b].toarray() for a, b in itertools.pairwise(layout.start)]
        self.intensity, self.weight = np.ascontiguousarray(intensity), np.ascontiguousarray(weight)
        self.starts = design.group_starts
        self.fixed = np.full(len(self.starts) - 1, np.nan) if fixed_means is None else fixed_means
        self.sizes = np.diff(layout.start)
        self.block_start = np.concatenate([[0], np.cumsum(self.sizes**2)]).astype(np.int64)
        # No step changes a scale more than e-fold, a B factor by more than 20 Å², the surface by more than 0.2.
        self.limit = np.where(layout.is_scale(), 1.0, np.where(layout.is_decay(), 20.0, 0.2))

    def evaluate(self, x: np.ndarray) -> _State:
        m = len(self.starts) - 1
        mean, norm = np.empty(m), np.empty(m)
        g = factors(self.design, _to_external(self.layout, x))
        target = kernels.group_means(self.starts, self.weight, self.intensity, g, self.fixed, mean, norm)
        return _State(x, g, mean, norm, float(target + x @ (self.restraint @ x)))

    def linearise(self, state: _State) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Half the gradient, the blocks (flat) and the derivative rows."""
        d, layout = self.design, self.layout
        rows = factor_rows(d, _to_external(layout, state.x), state.g)
        gradient, blocks = np.zeros(layout.n_parameters), np.zeros(self.block_start[-1])
        kernels.gradient_and_blocks(
            self.starts, d.experiment, self.weight, self.intensity, state.g, state.mean, state.norm, rows,
            d.scale_first, d.decay_first, d.absorption_first, layout.start, self.block_start,
            d.scale_weight.shape[1], gradient, blocks,
        )  # fmt: skip
        for block, own in zip(self.split(blocks), self.restraint_blocks, strict=True):
            block += own
        return gradient + self.restraint @ state.x, blocks, rows

    def split(self, flat: np.ndarray) -> list[np.ndarray]:
        return [
            flat[a:b].reshape(n, n)
            for a, b, n in zip(self.block_start[:-1], self.block_start[1:], self.sizes, strict=True)
        ]

    def solve(
        self, state: _State, rows: np.ndarray, flat: np.ndarray, gradient: np.ndarray, damping: float
    ) -> np.ndarray:
        """The step -(N + damping·D)⁻¹·gradient by preconditioned conjugate gradients."""
        d = self.design
        blocks = self.split(flat)
        diagonal = np.concatenate([np.diag(b) for b in blocks])
        ridge = damping * np.maximum(diagonal, 0.0) + 1e-10 * max(float(diagonal.max(initial=0.0)), 1e-300)
        ridges = np.split(ridge, self.layout.start[1:-1])
        inverse = sparse.csr_array(
            sparse.block_diag([np.linalg.inv(b + np.diag(r)) for b, r in zip(blocks, ridges, strict=True)])
        )

        def product(v: np.ndarray) -> np.ndarray:
            out = np.zeros(len(v))
            kernels.normal_product(
                self.starts, self.weight, state.g, state.mean, state.norm, rows, d.scale_first, d.decay_first,
                d.absorption_first, d.scale_weight.shape[1], v, out,
            )  # fmt: skip
            return out + self.restraint @ v + ridge * v

        return conjugate_gradients(product, lambda r: inverse @ r, -gradient)


def conjugate_gradients(
    product: Callable[[np.ndarray], np.ndarray], precondition: Callable[[np.ndarray], np.ndarray], b: np.ndarray
) -> np.ndarray:
    """Solve product(x) = b for a symmetric positive product (Hestenes & Stiefel 1952)."""
    x, r = np.zeros_like(b), b.copy()
    z = precondition(r)
    p, rz = z.copy(), float(r @ z)
    goal = _CG_TOLERANCE**2 * rz
    for _ in range(_CG_STEPS):
        if rz <= goal or rz <= 0:
            break
        q = product(p)
        curvature = float(p @ q)
        if curvature <= 0:
            break
        alpha = rz / curvature
        x += alpha * p
        r -= alpha * q
        z = precondition(r)
        rz, previous = float(r @ z), rz
        p = z + (rz / previous) * p
    return x


def _to_internal(layout: Layout, parameters: np.ndarray) -> np.ndarray:
    scale = layout.is_scale()
    return np.where(scale, np.log(np.where(scale, parameters, 1.0)), parameters)


def _to_external(layout: Layout, x: np.ndarray) -> np.ndarray:
    return np.where(layout.is_scale(), np.exp(np.where(layout.is_scale(), x, 0.0)), x)


def _sparse(design: Design) -> tuple[np.ndarray, ...]:
    return (
        design.scale_first, design.scale_weight, design.decay_first, design.decay_weight, design.half_inverse_d2,
        design.absorption_first, design.harmonics,
    )  # fmt: skip
