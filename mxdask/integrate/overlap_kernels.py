# mypy: allow-untyped-defs, allow-untyped-calls
"""Which pixels reflections share."""

from mxdask._jit import jit


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
