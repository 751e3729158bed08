"""Parameters of the beam: two rotations of its direction and the wavenumber (front.md 12.4)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mxdask.modelfit.rotations import composed, nearest_values, perpendicular_to
from mxdask.models import Beam


@dataclass(frozen=True)
class BeamParameters:
    """Shifts about a starting beam: Mu1, Mu2 (mrad), nu (Å⁻¹).

    Mu1 turns s0 about a direction in the plane of beam and spindle, that is about the spindle where the two are
    perpendicular; Mu2 turns it within the plane. To turn beam, detector and crystal together about the spindle changes
    nothing that can be observed, so Mu1 is held (``in_spindle_plane``, DIALS' word) unless the detector is.
    """

    beam: Beam
    axes: np.ndarray
    direction0: np.ndarray

    size = 3
    names = ("Mu1", "Mu2", "nu")

    @classmethod
    def of(cls, beam: Beam, spindle: np.ndarray) -> BeamParameters:
        """Shifts about a beam and a spindle (3,)."""
        direction = beam.s0 / np.linalg.norm(beam.s0)
        dir2 = perpendicular_to(spindle, direction)
        dir1 = perpendicular_to(direction, dir2)
        return cls(beam, np.array([dir1, dir2]), direction)

    def s0(self, values: np.ndarray) -> np.ndarray:
        """(3,) Å⁻¹ at parameter values (3,)."""
        return self.s0_and_derivatives(values)[0]

    def s0_and_derivatives(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """s0 (3,) and its derivatives (3, 3), rows by parameter."""
        R, dR = composed(self.axes, values[:2])
        wavenumber = 1.0 / self.beam.wavelength + values[2]
        direction = R @ self.direction0
        return wavenumber * direction, np.vstack([wavenumber * dR @ self.direction0, direction])

    def values_of(self, beam: Beam) -> np.ndarray:
        """The parameters at which this beam is (nearest to) another."""
        return nearest_values(self.s0_and_derivatives, beam.s0, self.size)

    def model(self, values: np.ndarray) -> Beam:
        """The beam at parameter values."""
        R, _ = composed(self.axes, values[:2])
        beam = self.beam.with_s0(self.s0(values))
        return replace(beam, polarization_normal=R @ self.beam.polarization_normal)

    @staticmethod
    def fixed(fix: tuple[str, ...]) -> np.ndarray:
        """(3,) mask of the parameters that the words all, in_spindle_plane, out_spindle_plane, wavelength hold."""
        held = {"all": (0, 1, 2), "in_spindle_plane": (0,), "out_spindle_plane": (1,), "wavelength": (2,)}
        mask = np.zeros(3, dtype=bool)
        for word in fix:
            mask[list(held[word])] = True
        return mask
