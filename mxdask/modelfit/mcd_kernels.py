# mypy: allow-untyped-defs, allow-untyped-calls
"""Concentration steps of the minimum covariance determinant in three dimensions, compiled."""

from __future__ import annotations

import numpy as np

from mxdask._jit import jit


@jit()
def _invert(c, inverse):
    """Inverse of a symmetric (3, 3) matrix into ``inverse``; returns the determinant (0: nothing written)."""
    inverse[0, 0] = c[1, 1] * c[2, 2] - c[1, 2] * c[2, 1]
    inverse[0, 1] = c[0, 2] * c[2, 1] - c[0, 1] * c[2, 2]
    inverse[0, 2] = c[0, 1] * c[1, 2] - c[0, 2] * c[1, 1]
    determinant = c[0, 0] * inverse[0, 0] + c[1, 0] * inverse[0, 1] + c[2, 0] * inverse[0, 2]
    if not determinant > 1e-30:
        return 0.0
    inverse[1, 1] = c[0, 0] * c[2, 2] - c[0, 2] * c[2, 0]
    inverse[1, 2] = c[0, 2] * c[1, 0] - c[0, 0] * c[1, 2]
    inverse[2, 2] = c[0, 0] * c[1, 1] - c[0, 1] * c[1, 0]
    inverse[1, 0], inverse[2, 0], inverse[2, 1] = inverse[0, 1], inverse[0, 2], inverse[1, 2]
    inverse /= determinant
    return determinant


@jit()
def _moments(values, chosen, count, centre, covariance):
    """Mean and covariance (divided by count − 1) of the rows values[chosen[:count]]."""
    centre[:] = 0.0
    covariance[:] = 0.0
    for k in range(count):
        for a in range(3):
            centre[a] += values[chosen[k], a]
    centre /= count
    for k in range(count):
        row = values[chosen[k]]
        for a in range(3):
            da = row[a] - centre[a]
            for b in range(a, 3):
                covariance[a, b] += da * (row[b] - centre[b])
    for a in range(3):
        for b in range(a, 3):
            covariance[a, b] /= count - 1
            covariance[b, a] = covariance[a, b]


@jit()
def _concentrate(values, h, centre, covariance, inverse, distance, chosen):
    """One step: the h rows nearest to (centre, covariance) give the next ones. Returns the new determinant."""
    if _invert(covariance, inverse) == 0.0:
        return 0.0
    n = len(values)
    for i in range(n):
        x, y, z = values[i, 0] - centre[0], values[i, 1] - centre[1], values[i, 2] - centre[2]
        distance[i] = (
            x * (inverse[0, 0] * x + 2.0 * (inverse[0, 1] * y + inverse[0, 2] * z))
            + y * (inverse[1, 1] * y + 2.0 * inverse[1, 2] * z)
            + inverse[2, 2] * z * z
        )
    limit = np.partition(distance, h - 1)[h - 1]
    count = 0
    for i in range(n):
        if distance[i] <= limit and count < h:
            chosen[count] = i
            count += 1
    _moments(values, chosen, h, centre, covariance)
    return _invert(covariance, inverse)


@jit()
def _keep_best(determinant, centre, covariance, determinants, centres, covariances):
    """Put a solution among the best ones, which are sorted by determinant."""
    k = len(determinants)
    if determinant >= determinants[k - 1]:
        return
    at = k - 1
    while at > 0 and determinants[at - 1] > determinant:
        determinants[at] = determinants[at - 1]
        centres[at] = centres[at - 1]
        covariances[at] = covariances[at - 1]
        at -= 1
    determinants[at] = determinant
    centres[at] = centre
    covariances[at] = covariance


@jit()
def best_of_starts(values, h, starts, scatters, n_steps, n_best):
    """The solutions of least determinant after a few steps from given ones (m, 3), (m, 3, 3).

    Returns centres (n_best, 3) and covariances (n_best, 3, 3); those of starts that never had a scatter are zero.
    """
    n = len(values)
    determinants = np.full(n_best, np.inf)
    centres, covariances = np.zeros((n_best, 3)), np.zeros((n_best, 3, 3))
    inverse, distance, chosen = np.empty((3, 3)), np.empty(n), np.empty(n, np.int64)
    for t in range(len(starts)):
        centre, covariance = starts[t].copy(), scatters[t].copy()
        determinant = 0.0
        for _ in range(n_steps):
            determinant = _concentrate(values, h, centre, covariance, inverse, distance, chosen)
            if determinant == 0.0:
                break
        if determinant > 0.0:
            _keep_best(determinant, centre, covariance, determinants, centres, covariances)
    return centres, covariances


@jit()
def best_of_trials(values, h, draws, n_steps, n_best):
    """The same from random draws (trials, 4) of rows."""
    starts, scatters = np.empty((len(draws), 3)), np.empty((len(draws), 3, 3))
    for t in range(len(draws)):
        _moments(values, draws[t], draws.shape[1], starts[t], scatters[t])
    return best_of_starts(values, h, starts, scatters, n_steps, n_best)


@jit()
def concentrate_fully(values, h, starts, scatters, max_steps):
    """The best solution after steps until the determinant stays; the plain moments if no start has a scatter."""
    n = len(values)
    inverse, distance, chosen = np.empty((3, 3)), np.empty(n), np.arange(n)
    best = np.inf
    best_centre, best_covariance = np.empty(3), np.empty((3, 3))
    _moments(values, chosen, n, best_centre, best_covariance)
    for t in range(len(starts)):
        centre, covariance = starts[t].copy(), scatters[t].copy()
        previous = np.inf
        for _ in range(max_steps):
            determinant = _concentrate(values, h, centre, covariance, inverse, distance, chosen)
            if determinant == 0.0 or determinant >= previous:
                break
            previous = determinant
        if previous < best:
            best = previous
            best_centre[:] = centre
            best_covariance[:] = covariance
    return best_centre, best_covariance
