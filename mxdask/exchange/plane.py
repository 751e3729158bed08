"""The detector's plane from where reflections of known direction were seen: MTZ files tell its distance only."""

from __future__ import annotations

import numpy as np

from mxdask.models import Panel

_MIN_SPOTS = 20
_MAX_RESIDUAL = 3.0  # px, median
_MAX_COSINE = 0.05  # between the axes


def fitted_panel(xy: np.ndarray, s1: np.ndarray, distance: float, size: tuple[int, int]) -> Panel | None:
    """A panel across the beam (which travels along -z), or None where the positions do not fit one.

    Parameters
    ----------
    xy : (n, 2) px. s1 : (n, 3) directions, laboratory frame. distance : mm. size : (fast, slow) pixels.
    """
    ahead = s1[:, 2] < 0
    if int(ahead.sum()) < _MIN_SPOTS:
        return None
    mm = s1[ahead, :2] / -s1[ahead, 2:] * distance
    design = np.column_stack([xy[ahead], np.ones(int(ahead.sum()))])
    # Twice: predicted directions of a few badly placed reflections must not tilt the plane.
    keep = np.ones(len(mm), dtype=bool)
    for _ in range(2):
        solution, _, rank, _ = np.linalg.lstsq(design[keep], mm[keep], rcond=None)
        if rank < 3:
            return None
        residual = np.linalg.norm(mm - design @ solution, axis=1)
        keep = residual <= 3.0 * np.median(residual) + 1e-9
    fast, slow = solution[0], solution[1]
    pixel = float(np.linalg.norm(fast)), float(np.linalg.norm(slow))
    cosine = abs(float(fast @ slow)) / (pixel[0] * pixel[1])
    if np.median(residual) > _MAX_RESIDUAL * max(pixel) or cosine > _MAX_COSINE:
        return None
    width, height = (max(s, int(np.ceil(xy[:, i].max())) + 1) for i, s in enumerate(size))
    return Panel(
        np.append(fast / pixel[0], 0.0), np.append(slow / pixel[1], 0.0), np.append(solution[2], -distance),
        (width, height), pixel,
    )  # fmt: skip
