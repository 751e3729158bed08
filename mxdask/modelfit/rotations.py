"""Products of small rotations about fixed axes, and their derivatives."""

from __future__ import annotations

import numpy as np

MRAD = 1e-3


def axis_rotations(axes: np.ndarray, mrad: np.ndarray) -> np.ndarray:
    """(..., k, 3, 3) right-handed rotations about unit axes (k, 3) by angles (..., k) in mrad."""
    angle = np.asarray(mrad, dtype=np.float64)[..., None, None] * MRAD
    x, y, z = axes[:, 0], axes[:, 1], axes[:, 2]
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(-1, 3, 3)
    return np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * (cross @ cross)


def composed(axes: np.ndarray, mrad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R = R_k … R_2·R_1 and dR/dangle per mrad.

    Parameters
    ----------
    axes : (k, 3) unit vectors; mrad : (..., k) angles.

    Returns
    -------
    (..., 3, 3) the product, (..., k, 3, 3) its derivatives.
    """
    single = axis_rotations(axes, mrad)
    quarter = axis_rotations(axes, np.asarray(mrad) + 500.0 * np.pi)  # cos → −sin, sin → cos: the derivative
    count = len(axes)
    outer = axes[:, :, None] * axes[:, None, :]
    derivative = (quarter - outer) * MRAD  # the part along the axis does not turn
    total = single[..., 0, :, :]
    for k in range(1, count):
        total = single[..., k, :, :] @ total
    parts = []
    for q in range(count):
        product = derivative[..., 0, :, :] if q == 0 else single[..., 0, :, :]
        for k in range(1, count):
            product = (derivative if k == q else single)[..., k, :, :] @ product
        parts.append(product)
    return total, np.stack(parts, axis=-3)


def perpendicular_to(axis: np.ndarray, hint: np.ndarray) -> np.ndarray:
    """Unit vector along hint × axis; any perpendicular direction when the two are parallel."""
    vector = np.cross(hint, axis)
    norm = float(np.linalg.norm(vector))
    if norm < 1e-6 * float(np.linalg.norm(hint)) * float(np.linalg.norm(axis)):
        vector = np.cross(axis, np.eye(3)[int(np.argmin(np.abs(axis)))])
        norm = float(np.linalg.norm(vector))
    return vector / norm
