"""Products of small rotations about fixed axes, and their derivatives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mxdask.modelfit.rotations_kernels import compose

MRAD = 1e-3


def composed(axes: np.ndarray, mrad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R = R_k … R_2·R_1, right handed, and dR/dangle per mrad.

    Parameters
    ----------
    axes : (k, 3) unit vectors; mrad : (..., k) angles.

    Returns
    -------
    (..., 3, 3) the product, (..., k, 3, 3) its derivatives.
    """
    angles = np.asarray(mrad, dtype=np.float64) * MRAD
    lead, count = angles.shape[:-1], angles.shape[-1]
    flat = np.ascontiguousarray(angles.reshape(-1, count))
    total, derivative = np.empty((len(flat), 3, 3)), np.empty((len(flat), count, 3, 3))
    compose(axes, flat, total, derivative)
    return total.reshape(*lead, 3, 3), (derivative * MRAD).reshape(*lead, count, 3, 3)


def perpendicular_to(axis: np.ndarray, hint: np.ndarray) -> np.ndarray:
    """Unit vector along hint × axis; any perpendicular direction when the two are parallel."""
    vector = np.cross(hint, axis)
    norm = float(np.linalg.norm(vector))
    if norm < 1e-6 * float(np.linalg.norm(hint)) * float(np.linalg.norm(axis)):
        vector = np.cross(axis, np.eye(3)[int(np.argmin(np.abs(axis)))])
        norm = float(np.linalg.norm(vector))
    return vector / norm


def nearest_values(
    state: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], target: np.ndarray, size: int
) -> np.ndarray:
    """(size,) parameters whose state is nearest to a target, by Gauss and Newton from zero.

    ``state`` gives the state and its derivatives, parameters first.
    """
    values = np.zeros(size)
    for _ in range(5):
        now, derivative = state(values)
        values = values + np.linalg.lstsq(derivative.reshape(size, -1).T, (target - now).ravel(), rcond=1e-9)[0]
    return values
