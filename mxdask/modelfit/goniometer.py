"""Parameters of the goniometer: two rotations that tilt its axis (front.md 12.4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.modelfit.rotations import composed, perpendicular_to
from mxdask.models import Beam, Goniometer


@dataclass(frozen=True)
class GoniometerParameters:
    """Shifts Gamma1, Gamma2 (mrad) of the setting rotation about two directions across the axis."""

    goniometer: Goniometer
    axes: np.ndarray

    size = 2
    names = ("Gamma1", "Gamma2")

    @classmethod
    def of(cls, goniometer: Goniometer, beam: Beam) -> GoniometerParameters:
        """Shifts about a goniometer."""
        axis = goniometer.lab_axis / np.linalg.norm(goniometer.lab_axis)
        dir2 = perpendicular_to(beam.s0, axis)
        return cls(goniometer, np.array([np.cross(dir2, axis), dir2]))

    def S_and_derivatives(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """S (3, 3) and its derivatives (2, 3, 3)."""
        R, dR = composed(self.axes, values)
        return R @ self.goniometer.setting_rotation, dR @ self.goniometer.setting_rotation

    def model(self, values: np.ndarray) -> Goniometer:
        """A tilted axis can no longer be written as turns about the listed axes: they become one axis and F, S."""
        S, _ = self.S_and_derivatives(values)
        return Goniometer.single_axis(self.goniometer.rotation_axis, self.goniometer.fixed_rotation, S)
