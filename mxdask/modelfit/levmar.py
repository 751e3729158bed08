"""Levenberg and Marquardt's minimiser on arrow-shaped normal equations (front.md 12.7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mxdask.modelfit.arrow import Arrow, Normal

TAU = 1e-10
LEAST_MU = 1e-12  # keeps directions that nothing determines from making N singular
MAX_REJECTIONS_FACTOR = 8192


@dataclass(frozen=True)
class Minimum:
    """Where the minimiser stopped.

    Attributes
    ----------
    values : free parameters. normal : the equations there.
    rmsds : (steps + 1, 3) mm, mm, rad after each accepted step.
    reason : why it stopped. converged : False when it ran out of steps.
    """

    values: np.ndarray
    normal: Normal
    rmsds: np.ndarray
    reason: str
    converged: bool


def minimise(
    evaluate: Callable[[np.ndarray], Normal | None], start: np.ndarray, *, max_iterations: int, convergence: float
) -> Minimum:
    """Minimise ½Σw r².

    Marquardt's damping multiplies the diagonal (N + μ·diag N), so that the path does not depend on the units of the
    parameters; μ is steered by the ratio of the actual and the expected decrease (Nielsen 1999, IMM-REP-1999-05).
    Accepting a step is a decision about all crystals together.

    Parameters
    ----------
    evaluate : values → normal equations, or None where the models make no sense.
    convergence : stop when the expected decrease falls below this × χ²_reduced / 2.
    """
    values = start
    normal = evaluate(values)
    if normal is None:
        raise ValueError("the starting point is not a model")
    rmsds, mu, nu = [normal.rmsd], TAU, 2.0
    reason, converged = "maximum number of steps", False
    for _ in range(max_iterations):
        gradient = normal.gradient
        try:
            step = Arrow(normal, mu).solve(-gradient)
        except np.linalg.LinAlgError:
            mu, nu = mu * nu, nu * 2
            if nu >= MAX_REJECTIONS_FACTOR:
                reason = "singular normal equations"
                break
            continue
        expected = 0.5 * float(step @ (mu * normal.diagonal * step - gradient))
        if expected <= 0.5 * convergence * _chi2_reduced(normal):
            reason, converged = "converged", True
            break
        trial = evaluate(values + step)
        ratio = -1.0 if trial is None else (normal.objective - trial.objective) / expected
        if trial is not None and ratio > 0:
            values, normal = values + step, trial
            rmsds.append(normal.rmsd)
            mu, nu = max(LEAST_MU, mu * max(1 / 3, 1 - (2 * ratio - 1) ** 3)), 2.0
        else:
            mu, nu = mu * nu, nu * 2
            if nu >= MAX_REJECTIONS_FACTOR:
                reason, converged = "no step leads further down", True
                break
    return Minimum(values, normal, np.array(rmsds), reason, converged)


def _chi2_reduced(normal: Normal) -> float:
    residuals = 3.0 * float(normal.sums[:, 4].sum())
    return 2.0 * normal.objective / max(residuals - len(normal.diagonal), 1.0)
