"""The incident beam."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.models.arrays import frozen


@dataclass(frozen=True, eq=False)
class Beam:
    """A monochromatic beam. Identity (``is``), not equality, says whether experiments share it.

    Attributes
    ----------
    direction : (3,) unit vector from the sample to the source, laboratory frame.
    wavelength : Å.
    divergence, sigma_divergence : degrees.
    polarization_normal : (3,) unit vector; ``polarization_fraction`` in [0, 1].
    sample_to_source_distance : mm.
    s0_at_scan_points : (n_images + 1, 3) Å⁻¹ or None.
    extra : keys of the file that have no meaning here, kept for lossless round trips.
    """

    direction: np.ndarray
    wavelength: float
    divergence: float = 0.0
    sigma_divergence: float = 0.0
    polarization_normal: np.ndarray = field(default_factory=lambda: frozen((0.0, 1.0, 0.0)))
    polarization_fraction: float = 0.999
    flux: float = 0.0
    transmission: float = 1.0
    probe: str = "x-ray"
    sample_to_source_distance: float = 0.0
    s0_at_scan_points: np.ndarray | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        direction = np.asarray(self.direction, dtype=np.float64)
        norm = float(np.linalg.norm(direction))
        if not (np.isfinite(norm) and norm > 0 and np.isfinite(self.wavelength) and self.wavelength > 0):
            raise MxdaskError(
                f"beam: direction {direction.tolist()} and wavelength {self.wavelength} Å must be finite, not zero; "
                "check the image header or give geometry.beam.wavelength="
            )
        # A vector that is a unit vector up to rounding stays bit for bit what the file said.
        if abs(norm - 1.0) > 1e-12:
            direction = direction / norm
        object.__setattr__(self, "direction", frozen(direction))
        object.__setattr__(self, "polarization_normal", frozen(self.polarization_normal))
        if self.s0_at_scan_points is not None:
            object.__setattr__(self, "s0_at_scan_points", frozen(self.s0_at_scan_points))

    @property
    def s0(self) -> np.ndarray:
        """(3,) incident wave vector, Å⁻¹, pointing the way the beam travels; |s0| = 1/λ."""
        return -self.direction / self.wavelength

    def with_s0(self, s0: np.ndarray) -> Beam:
        """The same beam with another incident wave vector (Å⁻¹)."""
        norm = float(np.linalg.norm(s0))
        return replace(self, direction=-np.asarray(s0) / norm, wavelength=1.0 / norm)

    def is_similar_to(self, other: Beam, tolerance: float = 1e-6) -> bool:
        """Whether two beams count as the same one (DIALS: 1e-6 in each quantity)."""
        return (
            abs(self.wavelength - other.wavelength) <= tolerance
            and bool(np.all(np.abs(self.direction - other.direction) <= tolerance))
            and bool(np.all(np.abs(self.polarization_normal - other.polarization_normal) <= tolerance))
            and abs(self.polarization_fraction - other.polarization_fraction) <= tolerance
            and self.s0_at_scan_points is None
            and other.s0_at_scan_points is None
        )
