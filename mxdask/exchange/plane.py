"""The detector's plane from where reflections of known direction were seen: MTZ files tell its distance only.

A plane maps directions to pixels by (x, y, 1) ∝ D·s1. The nine elements of D are the null vector of two linear
equations per reflection (direct linear transformation, Hartley & Zisserman 2004, section 4.1); d = D⁻¹ has the fast and
slow pixel vectors and the origin as columns, and the distance fixes its scale.
"""

from __future__ import annotations

import numpy as np

from mxdask.models import Panel

_MIN_SPOTS = 20
_MAX_RESIDUAL = 5.0  # px, median: the orientations in headers are those of whole images
_MAX_COSINE = 0.05  # between the axes
_NOMINAL_PIXEL, _NOMINAL_DISTANCE = 0.1, 200.0  # mm


def fitted_panel(xy: np.ndarray, s1: np.ndarray, distance: float, size: tuple[int, int]) -> Panel | None:
    """The plane that puts n rays where they were seen, or None where none does.

    Parameters
    ----------
    xy : (n, 2) px. s1 : (n, 3) directions, laboratory frame. distance : mm, along the normal.
    size : (fast, slow) pixels.
    """
    if len(xy) < _MIN_SPOTS or distance <= 0:
        return None
    rays = s1 / np.linalg.norm(s1, axis=1, keepdims=True)
    keep = np.ones(len(xy), dtype=bool)
    for _ in range(2):  # a few badly placed reflections must not tilt the plane
        D = _homography(xy[keep], rays[keep])
        seen = rays @ D.T
        with np.errstate(divide="ignore", invalid="ignore"):
            residual = np.linalg.norm(seen[:, :2] / seen[:, 2:] - xy, axis=1)
        residual = np.where(np.isfinite(residual), residual, np.inf)
        keep = residual <= 3.0 * np.median(residual) + 1e-6
    if not np.median(residual) <= _MAX_RESIDUAL or abs(np.linalg.det(D)) < 1e-12 * np.abs(D).max() ** 3:
        return None
    d = np.linalg.inv(D if np.median(seen[:, 2]) > 0 else -D)
    normal = np.cross(d[:, 0], d[:, 1])
    d = d * distance / abs(float(d[:, 2] @ normal) / float(np.linalg.norm(normal)))
    pixel = float(np.linalg.norm(d[:, 0])), float(np.linalg.norm(d[:, 1]))
    if abs(float(d[:, 0] @ d[:, 1])) > _MAX_COSINE * pixel[0] * pixel[1]:
        return None
    return Panel(*right_angled(d[:, 0], d[:, 1]), d[:, 2], _size(xy, size), pixel)


def right_angled(fast: np.ndarray, slow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit axes (3,) at exactly right angles, which DIALS insists on: fast as given, slow next to what was given."""
    fast = fast / np.linalg.norm(fast)
    slow = slow - (slow @ fast) * fast
    return fast, slow / np.linalg.norm(slow)


def nominal_panel(xy: np.ndarray, distance: float, size: tuple[int, int]) -> Panel:
    """A stand-in across the beam where nothing is known: experiment lists need a detector, scaling does not use it."""
    width, height = _size(xy, size)
    origin = np.array([-width / 2.0, height / 2.0, 0.0]) * _NOMINAL_PIXEL
    origin[2] = -(distance if distance > 0 else _NOMINAL_DISTANCE)
    axes = np.array([1.0, 0.0, 0.0]), np.array([0.0, -1.0, 0.0])
    return Panel(*axes, origin, (width, height), (_NOMINAL_PIXEL, _NOMINAL_PIXEL), name="unknown")


def _size(xy: np.ndarray, size: tuple[int, int]) -> tuple[int, int]:
    """Pixels of the header, or as many as the reflections need."""
    width, height = (max(s, int(np.ceil(xy[:, i].max())) + 1) for i, s in enumerate(size))
    return width, height


def _homography(xy: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """(3, 3) D with (x, y, 1) ∝ D·ray in the sense of least squares."""
    centre, spread = xy.mean(axis=0), max(float(xy.std()), 1e-9)
    x, y = ((xy - centre) / spread).T
    nothing = np.zeros_like(rays)
    equations = np.concatenate(
        [np.hstack([rays, nothing, -x[:, None] * rays]), np.hstack([nothing, rays, -y[:, None] * rays])]
    )
    _, _, right = np.linalg.svd(equations, full_matrices=False)
    back = np.array([[spread, 0.0, centre[0]], [0.0, spread, centre[1]], [0.0, 0.0, 1.0]])
    return np.asarray(back @ right[-1].reshape(3, 3))
