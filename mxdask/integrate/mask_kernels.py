# mypy: allow-untyped-defs, allow-untyped-calls
"""Which pixels of a box belong to the reflection (back.md 3.3)."""

import math

import numpy as np

from mxdask._jit import jit

# Columns of the panel records made by integrate.panels.panel_records.
ORIGIN, FAST, SLOW, NORMAL, SIZE_X, SIZE_Y, THICKNESS, MU, CORRECTED, PIXELS_X, PIXELS_Y = (
    0,
    3,
    6,
    9,
    12,
    13,
    14,
    15,
    16,
    17,
    18,
)


@jit
def parallax_shift(record, x, y):
    """How far (mm, along fast and slow) behind the surface point the photons of pixel position (x, y) are recorded."""
    if record[CORRECTED] == 0.0:
        return 0.0, 0.0
    mx = x * record[SIZE_X]
    my = y * record[SIZE_Y]
    norm = 0.0
    fast = 0.0
    slow = 0.0
    cosine = 0.0
    for i in range(3):
        c = record[ORIGIN + i] + mx * record[FAST + i] + my * record[SLOW + i]
        norm += c * c
        fast += c * record[FAST + i]
        slow += c * record[SLOW + i]
        cosine += c * record[NORMAL + i]
    norm = 1.0 / math.sqrt(norm)
    path = record[THICKNESS] / (cosine * norm)
    mean = 1.0 / record[MU]
    length = mean - (path + mean) * math.exp(-path * record[MU])
    return fast * norm * length, slow * norm * length


@jit
def corner_shifts(record, x0, x1, y0, y1, out):
    """Parallax shifts at the four corners of a box: out (4, 2). Inside the box they are interpolated."""
    out[0, 0], out[0, 1] = parallax_shift(record, float(x0), float(y0))
    out[1, 0], out[1, 1] = parallax_shift(record, float(x1), float(y0))
    out[2, 0], out[2, 1] = parallax_shift(record, float(x0), float(y1))
    out[3, 0], out[3, 1] = parallax_shift(record, float(x1), float(y1))


@jit
def frame_axes(s0, s1, e1, e2):
    """Fill e1 and e2 of Kabsch's frame."""
    e1[0] = s1[1] * s0[2] - s1[2] * s0[1]
    e1[1] = s1[2] * s0[0] - s1[0] * s0[2]
    e1[2] = s1[0] * s0[1] - s1[1] * s0[0]
    n = 1.0 / math.sqrt(e1[0] ** 2 + e1[1] ** 2 + e1[2] ** 2)
    for i in range(3):
        e1[i] *= n
    e2[0] = s1[1] * e1[2] - s1[2] * e1[1]
    e2[1] = s1[2] * e1[0] - s1[0] * e1[2]
    e2[2] = s1[0] * e1[1] - s1[1] * e1[0]
    n = 1.0 / math.sqrt(e2[0] ** 2 + e2[1] ** 2 + e2[2] ** 2)
    for i in range(3):
        e2[i] *= n


@jit
def local_coordinates(record, shifts, box, x, y, e1, e2):
    """(ε1, ε2) in radians of pixel position (x, y), shifts from :func:`corner_shifts` of the same box."""
    fx = (x - box[0]) / (box[1] - box[0])
    fy = (y - box[2]) / (box[3] - box[2])
    a, b, c, d = (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy
    mx = x * record[SIZE_X] - (a * shifts[0, 0] + b * shifts[1, 0] + c * shifts[2, 0] + d * shifts[3, 0])
    my = y * record[SIZE_Y] - (a * shifts[0, 1] + b * shifts[1, 1] + c * shifts[2, 1] + d * shifts[3, 1])
    norm = 0.0
    along1 = 0.0
    along2 = 0.0
    for i in range(3):
        v = record[ORIGIN + i] + mx * record[FAST + i] + my * record[SLOW + i]
        norm += v * v
        along1 += v * e1[i]
        along2 += v * e2[i]
    norm = 1.0 / math.sqrt(norm)
    # e1 and e2 are perpendicular to s1, so s1 itself does not contribute
    return along1 * norm, along2 * norm


@jit
def foreground_planes(records, panel, s0, s1, box, delta_b, offset, out):
    """Mark the foreground of n boxes: 1 where the pixel's nearest corner has ε1² + ε2² ≤ δb² (in every image alike).

    records : (n_panels, 19) panel records; panel (n,); s1 (n, 3); box (n, 6) i4; delta_b (n,) radians.
    offset : (n + 1,) i8, box i's plane (y, x) is out[offset[i]:offset[i + 1]].
    out : flat u1, filled here.
    """
    shifts = np.empty((4, 2))
    e1 = np.empty(3)
    e2 = np.empty(3)
    for i in range(len(panel)):
        record = records[panel[i]]
        x0, x1, y0, y1 = box[i, 0], box[i, 1], box[i, 2], box[i, 3]
        corner_shifts(record, x0, x1, y0, y1, shifts)
        frame_axes(s0, s1[i], e1, e2)
        nx = x1 - x0
        above = np.empty(nx + 1)
        below = np.empty(nx + 1)
        for x in range(nx + 1):
            u, v = local_coordinates(record, shifts, box[i], float(x0 + x), float(y0), e1, e2)
            above[x] = u * u + v * v
        at = offset[i]
        for y in range(y0 + 1, y1 + 1):
            for x in range(nx + 1):
                u, v = local_coordinates(record, shifts, box[i], float(x0 + x), float(y), e1, e2)
                below[x] = u * u + v * v
            for x in range(nx):
                nearest = min(min(above[x], above[x + 1]), min(below[x], below[x + 1]))
                out[at] = 1 if nearest <= delta_b[i] * delta_b[i] else 0
                at += 1
            above, below = below, above
