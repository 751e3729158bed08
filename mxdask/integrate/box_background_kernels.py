# mypy: allow-untyped-defs, allow-untyped-calls
"""The background under one reflection, by the model that was asked for (back.md 6)."""

import math

import numpy as np

from mxdask._jit import jit
from mxdask.integrate.background_kernels import HUBER
from mxdask.integrate.background_shapes_kernels import (
    MOST_TERMS,
    linear_surface,
    reject_outliers,
    robust_poisson_surface,
    solve_positive,
)
from mxdask.integrate.mask_kernels import FAST, ORIGIN, SIZE_X, SIZE_Y, SLOW

# Entries of a recipe (params.recipe_of): robust fit or least squares, terms, image by image or all at once, outliers.
ROBUST, TERMS, PER_IMAGE, OUTLIERS, LOOK_FOR_RINGS = 0, 1, 2, 3, 4
CONSTANT, PLANE, PLANE_AND_ROTATION, RADIAL = 1, 3, 4, 5
MIN_PIXELS = 10
# Bins of the scattering angle in which a background must depart from its level to be taken for a ring, and χ² (with
# a degree of freedom less) that a level background exceeds in one box of 10⁶.
RING_BINS, RING_CHI_SQUARED = 8, 40.52
# Of a disc that reaches 3σ_b, second moment of the spot (σ_b²/2 per axis) over that of the disc (9σ_b²/4).
_SPOT_OF_DISC = 2.0 / 9.0

LEVEL_UNDER_FOREGROUND, LEVEL_UNDER_SPOT, INFORMATION = 0, 1, 2


@jit
def radial_coordinates(record, s0, box, out):
    """tan 2θ of every pixel of a box's plane, scaled to −1 … 1: out (ny·nx,)."""
    low, high = math.inf, -math.inf
    at = 0
    for y in range(box[2], box[3]):
        for x in range(box[0], box[1]):
            value = _tangent(record, s0, x + 0.5, y + 0.5)
            out[at] = value
            low, high = min(low, value), max(high, value)
            at += 1
    for p in range(at):
        out[p] = (2.0 * out[p] - low - high) / max(high - low, 1e-12)


@jit
def spot_weights(foreground, nx, out):
    """Weights of the foreground pixels (sum 1) in the mean of the background under the spot itself."""
    n = x = y = xx = yy = 0.0
    for p in range(len(foreground)):
        if foreground[p]:
            n += 1.0
            x += p % nx
            y += p // nx
    if n == 0.0:
        return
    x, y = x / n, y / n
    for p in range(len(foreground)):
        if foreground[p]:
            xx += (p % nx - x) ** 2 / n
            yy += (p // nx - y) ** 2 / n
    total = 0.0
    for p in range(len(foreground)):
        out[p] = 0.0
        if foreground[p]:
            out[p] = math.exp(
                -0.5 * ((p % nx - x) ** 2 / max(xx, 0.1) + (p // nx - y) ** 2 / max(yy, 0.1)) / _SPOT_OF_DISC
            )
            total += out[p]
    for p in range(len(foreground)):
        out[p] /= total


@jit
def fill_design(design, i, k, p, j, nx, ny, depth, radial):
    """Row i: the terms of pixel p on image j."""
    design[i, 0] = 1.0
    if k == RADIAL:
        for a in range(1, k):
            design[i, a] = design[i, a - 1] * radial[p]
    elif k > 1:
        design[i, 1] = (2.0 * (p % nx) + 1.0) / nx - 1.0
        design[i, 2] = (2.0 * (p // nx) + 1.0) / ny - 1.0
        if k > PLANE:
            design[i, 3] = (2.0 * j + 1.0) / depth - 1.0


@jit
def ring_departure(record, s0, box, values, foreground, depth, mean, counts, exposure):
    """How clearly the background departs from a level of ``mean`` with the scattering angle: χ² of RING_BINS bins.

    A score test with Huber's ψ, so that outlying pixels count little, on pixels with their images added up, in bins
    across the box along the direction in which the scattering angle grows. counts, exposure : scratch.
    """
    nx = box[1] - box[0]
    area = len(foreground)
    counts[:area] = 0.0
    exposure[:area] = 0.0
    for j in range(depth):
        for p in range(area):
            value = values[j * area + p]
            if value >= 0:
                counts[p] += value
                exposure[p] += 1.0
    middle = _tangent(record, s0, 0.5 * (box[0] + box[1]), 0.5 * (box[2] + box[3]))
    gx = _tangent(record, s0, 0.5 * (box[0] + box[1]) + 1.0, 0.5 * (box[2] + box[3])) - middle
    gy = _tangent(record, s0, 0.5 * (box[0] + box[1]), 0.5 * (box[2] + box[3]) + 1.0) - middle
    ny = area // nx
    reach = 0.5 * (abs(gx) * nx + abs(gy) * ny)
    if not reach > 0.0:
        return 0.0
    scale = RING_BINS / (2.0 * reach)
    total = np.zeros(RING_BINS)
    known = np.zeros(RING_BINS)
    sum_all = known_all = squares = n = 0.0
    for p in range(area):
        if foreground[p] or exposure[p] == 0.0:
            continue
        expected = exposure[p] * mean
        root = math.sqrt(expected)
        psi = min(max((counts[p] - expected) / root, -HUBER), HUBER)
        place = reach + gx * (p % nx + 0.5 - 0.5 * nx) + gy * (p // nx + 0.5 - 0.5 * ny)
        k = min(max(int(place * scale), 0), RING_BINS - 1)
        total[k] += psi * root
        known[k] += expected
        sum_all += psi * root
        known_all += expected
        squares += psi * psi
        n += 1.0
    if n < 2 * MIN_PIXELS or not squares > 0.0:
        return 0.0
    out = 0.0
    for k in range(RING_BINS):
        if known[k] > 0.0:
            out += (total[k] - sum_all * known[k] / known_all) ** 2 / known[k]
    return out * n / squares


@jit
def _tangent(record, s0, x, y):
    """tan 2θ at a position (px) of a panel."""
    along = 0.0
    square = 0.0
    norm = 0.0
    for i in range(3):
        v = record[ORIGIN + i] + x * record[SIZE_X] * record[FAST + i] + y * record[SIZE_Y] * record[SLOW + i]
        along += v * s0[i]
        square += v * v
        norm += s0[i] * s0[i]
    cosine = along / math.sqrt(square * norm)
    return math.sqrt(max(0.0, 1.0 - cosine * cosine)) / max(cosine, 1e-6)


@jit
def summed_background(values, foreground, nx, depth, radial, counts, exposure, design):
    """Background pixels with their images added up, and the terms of a ring. Returns how many there are."""
    area = len(foreground)
    n = 0
    for p in range(area):
        if foreground[p]:
            continue
        counts[n] = 0.0
        exposure[n] = 0.0
        for j in range(depth):
            value = values[j * area + p]
            if value >= 0:
                counts[n] += value
                exposure[n] += 1.0
        if exposure[n] > 0.0:
            fill_design(design, n, RADIAL, p, 0, nx, area // nx, depth, radial)
            n += 1
    return n


@jit
def background_under(
    values, foreground, nx, depth, radial, weights, recipe, limits, k, start, counts, exposure, design, keep, out
):
    """Fit the background of one box; returns the number of pixels used, 0 where it fails.

    values : (depth·area,) counts, negative = not usable. foreground : (area,). k : number of terms.
    recipe, limits : see the top of the module and ``reject_outliers``. start : a first guess of the level, > 0.
    out : (3,) mean level under the usable foreground, the same weighted with ``weights``, and the number of pixels of
        a level background that would fix it as well.
    """
    area = len(foreground)
    ny = area // nx
    parts = depth if recipe[PER_IMAGE] and k != RADIAL else 1
    used = 0
    n_inside = inside = under_spot = information = 0.0
    beta = np.zeros(MOST_TERMS)
    terms = np.zeros((1, MOST_TERMS))
    for part in range(parts):
        first, last = (part, part + 1) if parts > 1 else (0, depth)
        if k == RADIAL:
            n = summed_background(values, foreground, nx, depth, radial, counts, exposure, design)
        else:
            n = 0
            for j in range(first, last):
                for p in range(area):
                    if not foreground[p] and values[j * area + p] >= 0:
                        counts[n] = values[j * area + p]
                        exposure[n] = 1.0
                        fill_design(design, n, PLANE_AND_ROTATION, p, j, nx, ny, depth, radial)
                        n += 1
        if n < max(MIN_PIXELS, 2 * k):
            return 0
        beta[:] = 0.0
        robust = recipe[ROBUST] == 1
        if robust:
            keep[:n] = 1
            beta[0] = math.log(start)
            if counts[:n].sum() == 0.0:
                beta[0] = -30.0
            elif not robust_poisson_surface(counts, exposure, design, n, k, beta):
                return 0
        else:
            reject_outliers(counts, design, n, recipe[OUTLIERS], limits[0], limits[1], keep)
            if keep[:n].sum() < max(MIN_PIXELS, 2 * k) or not linear_surface(counts, keep, design, n, k, beta):
                return 0
        used += int(keep[:n].sum())
        spot = 0.0
        mean_terms = np.zeros(MOST_TERMS)
        for p in range(area):
            if not foreground[p]:
                continue
            for j in range(first, last):
                fill_design(terms, 0, k, p, j, nx, ny, depth, radial)
                level = 0.0
                for a in range(k):
                    level += beta[a] * terms[0, a]
                    mean_terms[a] += weights[p] * terms[0, a] / (last - first)
                if robust:
                    level = math.exp(min(level, 30.0))
                spot += weights[p] * level / (last - first)
                if values[j * area + p] >= 0:
                    inside += level
                    n_inside += 1.0
        under_spot += spot / parts
        information += _information(exposure, design, keep, n, k, beta, robust, spot, mean_terms)
    out[LEVEL_UNDER_FOREGROUND] = inside / n_inside if n_inside > 0.0 else under_spot
    out[LEVEL_UNDER_SPOT] = under_spot
    out[INFORMATION] = information
    return used


@jit
def _information(exposure, design, keep, n, k, beta, robust, level, terms):
    """Level over the variance of the fitted level at ``terms``: for a level background the number of pixels."""
    matrix = np.zeros((MOST_TERMS, MOST_TERMS))
    for i in range(n):
        if not keep[i]:
            continue
        weight = 1.0
        if robust:
            eta = 0.0
            for a in range(k):
                eta += beta[a] * design[i, a]
            weight = exposure[i] * math.exp(min(eta, 30.0))
        for a in range(k):
            for b in range(k):
                matrix[a, b] += weight * design[i, a] * design[i, b]
    if k == 1:
        return matrix[0, 0] / level if robust and level > 0.0 else float(keep[:n].sum())
    direction = np.zeros(MOST_TERMS)
    if not solve_positive(matrix, terms.copy(), k, direction):
        return 1.0
    variance = 0.0
    for a in range(k):
        variance += direction[a] * terms[a]
    scale = level if robust else 1.0
    return 1.0 / max(variance * scale, 1e-12)
