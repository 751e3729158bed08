"""Kabsch's local coordinate system of a reflection, and what follows from it (back.md 3, 9.1; Kabsch 2010)."""

from __future__ import annotations

import numpy as np
from scipy.special import erf


def local_axes(s0: np.ndarray, s1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors e1 = s1×s0 and e2 = s1×e1 (normalised), each (n, 3), for wave vectors s1 (n, 3), s0 (3,), Å⁻¹."""
    e1 = np.cross(s1, s0)
    e1 /= np.linalg.norm(e1, axis=1, keepdims=True)
    e2 = np.cross(s1, e1)
    e2 /= np.linalg.norm(e2, axis=1, keepdims=True)
    return e1, e2


def zeta(axis: np.ndarray, s0: np.ndarray, s1: np.ndarray) -> np.ndarray:
    """(n,) ζ = axis·e1: turns a spindle angle into a reflecting angle, ε3 = ζ(φ' − φ). ``axis`` is the laboratory's."""
    e1, _ = local_axes(s0, s1)
    return e1 @ (axis / np.linalg.norm(axis))


def rays_at(s1: np.ndarray, e1: np.ndarray, e2: np.ndarray, eps1: np.ndarray, eps2: np.ndarray) -> np.ndarray:
    """(n, 3) diffracted wave vectors at angular offsets (ε1, ε2) (radians) from s1, on the Ewald sphere.

    p = |s1|(ε1·e1 + ε2·e2), s' = p + ŝ1(√(|s1|² − |p|²) − ŝ1·p); NaN where |p| > |s1|.
    """
    length = np.linalg.norm(s1, axis=1, keepdims=True)
    p = length * (eps1[:, None] * e1 + eps2[:, None] * e2)
    unit = s1 / length
    with np.errstate(invalid="ignore"):
        along = np.sqrt(length**2 - np.sum(p * p, axis=1, keepdims=True)) - np.sum(unit * p, axis=1, keepdims=True)
    return p + unit * along


def partiality(
    zeta: np.ndarray, sigma_m: float | np.ndarray, phi: np.ndarray, phi_a: np.ndarray, phi_b: np.ndarray
) -> np.ndarray:
    """(n,) fraction of a reflection recorded while the spindle turns from φa to φb (radians).

    ½[erf(c(φb − φ)) − erf(c(φa − φ))] with c = |ζ|/(√2 σ_m), σ_m in radians.
    """
    c = np.abs(zeta) / (np.sqrt(2.0) * sigma_m)
    return 0.5 * np.abs(erf(c * (phi_b - phi)) - erf(c * (phi_a - phi)))


def lorentz_polarisation(
    s0: np.ndarray, s1: np.ndarray, axis: np.ndarray, polarisation_normal: np.ndarray, polarisation_fraction: float
) -> np.ndarray:
    """(n,) L/P, by which an intensity is multiplied (XDS' convention).

    L = |s1·(m2×s0)|/(|s1||s0|); P = (1 − 2p)(1 − (n̂·ŝ1)²) + p(1 + (ŝ0·ŝ1)²).
    """
    unit1 = s1 / np.linalg.norm(s1, axis=1, keepdims=True)
    unit0 = s0 / np.linalg.norm(s0)
    lorentz = np.abs(unit1 @ np.cross(axis / np.linalg.norm(axis), unit0))
    normal = polarisation_normal / np.linalg.norm(polarisation_normal)
    p = polarisation_fraction
    polarisation = (1 - 2 * p) * (1 - (unit1 @ normal) ** 2) + p * (1 + (unit1 @ unit0) ** 2)
    return lorentz / polarisation
