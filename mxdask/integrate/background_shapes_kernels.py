# mypy: allow-untyped-defs, allow-untyped-calls
"""Backgrounds that vary over a box: planes, levels per image, and powder rings (back.md 6.1, 6.2)."""

import math

import numpy as np

from mxdask._jit import jit
from mxdask.integrate.background_kernels import HUBER, poisson_corrections

MOST_TERMS = 5
MAX_ITERATIONS = 50


@jit
def solve_positive(matrix, vector, k, result):
    """Solve the first ``k`` equations of a positive matrix (overwritten); False where they are singular."""
    for c in range(k):
        if not matrix[c, c] > 1e-12:
            return False
        for r in range(c + 1, k):
            factor = matrix[r, c] / matrix[c, c]
            for d in range(c, k):
                matrix[r, d] -= factor * matrix[c, d]
            vector[r] -= factor * vector[c]
    for c in range(k - 1, -1, -1):
        value = vector[c]
        for d in range(c + 1, k):
            value -= matrix[c, d] * result[d]
        result[c] = value / matrix[c, c]
    return True


@jit
def robust_poisson_surface(counts, exposure, design, n, k, beta):
    """Robust fit of log(mean/exposure) = design·β to Poisson counts (Cantoni & Ronchetti 2001); False if it fails.

    counts, exposure : (≥ n,); design : (≥ n, ≥ k). beta : (≥ k,) start on entry, result on return.
    """
    matrix = np.empty((MOST_TERMS, MOST_TERMS))
    vector = np.empty(MOST_TERMS)
    step = np.empty(MOST_TERMS)
    for _ in range(MAX_ITERATIONS):
        matrix[:] = 0.0
        vector[:] = 0.0
        for i in range(n):
            eta = 0.0
            for a in range(k):
                eta += beta[a] * design[i, a]
            mu = exposure[i] * math.exp(min(max(eta, -30.0), 30.0))
            root = math.sqrt(mu)
            eps1, eps2 = poisson_corrections(mu)
            pull = (min(max((counts[i] - mu) / root, -HUBER), HUBER) - eps1) * root
            weight = eps2 * mu * root
            for a in range(k):
                vector[a] += pull * design[i, a]
                for b in range(k):
                    matrix[a, b] += weight * design[i, a] * design[i, b]
        if not solve_positive(matrix, vector, k, step):
            return False
        largest = 0.0
        for a in range(k):
            change = min(max(step[a], -2.0), 2.0)
            beta[a] += change
            largest = max(largest, abs(change))
        if largest < 1e-4:
            return True
    return False


@jit
def linear_surface(counts, keep, design, n, k, beta):
    """Least squares of counts = design·β over the pixels with ``keep``; False if it is singular."""
    matrix = np.zeros((MOST_TERMS, MOST_TERMS))
    vector = np.zeros(MOST_TERMS)
    for i in range(n):
        if keep[i]:
            for a in range(k):
                vector[a] += counts[i] * design[i, a]
                for b in range(k):
                    matrix[a, b] += design[i, a] * design[i, b]
    return solve_positive(matrix, vector, k, beta)


# What counts as an outlier of simple backgrounds; numbers as `OUTLIERS` of params.py has them.
NONE, NSIGMA, TRUNCATED, NORMAL, PLANE, TUKEY = 0, 1, 2, 3, 4, 5


@jit
def reject_outliers(counts, design, n, method, lower, upper, keep):
    """Mark in ``keep`` the pixels that are no outliers (back.md 6.2); design : (≥ n, ≥ 3) 1, x, y for ``PLANE``.

    lower, upper : standard deviations (NSIGMA, PLANE: upper), fractions (TRUNCATED), interquartile ranges (TUKEY).
    """
    for i in range(n):
        keep[i] = 1
    if method == NONE or n < 3:
        return
    if method == TRUNCATED:
        order = np.argsort(counts[:n])
        for i in range(int(lower * n)):
            keep[order[i]] = 0
        for i in range(int(upper * n)):
            keep[order[n - 1 - i]] = 0
        return
    if method == TUKEY:
        q1, q3 = np.percentile(counts[:n], 25.0), np.percentile(counts[:n], 75.0)
        for i in range(n):
            keep[i] = q1 - lower * (q3 - q1) <= counts[i] <= q3 + upper * (q3 - q1)
        return
    if method == PLANE:
        beta = np.zeros(MOST_TERMS)
        if not linear_surface(counts, keep, design, n, 3, beta):
            return
        for i in range(n):
            height = beta[0] + beta[1] * design[i, 1] + beta[2] * design[i, 2]
            keep[i] = abs(counts[i] - height) <= upper * math.sqrt(max(height, 1.0))
        return
    if method == NSIGMA:
        mean, deviation = counts[:n].mean(), counts[:n].std() * math.sqrt(n / (n - 1.0))
        for i in range(n):
            keep[i] = mean - lower * deviation <= counts[i] <= mean + upper * deviation
        return
    # NORMAL: the brightest goes while it is beyond the largest of so many normal deviates
    order = np.argsort(counts[:n])
    left = n
    s = counts[:n].sum()
    s2 = (counts[:n] ** 2).sum()
    while left > 10:
        mean = s / left
        deviation = math.sqrt(max(0.0, s2 / left - mean * mean) * left / (left - 1.0))
        top = counts[order[left - 1]]
        if not deviation > 0.0 or (top - mean) / deviation <= _expected_largest(left):
            break
        keep[order[left - 1]] = 0
        s -= top
        s2 -= top * top
        left -= 1


@jit
def _expected_largest(n):
    """Mean of the largest of n normal deviates (extreme-value asymptotics; Cramér 1946, 28.6)."""
    root = math.sqrt(2.0 * math.log(n))
    return root - (math.log(math.log(n)) + math.log(4.0 * math.pi)) / (2.0 * root) + 0.5772156649 / root
