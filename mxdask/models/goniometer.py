"""Goniometers with one or several axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.models.arrays import frozen

IDENTITY = np.eye(3)


def rotation_matrix(axis: Any, angle: Any) -> np.ndarray:
    """Rotation(s) about ``axis`` by ``angle`` radians, right handed.

    Parameters
    ----------
    axis : (3,) need not be normalised.
    angle : scalar or (n,) radians.

    Returns
    -------
    (3, 3) or (n, 3, 3) matrices R with R·v the turned vector (Rodrigues' formula).
    """
    u = np.asarray(axis, dtype=np.float64)
    u = u / np.linalg.norm(u)
    a = np.asarray(angle, dtype=np.float64)[..., None, None]
    cross = np.array([[0, -u[2], u[1]], [u[2], 0, -u[0]], [-u[1], u[0], 0]])
    return np.cos(a) * IDENTITY + np.sin(a) * cross + (1 - np.cos(a)) * np.outer(u, u)


def _finite(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = frozen(values, shape)
    if not np.all(np.isfinite(array)):
        raise MxdaskError("goniometer: an axis or matrix is not finite; check the image header")
    return array


@dataclass(frozen=True, eq=False)
class Goniometer:
    """Crystal → laboratory: q_lab = S · R(e, φ) · F · A · h (front.md 1.3).

    Attributes
    ----------
    rotation_axis : (3,) e, the scan axis at datum (before the setting rotation).
    fixed_rotation : (3, 3) F, between crystal and scan axis.
    setting_rotation : (3, 3) S, between scan axis and laboratory.
    axes, angles, names, scan_axis : for several axes, listed from crystal to base at datum, degrees; then e, F
        and S follow from them. None for a single axis.
    setting_rotation_at_scan_points : (n_images + 1, 3, 3) or None.
    """

    rotation_axis: np.ndarray
    fixed_rotation: np.ndarray
    setting_rotation: np.ndarray
    axes: np.ndarray | None = None
    angles: np.ndarray | None = None
    names: tuple[str, ...] = ()
    scan_axis: int = 0
    setting_rotation_at_scan_points: np.ndarray | None = None

    @classmethod
    def single_axis(
        cls, rotation_axis: Any, fixed_rotation: Any = None, setting_rotation: Any = None, setting_points: Any = None
    ) -> Goniometer:
        """A goniometer known by its scan axis and the two constant rotations (default: none)."""
        axis = _finite(rotation_axis, (3,))
        return cls(
            axis,
            _finite(IDENTITY if fixed_rotation is None else fixed_rotation, (3, 3)),
            _finite(IDENTITY if setting_rotation is None else setting_rotation, (3, 3)),
            setting_rotation_at_scan_points=None if setting_points is None else _finite(setting_points, (-1, 3, 3)),
        )

    @classmethod
    def multi_axis(cls, axes: Any, angles: Any, names: Any, scan_axis: int, setting_points: Any = None) -> Goniometer:
        """A goniometer known by its axes from crystal to base (n, 3), angles (n,) in degrees and the scan axis."""
        axes, angles = _finite(axes, (-1, 3)), _finite(angles, (-1,))
        if len(axes) != len(angles) or not 0 <= scan_axis < len(axes):
            raise MxdaskError(f"goniometer: {len(axes)} axes, {len(angles)} angles, scan axis {scan_axis} do not fit")
        fixed, setting = IDENTITY, IDENTITY
        for axis, angle in zip(axes[:scan_axis], angles[:scan_axis], strict=True):
            fixed = rotation_matrix(axis, np.deg2rad(angle)) @ fixed
        for axis, angle in zip(axes[scan_axis + 1 :], angles[scan_axis + 1 :], strict=True):
            setting = rotation_matrix(axis, np.deg2rad(angle)) @ setting
        return cls(
            axes[scan_axis], _finite(fixed, (3, 3)), _finite(setting, (3, 3)), axes, angles, tuple(names), scan_axis,
            None if setting_points is None else _finite(setting_points, (-1, 3, 3)),
        )  # fmt: skip

    @property
    def lab_axis(self) -> np.ndarray:
        """(3,) rotation axis in the laboratory, S·e."""
        return self.setting_rotation @ self.rotation_axis

    @property
    def is_multi_axis(self) -> bool:
        """Whether its axes are listed."""
        return self.axes is not None

    def with_scan_axis_inverted(self) -> Goniometer:
        """The scan axis turned round; also in the list of axes, which alone is stored if there is one."""
        points = self.setting_rotation_at_scan_points
        if self.axes is not None:
            axes = self.axes.copy()
            axes[self.scan_axis] *= -1.0
            return Goniometer.multi_axis(axes, self.angles, self.names, self.scan_axis, points)
        return Goniometer.single_axis(-self.rotation_axis, self.fixed_rotation, self.setting_rotation, points)

    def rotation(self, phi: Any) -> np.ndarray:
        """S·R(e, φ)·F for φ in radians: (3, 3), or (n, 3, 3) for an array."""
        return self.setting_rotation @ rotation_matrix(self.rotation_axis, phi) @ self.fixed_rotation

    def is_similar_to(self, other: Goniometer, tolerance: float = 1e-6) -> bool:
        """DIALS' rule for sharing on import: components of axes and rotations, and angles (degrees), agree."""
        if self.is_multi_axis != other.is_multi_axis:
            return False
        if self.axes is not None and other.axes is not None:
            return (
                self.axes.shape == other.axes.shape
                and bool(np.all(np.abs(self.axes - other.axes) <= tolerance))
                and bool(np.all(np.abs(self.angles - other.angles) <= tolerance))  # type: ignore[operator]
                and self.names == other.names
                and self.scan_axis == other.scan_axis
            )
        return all(
            bool(np.all(np.abs(getattr(self, name) - getattr(other, name)) <= tolerance))
            for name in ("rotation_axis", "fixed_rotation", "setting_rotation")
        )
