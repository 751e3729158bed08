# mypy: allow-untyped-defs, allow-untyped-calls
"""Background and summed intensity of every box in one pass over its pixels (back.md 6, 7)."""

import numpy as np

from mxdask._jit import jit
from mxdask.integrate.background_kernels import clipped_mean, count_levels, robust_poisson_mean
from mxdask.integrate.gather_kernels import OVERLOAD

MIN_BACKGROUND_PIXELS = 10
HISTOGRAM = 1024
SIMPLE_N_SIGMA = 3.0

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


@jit
def measure_boxes(box, plane, foreground, offset, values, robust, integers, reals):
    """Background mean, summed intensity and centroid of n boxes.

    box : (n, 6) i4. plane : (n + 1,) offsets into ``foreground`` (flat u1, one plane per box).
    offset : (n + 1,) offsets into ``values`` (flat i4 counts; negative = not usable).
    robust : the robust Poisson mean (True) or the mean without outliers.
    integers : (n, 8) i4, reals : (n, 11) f8, filled; columns named at the top of this module.
    """
    histogram = np.zeros(HISTOGRAM, np.int64)
    longest = 1
    for i in range(len(box)):
        longest = max(longest, offset[i + 1] - offset[i])
    counts = np.empty(longest, np.int64)
    level = np.empty(longest)
    weight = np.empty(longest)
    for i in range(len(box)):
        area = plane[i + 1] - plane[i]
        depth = box[i, 5] - box[i, 4]
        n_background = 0
        n_foreground = 0
        bad_foreground = 0
        bad_background = 0
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
                else:
                    bad_background += 1
                    overloaded += value == OVERLOAD
        integers[i, N_VALID] = n_foreground + n_background
        integers[i, N_BACKGROUND] = n_background
        integers[i, N_FOREGROUND] = n_foreground
        integers[i, N_BAD_FOREGROUND] = bad_foreground
        integers[i, N_BAD_BACKGROUND] = bad_background
        integers[i, N_OVERLOADED] = overloaded
        integers[i, N_USED] = 0
        integers[i, FITTED] = 0
        mean = 0.0
        if n_background >= MIN_BACKGROUND_PIXELS:
            n_levels, median = count_levels(counts, n_background, histogram, level, weight)
            if robust:
                mean, success = robust_poisson_mean(level, weight, n_levels, median if median > 0 else 1.0)
                used = n_background
            else:
                mean, kept = clipped_mean(level, weight, n_levels, SIMPLE_N_SIGMA)
                used = int(kept)
                success = True
            if success:
                integers[i, N_USED] = used
                integers[i, FITTED] = 1
        _sum_up(i, mean, total, integers, reals)
        _centroid(i, box, plane, foreground, offset, values, mean, reals)


@jit
def _sum_up(i, mean, total, integers, reals):
    """I = Σ(c − b), var(I) = |I| + |B|(1 + n_s/n_b), var(B) = |B|(1 + n_s/n_b)."""
    n_signal = integers[i, N_FOREGROUND]
    background = mean * n_signal
    used = integers[i, N_USED]
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
