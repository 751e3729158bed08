# mypy: allow-untyped-defs, allow-untyped-calls
"""Background levels from the histogram of a box's background pixels."""

import math

import numpy as np

from mxdask._jit import jit

HUBER = 1.345
MAX_ITERATIONS = 100


@jit
def _poisson_parts(mu, j1, j2):
    """P(j1), P(j1 − 1), P(j2), P(j2 − 1), F(j1), F(j1 − 1), F(j2), F(j2 − 1) of a Poisson law; 0 below zero."""
    p1 = 0.0
    p1m = 0.0
    f1 = 0.0
    f1m = 0.0
    if j2 < 0:
        return 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    p2 = math.exp(j2 * math.log(mu) - mu - math.lgamma(j2 + 1.0))
    p2m = p2 * j2 / mu
    f2 = 0.0
    p = p2
    j = j2
    # sum downwards from j2 until the terms no longer count
    while j >= 0:
        f2 += p
        if j == j1:
            p1 = p
            p1m = p * j / mu
        if j <= j1:
            f1 += p
        if j <= j1 - 1:
            f1m += p
        if j < j1 - 1 and p < 1e-17 * f2:
            break
        p *= j / mu
        j -= 1
    return p1, p1m, p2, p2m, f1, f1m, f2, f2 - p2


@jit
def poisson_corrections(mu):
    """ε1 = E[ψ] and ε2 = E[ψ(Y − μ)/μ] of Huber's ψ for a Poisson law of mean μ (back.md 6.1)."""
    root = math.sqrt(mu)
    c = HUBER
    j1 = math.floor(mu - c * root)
    j2 = math.floor(mu + c * root)
    p1, p1m, p2, p2m, f1, f1m, f2, f2m = _poisson_parts(mu, j1, j2)
    eps1 = c * (1.0 - f2 - f1) + root * (p1 - p2)
    eps2 = c * (p1 + p2) + (mu * mu * (p1m - p1 - p2m + p2) + mu * (f2m - f1m)) / (mu * root)
    return eps1, eps2


@jit
def robust_poisson_mean(level, weight, n_levels, start):
    """Robust mean of Poisson counts (constant model, log link; Cantoni & Ronchetti 2001, Parkhurst et al. 2016).

    level, weight : the first ``n_levels`` entries are the distinct counts and how often they occur.
    start : first guess, > 0.

    Returns (μ, converged). All counts zero gives μ = 0.
    """
    n = 0.0
    total = 0.0
    for i in range(n_levels):
        n += weight[i]
        total += weight[i] * level[i]
    if n == 0.0:
        return 0.0, False
    if total == 0.0:
        return 0.0, True
    c = HUBER
    beta = math.log(start)
    for _ in range(MAX_ITERATIONS):
        mu = math.exp(beta)
        root = math.sqrt(mu)
        eps1, eps2 = poisson_corrections(mu)
        u = 0.0
        for i in range(n_levels):
            r = (level[i] - mu) / root
            u += weight[i] * (min(max(r, -c), c) - eps1)
        u *= root
        h = n * eps2 * mu * root
        if not h > 0.0:
            return mu, False
        step = min(max(u / h, -5.0), 5.0)  # in log space a flat tail may throw the step far away
        beta += step
        if abs(step) <= 1e-3 * abs(beta) or abs(step) < 1e-12:
            return math.exp(beta), True
        if beta < -30.0:
            return 0.0, True
    return math.exp(beta), False


@jit
def count_levels(counts, n, histogram, level, weight):
    """Distinct counts and how often they occur; beyond the histogram each count stands for itself.

    counts : the first n are non-negative. histogram : zeroed scratch (left zeroed). level, weight : filled.
    Returns (number of levels, median).
    """
    top = -1
    large = 0
    for i in range(n):
        if counts[i] < len(histogram):
            histogram[counts[i]] += 1
            top = max(top, counts[i])
        else:
            large += 1
    k = 0
    for value in range(top + 1):
        if histogram[value] > 0:
            level[k] = value
            weight[k] = histogram[value]
            histogram[value] = 0
            k += 1
    if large > 0:
        big = np.empty(large, np.int64)
        j = 0
        for i in range(n):
            if counts[i] >= len(histogram):
                big[j] = counts[i]
                j += 1
        big.sort()
        for j in range(large):
            level[k] = big[j]
            weight[k] = 1.0
            k += 1
    below = 0.0
    median = 0.0
    for j in range(k):
        below += weight[j]
        if 2.0 * below == n and j + 1 < k:
            median = 0.5 * (level[j] + level[j + 1])
            break
        if 2.0 * below > n:
            median = level[j]
            break
    return k, median
