"""Factors that later steps apply to intensities, and powder rings (back.md 4, 9.1)."""

from __future__ import annotations

import numpy as np

from mxdask.geometry.kabsch import lorentz_polarisation
from mxdask.models import Beam, Detector, Goniometer

# 1/d² (Å⁻²) of the powder rings of hexagonal ice.
ICE_RINGS = np.array(
    [
        (0.064, 0.069), (0.071, 0.078), (0.0825, 0.088), (0.138, 0.144), (0.190, 0.205), (0.228, 0.240), (0.262, 0.266),
        (0.267, 0.278), (0.280, 0.288), (0.337, 0.341), (0.429, 0.435), (0.459, 0.466), (0.478, 0.486), (0.531, 0.537),
    ]
)  # fmt: skip


def lp_factors(beam: Beam, goniometer: Goniometer, s1: np.ndarray) -> np.ndarray:
    """(n,) Lorentz-polarisation factor of wave vectors s1 (n, 3): I_corrected = I·lp/qe."""
    return lorentz_polarisation(beam.s0, s1, goniometer.lab_axis, beam.polarization_normal, beam.polarization_fraction)


def quantum_efficiency(detector: Detector, panel: np.ndarray, s1: np.ndarray) -> np.ndarray:
    """(n,) fraction 1 − exp(−µ t/cos) of photons absorbed in the sensor; 1 where the sensor is not described."""
    unit = s1 / np.linalg.norm(s1, axis=1, keepdims=True)
    out = np.ones(len(s1))
    for index in np.unique(panel):
        p = detector[int(index)]
        if p.mu > 0 and p.thickness > 0:
            rows = panel == index
            out[rows] = 1.0 - np.exp(-p.mu * p.thickness / np.abs(unit[rows] @ p.normal))
    return out


def on_ice_ring(d: np.ndarray) -> np.ndarray:
    """(n,) whether resolutions d (Å) lie on a powder ring of ice."""
    inverse_square = 1.0 / np.asarray(d) ** 2
    return np.any((inverse_square[:, None] >= ICE_RINGS[:, 0]) & (inverse_square[:, None] <= ICE_RINGS[:, 1]), axis=1)
