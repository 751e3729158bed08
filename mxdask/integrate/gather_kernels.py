# mypy: allow-untyped-defs, allow-untyped-calls
"""Copy the pixels of boxes out of one frame."""

import numpy as np

from mxdask._jit import jit
from mxdask.integrate.mask_kernels import corner_shifts, frame_axes, local_coordinates

INVALID = np.int32(-(2**31))  # outside the panel, masked, or outside the trusted range
OVERLOAD = np.int32(-(2**31) + 1)  # a good pixel above the trusted range


@jit
def copy_frame(frame, good, low, high, z, index, panel, box, offset, values):
    """Copy the parts of boxes that lie on one frame of one panel.

    frame : (slow, fast) raw counts of panel ``index``; good (slow, fast) bool.
    low, high : trusted range, inclusive integers. z : frame coordinate.
    panel (n,), box (n, 6) i4; offset (n + 1,) i8; values flat i4, (z, y, x) order.
    """
    n_slow, n_fast = frame.shape
    for row in range(len(box)):
        if z < box[row, 4] or z >= box[row, 5] or panel[row] != index:
            continue
        x0, y0 = box[row, 0], box[row, 2]
        nx, ny = box[row, 1] - x0, box[row, 3] - y0
        first, last = max(x0, 0), min(x0 + nx, n_fast)
        at = offset[row] + (z - box[row, 4]) * nx * ny
        for y in range(y0, y0 + ny):
            line = values[at : at + nx]
            at += nx
            if y < 0 or y >= n_slow or first >= last:
                line[:] = INVALID
                continue
            line[: first - x0] = INVALID
            line[last - x0 :] = INVALID
            raw, usable, out = frame[y, first:last], good[y, first:last], line[first - x0 : last - x0]
            for i in range(len(raw)):  # without branches, so that several pixels are done at a time
                value = np.int32(raw[i]) if raw[i] >= low else INVALID
                value = OVERLOAD if raw[i] > high else value
                out[i] = value if usable[i] else INVALID


@jit
def count_foreground(plane, foreground, out):
    """Number of foreground pixels of n boxes. plane : (n + 1,) offsets into ``foreground`` (flat u1); out : (n,)."""
    for i in range(len(plane) - 1):
        n = 0
        for p in range(plane[i], plane[i + 1]):
            n += foreground[p]
        out[i] = n


@jit
def foreground_pixels(
    records, panel, s0, s1, box, plane, foreground, offset, values, pixel_start, count_start, uv, counts
):
    """The foreground of n boxes as lists: where its pixels lie in Kabsch's frame, and their counts.

    pixel_start : (n + 1,) box i owns uv[pixel_start[i]:pixel_start[i + 1]] = (ε1, ε2) of pixel centres, radians.
    count_start : (n + 1,) and counts[count_start[i]:count_start[i + 1]], image by image, -1 where not usable.
    """
    shifts = np.empty((4, 2))
    e1 = np.empty(3)
    e2 = np.empty(3)
    for i in range(len(panel)):
        record = records[panel[i]]
        nx = box[i, 1] - box[i, 0]
        area = plane[i + 1] - plane[i]
        corner_shifts(record, box[i, 0], box[i, 1], box[i, 2], box[i, 3], shifts)
        frame_axes(s0, s1[i], e1, e2)
        m = pixel_start[i + 1] - pixel_start[i]
        k = 0
        for p in range(area):
            if foreground[plane[i] + p] == 0:
                continue
            u, v = local_coordinates(
                record, shifts, box[i], box[i, 0] + p % nx + 0.5, box[i, 2] + p // nx + 0.5, e1, e2
            )
            uv[pixel_start[i] + k, 0] = u
            uv[pixel_start[i] + k, 1] = v
            for j in range(box[i, 5] - box[i, 4]):
                value = values[offset[i] + j * area + p]
                counts[count_start[i] + j * m + k] = value if value >= 0 else -1
            k += 1
