# mypy: allow-untyped-defs, allow-untyped-calls
"""Which pixels reflections share."""

import math

from mxdask._jit import jit

# Values from here up to −1 stand for counts −1 − value that were left out; below are pixels that were no measurement.
LEFT_OUT = -(2**31) + 2


@jit
def spots_around(
    box,
    panel,
    images,
    per_radian,
    itself,
    widest,
    low,
    cell,
    shape,
    cell_start,
    order,
    xy,
    spot_images,
    spot_size,
    start,
    index,
):
    """Spots whose discs reach into boxes and that share an image with them, but for a box's own.

    box (n, 6), panel (n,), images (n, 2), per_radian (n,) : boxes, and pixels per radian there. itself (n,) : which
    spot is a box's own.
    widest : largest radius of a spot (px). low, cell, shape, cell_start, order : spots sorted by square cells.
    xy (N, 2) px, spot_images (N, 2), spot_size (N,) radians.
    index : empty, start[i + 1] is set to how many box i has; else filled, box i owning start[i]:start[i + 1].
    """
    fill = len(index) > 0
    for i in range(len(box)):
        found = 0
        x0, x1, y0, y1 = box[i, 0], box[i, 1], box[i, 2], box[i, 3]
        first_x = max(0, math.floor((x0 - widest - low[0]) / cell))
        last_x = min(shape[0] - 1, math.floor((x1 + widest - low[0]) / cell))
        first_y = max(0, math.floor((y0 - widest - low[1]) / cell))
        last_y = min(shape[1] - 1, math.floor((y1 + widest - low[1]) / cell))
        for cy in range(first_y, last_y + 1):
            line = (panel[i] * shape[1] + cy) * shape[0]
            if last_x < first_x:
                continue
            for k in range(cell_start[line + first_x], cell_start[line + last_x + 1]):
                j = order[k]
                if j == itself[i] or min(images[i, 1], spot_images[j, 1]) <= max(images[i, 0], spot_images[j, 0]):
                    continue
                r = spot_size[j] * per_radian[i]
                if xy[j, 0] + r > x0 and xy[j, 0] - r < x1 and xy[j, 1] + r > y0 and xy[j, 1] - r < y1:
                    if fill:
                        index[start[i] + found] = j
                    found += 1
        if not fill:
            start[i + 1] = found


@jit
def leave_out_neighbours(box, plane, foreground, offset, values, start, index, size, spot_xy, spot_images, spot_size):
    """Mark the background pixels of boxes that lie in the foreground of a neighbour, on the neighbour's images.

    A count c becomes −1 − c. Neighbours have the shape of the reflection's own foreground, in proportion to their size.

    box, plane, foreground, offset, values : as in ``measure_boxes``. start (n + 1,), index (m,), size (n,), spot_xy
    (N, 2), spot_images (N, 2), spot_size (N,) : as in :class:`mxdask.integrate.overlaps.Around`.
    """
    for i in range(len(box)):
        if start[i] == start[i + 1]:
            continue
        nx, ny, depth = box[i, 1] - box[i, 0], box[i, 3] - box[i, 2], box[i, 5] - box[i, 4]
        area = nx * ny
        inside = foreground[plane[i] : plane[i + 1]]
        own = values[offset[i] : offset[i + 1]]
        n = x = y = xx = xy = yy = 0.0
        for p in range(area):
            if inside[p]:
                px, py = p % nx, p // nx
                n += 1.0
                x += px
                y += py
                xx += px * px
                xy += px * py
                yy += py * py
        if n < 3.0:
            continue
        # an ellipse has a quarter of its squared half axes as second moments
        xx, xy, yy = 4.0 * (xx / n - x * x / n / n), 4.0 * (xy / n - x * y / n / n), 4.0 * (yy / n - y * y / n / n)
        determinant = xx * yy - xy * xy
        if not determinant > 0.0:
            continue
        for k in range(start[i], start[i + 1]):
            j = index[k]
            first, last = max(spot_images[j, 0] - box[i, 4], 0), min(spot_images[j, 1] - box[i, 4], depth)
            cx, cy = spot_xy[j, 0] - box[i, 0] - 0.5, spot_xy[j, 1] - box[i, 2] - 0.5
            scale = spot_size[j] / size[i]
            half_x, half_y = scale * math.sqrt(xx), scale * math.sqrt(yy)
            limit = scale * scale * determinant
            for row in range(max(0, math.ceil(cy - half_y)), min(ny, math.floor(cy + half_y) + 1)):
                for column in range(max(0, math.ceil(cx - half_x)), min(nx, math.floor(cx + half_x) + 1)):
                    p = row * nx + column
                    dx, dy = column - cx, row - cy
                    if inside[p] or yy * dx * dx - 2.0 * xy * dx * dy + xx * dy * dy > limit:
                        continue
                    for image in range(first, last):
                        if own[image * area + p] >= 0:
                            own[image * area + p] = -1 - own[image * area + p]


@jit
def mark_neighbours(pixel_start, uv, count_start, counts, z0, start, centre, images, reach, leave_out, touched):
    """Find pixels that are nearer to a neighbour than to their own centre and inside the neighbour's reach.

    pixel_start, uv, count_start, counts : foreground pixels as in ForegroundPixels. z0 : (n,) first image of each box.
    start, centre, images, reach : neighbours as in Neighbours. touched : (n,) bool, filled.
    leave_out : set the counts of these pixels to -1, on the images of the neighbour.
    """
    for i in range(len(z0)):
        a = pixel_start[i]
        m = pixel_start[i + 1] - a
        if m == 0:
            continue
        depth = (count_start[i + 1] - count_start[i]) // m
        for j in range(start[i], start[i + 1]):
            first = max(images[j, 0] - z0[i], 0)
            last = min(images[j, 1] - z0[i], depth)
            if last <= first:
                continue
            for k in range(m):
                u, v = uv[a + k, 0], uv[a + k, 1]
                du, dv = u - centre[j, 0], v - centre[j, 1]
                squared = du * du + dv * dv
                if squared < u * u + v * v and squared < reach[j] * reach[j]:
                    touched[i] = True
                    if leave_out:
                        for image in range(first, last):
                            counts[count_start[i] + image * m + k] = -1
