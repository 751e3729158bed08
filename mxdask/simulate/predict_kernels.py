# mypy: allow-untyped-defs, allow-untyped-calls
"""Which reflections cross the Ewald sphere during a sweep."""

from __future__ import annotations

import math

import numpy as np

from mxdask._jit import jit


@jit
def crossings(hkl, A, s0, axis, phi_start, phi_end, sigma_m, n_sigma, max_padding, d_star_max, rows, phi):
    """Angles at which lattice points A·h, turned about ``axis``, lie on the sphere; rotation method (Kabsch, 2010).

    A crossing counts when its rocking curve (n_sigma·sigma_m/|ζ| each way, at most ``max_padding``) touches the sweep.

    Parameters
    ----------
    hkl : (n, 3) int32; A (3, 3), s0 (3,) Å⁻¹; axis (3,) unit vector in the laboratory.
    phi_start, phi_end, sigma_m, max_padding : radians. d_star_max : Å⁻¹.
    rows, phi : (m,) int64 and float64, filled with index into hkl and angle in [phi_start − padding, …).

    Returns
    -------
    number of crossings found (those beyond m are counted, not stored).
    """
    m1x = axis[1] * s0[2] - axis[2] * s0[1]
    m1y = axis[2] * s0[0] - axis[0] * s0[2]
    m1z = axis[0] * s0[1] - axis[1] * s0[0]
    norm = math.sqrt(m1x * m1x + m1y * m1y + m1z * m1z)
    m1 = np.array([m1x / norm, m1y / norm, m1z / norm])
    m3 = np.empty(3)
    m3[0] = m1[1] * axis[2] - m1[2] * axis[1]
    m3[1] = m1[2] * axis[0] - m1[0] * axis[2]
    m3[2] = m1[0] * axis[1] - m1[1] * axis[0]
    s0_m2 = s0[0] * axis[0] + s0[1] * axis[1] + s0[2] * axis[2]
    s0_m3 = s0[0] * m3[0] + s0[1] * m3[1] + s0[2] * m3[2]
    s0_norm = math.sqrt(s0[0] ** 2 + s0[1] ** 2 + s0[2] ** 2)
    found = 0
    for i in range(hkl.shape[0]):
        p = A[:, 0] * hkl[i, 0] + A[:, 1] * hkl[i, 1] + A[:, 2] * hkl[i, 2]
        length2 = p[0] * p[0] + p[1] * p[1] + p[2] * p[2]
        if length2 > d_star_max * d_star_max:
            continue
        p1 = p[0] * m1[0] + p[1] * m1[1] + p[2] * m1[2]
        p2 = p[0] * axis[0] + p[1] * axis[1] + p[2] * axis[2]
        p3 = p[0] * m3[0] + p[1] * m3[1] + p[2] * m3[2]
        q3 = (-0.5 * length2 - p2 * s0_m2) / s0_m3  # component along m3 when the point is on the sphere
        radius2 = p1 * p1 + p3 * p3
        if radius2 <= q3 * q3:
            continue  # never reaches the sphere: the blind region
        q1 = math.sqrt(radius2 - q3 * q3)
        # |ζ| = |m2·(s1 × s0)|/|s1 × s0|, and s1 × s0 = q × s0; the component along m2 is q1·(s0·m3) in size.
        s1_s0 = s0_norm * s0_norm - 0.5 * length2
        cross = math.sqrt(max(1e-30, s0_norm**4 - s1_s0 * s1_s0))
        zeta = abs(q1 * s0_m3) / cross
        padding = min(max_padding, n_sigma * sigma_m / max(zeta, 1e-9))
        before = math.atan2(p1, p3)
        for sign in (-1.0, 1.0):
            angle = math.atan2(sign * q1, q3) - before
            lowest = phi_start - padding
            turned = angle - lowest
            turned -= 2 * math.pi * math.floor(turned / (2 * math.pi))
            if turned > phi_end + padding - lowest:
                continue
            if found < rows.shape[0]:
                rows[found] = i
                phi[found] = lowest + turned
            found += 1
    return found
