# mypy: allow-untyped-defs, allow-untyped-calls
"""Background and summed intensity of every box in one pass over its pixels (back.md 6, 7)."""

import numpy as np

from mxdask._jit import jit
from mxdask.integrate.background_kernels import count_levels, robust_poisson_mean
from mxdask.integrate.background_shapes_kernels import MOST_TERMS
from mxdask.integrate.box_background_kernels import (
    CONSTANT,
    INFORMATION,
    LEVEL_UNDER_FOREGROUND,
    LEVEL_UNDER_SPOT,
    LOOK_FOR_RINGS,
    PER_IMAGE,
    RADIAL,
    RING_CHI_SQUARED,
    ROBUST,
    TERMS,
    background_under,
    radial_coordinates,
    ring_departure,
    spot_weights,
)
from mxdask.integrate.gather_kernels import OVERLOAD
from mxdask.integrate.overlap_kernels import LEFT_OUT

MIN_BACKGROUND_PIXELS = 10
# Background pixels that must be left without those of neighbours; with fewer none is left out.
FEWEST_LEFT = 30
HISTOGRAM = 1024
# Values of column FITTED.
FAILED, LEVEL, RING = 0, 1, 2

# Columns of the integer and real results.
N_VALID, N_BACKGROUND, N_USED, N_FOREGROUND, N_BAD_FOREGROUND, N_BAD_BACKGROUND, N_OVERLOADED, FITTED = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
)
MEAN, BACKGROUND, BACKGROUND_VARIANCE, INTENSITY, VARIANCE = 0, 1, 2, 3, 4
CENTROID, CENTROID_VARIANCE = 5, 8
# Level of the background under the spot, and how many background pixels would tell as much about a level one.
UNDER_SPOT, BACKGROUND_PIXELS = 11, 12


@jit
def measure_boxes(records, panel, s0, box, plane, foreground, offset, values, recipe, limits, integers, reals):
    """Background mean, summed intensity and centroid of n boxes.

    box : (n, 6) i4. plane : (n + 1,) offsets into ``foreground`` (flat u1, one plane per box).
    offset : (n + 1,) offsets into ``values`` (flat i4 counts; negative = not usable, or left out of the background).
    records : panel records; panel : (n,); s0 : (3,). recipe, limits : of the background (``params.recipe_of``).
    integers : (n, 8) i4, reals : (n, 13) f8, filled; columns named at the top of this module.
    """
    histogram = np.zeros(HISTOGRAM, np.int64)
    longest = 1
    for i in range(len(box)):
        longest = max(longest, offset[i + 1] - offset[i])
    counts = np.empty(longest, np.int64)
    level = np.empty(longest)
    weight = np.empty(longest)
    exposure = np.empty(longest)
    keep = np.empty(longest, np.uint8)
    design = np.empty((longest, MOST_TERMS))
    radial = np.empty(longest)
    weights = np.empty(longest)
    result = np.empty(3)
    plain = recipe[ROBUST] == 1 and recipe[TERMS] == CONSTANT and recipe[PER_IMAGE] == 0
    for i in range(len(box)):
        area = plane[i + 1] - plane[i]
        depth = box[i, 5] - box[i, 4]
        n_background = 0
        n_foreground = 0
        bad_foreground = 0
        bad_background = 0
        left_out = 0
        overloaded = 0
        total = 0
        for j in range(depth):
            at = offset[i] + j * area
            for p in range(area):
                value = values[at + p]
                if foreground[plane[i] + p]:
                    if value >= 0:
                        n_foreground += 1
                        total += value
                    else:
                        bad_foreground += 1
                        overloaded += value == OVERLOAD
                elif value >= 0:
                    counts[n_background] = value
                    n_background += 1
                elif value >= LEFT_OUT:
                    left_out += 1
                else:
                    bad_background += 1
                    overloaded += value == OVERLOAD
        if left_out > 0 and n_background < FEWEST_LEFT:
            for k in range(offset[i], offset[i + 1]):
                if LEFT_OUT <= values[k] < 0:
                    values[k] = -1 - values[k]
                    counts[n_background] = values[k]
                    n_background += 1
            left_out = 0
        integers[i, N_VALID] = n_foreground + n_background + left_out
        integers[i, N_BACKGROUND] = n_background + left_out
        integers[i, N_FOREGROUND] = n_foreground
        integers[i, N_BAD_FOREGROUND] = bad_foreground
        integers[i, N_BAD_BACKGROUND] = bad_background
        integers[i, N_OVERLOADED] = overloaded
        integers[i, N_USED] = 0
        integers[i, FITTED] = 0
        reals[i, MEAN] = 0.0
        reals[i, UNDER_SPOT] = 0.0
        reals[i, BACKGROUND_PIXELS] = 0.0
        mean = 0.0
        if n_background >= MIN_BACKGROUND_PIXELS:
            n_levels, median = count_levels(counts, n_background, histogram, level, weight)
            start = median if median > 0 else 1.0
            inside = foreground[plane[i] : plane[i + 1]]
            own = values[offset[i] : offset[i + 1]]
            nx = box[i, 1] - box[i, 0]
            terms = recipe[TERMS]
            kind = LEVEL
            success = False
            if plain:
                mean, success = robust_poisson_mean(level, weight, n_levels, start)
                result[LEVEL_UNDER_FOREGROUND] = result[LEVEL_UNDER_SPOT] = mean
                used = n_background
                result[INFORMATION] = used
                if success and recipe[LOOK_FOR_RINGS] and mean > 0.0:
                    record = records[panel[i]]
                    chi2 = ring_departure(record, s0, box[i], own, inside, depth, mean, level, exposure)
                    if chi2 > RING_CHI_SQUARED:
                        terms, kind, start = RADIAL, RING, mean
                        radial_coordinates(record, s0, box[i], radial)
            if not plain or kind == RING:
                spot_weights(inside, nx, weights)
                shaped = background_under(
                    own,
                    inside,
                    nx,
                    depth,
                    radial,
                    weights,
                    recipe,
                    limits,
                    terms,
                    start,
                    level,
                    exposure,
                    design,
                    keep,
                    result,
                )
                if shaped > 0:
                    used, success = shaped, True
                elif kind == RING:  # too few pixels for a shape: the level stands
                    kind = LEVEL
            if success:
                mean = result[LEVEL_UNDER_FOREGROUND]
                reals[i, UNDER_SPOT] = result[LEVEL_UNDER_SPOT]
                reals[i, BACKGROUND_PIXELS] = result[INFORMATION]
                integers[i, N_USED] = min(used, n_background)
                integers[i, FITTED] = kind
        _sum_up(i, mean, total, integers, reals)
        _centroid(i, box, plane, foreground, offset, values, mean, reals)


@jit
def _sum_up(i, mean, total, integers, reals):
    """I = Σ(c − b), var(I) = |I| + |B|(1 + n_s/n_b), var(B) = |B|(1 + n_s/n_b)."""
    n_signal = integers[i, N_FOREGROUND]
    background = mean * n_signal
    used = reals[i, BACKGROUND_PIXELS]
    spread = abs(background) * (1.0 + n_signal / used) if used > 0 else abs(background)
    reals[i, MEAN] = mean
    reals[i, BACKGROUND] = background
    reals[i, BACKGROUND_VARIANCE] = spread
    reals[i, INTENSITY] = total - background
    reals[i, VARIANCE] = abs(total - background) + spread


@jit
def _centroid(i, box, plane, foreground, offset, values, mean, reals):
    """Centre of the counts above background in the foreground, and its variance (front.md 6.3); the box's centre with
    variance 0 (no weight) without any."""
    nx = box[i, 1] - box[i, 0]
    area = plane[i + 1] - plane[i]
    s = 0.0
    s2 = 0.0
    first = np.zeros(3)
    second = np.zeros(3)
    for j in range(box[i, 5] - box[i, 4]):
        at = offset[i] + j * area
        for p in range(area):
            value = values[at + p]
            if foreground[plane[i] + p] == 0 or value <= mean:
                continue
            w = value - mean
            s += w
            s2 += w * w
            x = p % nx + 0.5
            y = p // nx + 0.5
            z = j + 0.5
            first[0] += w * x
            first[1] += w * y
            first[2] += w * z
            second[0] += w * x * x
            second[1] += w * y * y
            second[2] += w * z * z
    for k in range(3):
        low, high = box[i, 2 * k], box[i, 2 * k + 1]
        if s > 0.0 and s * s > s2:
            centre = first[k] / s
            spread = max(0.0, second[k] / s - centre * centre) * s * s / (s * s - s2)
            reals[i, CENTROID + k] = low + centre
            reals[i, CENTROID_VARIANCE + k] = spread / s + 1.0 / 12.0
        else:
            reals[i, CENTROID + k] = 0.5 * (low + high)
            reals[i, CENTROID_VARIANCE + k] = 0.0
