# mypy: allow-untyped-defs, allow-untyped-calls
"""Copy the pixels of boxes out of one frame."""

import numpy as np

from mxdask._jit import jit
from mxdask.integrate.mask_kernels import corner_shifts, frame_axes, local_coordinates

INVALID = np.int32(-(2**31))  # outside the panel, masked, or outside the trusted range
OVERLOAD = np.int32(-(2**31) + 1)  # a good pixel above the trusted range


@jit
def copy_frame(frame, good, low, high, z, rows, box, offset, values):
    """Copy the parts of boxes that lie on one frame of one panel.

    frame : (slow, fast) raw counts; good (slow, fast) bool.
    low, high : trusted range, inclusive. z : frame coordinate.
    rows : boxes that hold image z on this panel; box (n, 6) i4; offset (n + 1,) i8; values flat i4, (z, y, x) order.
    """
    n_slow, n_fast = frame.shape
    for row in rows:
        x0, x1, y0, y1 = box[row, 0], box[row, 1], box[row, 2], box[row, 3]
        at = offset[row] + (z - box[row, 4]) * (x1 - x0) * (y1 - y0)
        for y in range(y0, y1):
            for x in range(x0, x1):
                value = INVALID
                if 0 <= y < n_slow and 0 <= x < n_fast and good[y, x]:
                    raw = frame[y, x]
                    if raw > high:
                        value = OVERLOAD
                    elif raw >= low:
                        value = np.int32(raw)
                values[at] = value
                at += 1


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
