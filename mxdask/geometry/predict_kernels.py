# mypy: allow-untyped-defs, allow-untyped-calls
"""Where a reflection meets the Ewald sphere: compiled, one reflection at a time."""

from __future__ import annotations

import numpy as np

from mxdask._jit import jit


@jit(inline="always")
def sphere_crossing(p, s, e, m1, m3, entering):
    """The crossing of one reciprocal lattice point that turns about ``e`` (front.md 11.1).

    Everything is in the goniometer's frame before the setting rotation: p the point at φ = 0, s the incident wave
    vector, m1 = unit(e × s), m3 = m1 × e. As s·m1 = 0, the root with positive component along m1 is the entering one.

    Returns (crosses, c1, c2, c3, cos φ, sin φ): the crossing point is c1·m1 + c2·e + c3·m3. A point that never crosses
    is given at its closest approach, so that a target made of residuals stays continuous.
    """
    q1 = p[0] * m1[0] + p[1] * m1[1] + p[2] * m1[2]
    q2 = p[0] * e[0] + p[1] * e[1] + p[2] * e[2]
    q3 = p[0] * m3[0] + p[1] * m3[1] + p[2] * m3[2]
    length2 = p[0] * p[0] + p[1] * p[1] + p[2] * p[2]
    c3 = (-0.5 * length2 - q2 * (s[0] * e[0] + s[1] * e[1] + s[2] * e[2])) / (
        s[0] * m3[0] + s[1] * m3[1] + s[2] * m3[2]
    )
    rho2 = length2 - q2 * q2
    c1_squared = rho2 - c3 * c3
    crosses = c1_squared > 0.0
    if crosses:
        c1 = np.sqrt(c1_squared)
        if not entering:
            c1 = -c1
    else:
        c1 = 0.0
        c3 = np.sign(c3) * np.sqrt(max(rho2, 0.0))
    sine = c1 * q3 - c3 * q1
    cosine = c1 * q1 + c3 * q3
    norm = np.sqrt(sine * sine + cosine * cosine)
    if norm > 0.0:
        sine /= norm
        cosine /= norm
    else:
        cosine = 1.0
        crosses = False
    return crosses, c1, q2, c3, cosine, sine


@jit()
def rotation_frame(s, e):
    """m1 = unit(e × s) and m3 = m1 × e."""
    m1 = np.array([e[1] * s[2] - e[2] * s[1], e[2] * s[0] - e[0] * s[2], e[0] * s[1] - e[1] * s[0]])
    m1 /= np.sqrt(m1[0] ** 2 + m1[1] ** 2 + m1[2] ** 2)
    m3 = np.array([m1[1] * e[2] - m1[2] * e[1], m1[2] * e[0] - m1[0] * e[2], m1[0] * e[1] - m1[1] * e[0]])
    return m1, m3


@jit(inline="always")
def nearest_turn(phi, observed):
    """φ moved by whole turns to lie nearest to the observed angle."""
    turn = 2.0 * np.pi
    return phi + turn * np.round((observed - phi) / turn)


@jit()
def crossings(hkl, block, A, s, e, entering, phi_observed, s1, phi, crosses):
    """Wave vectors (frame before the setting rotation) and angles of many reflections.

    hkl (n, 3) f8, block (n,) index into A (b, 3, 3) = F·A, s = Sᵀ·s0; writes s1 (n, 3), phi (n,), crosses (n,).
    """
    m1, m3 = rotation_frame(s, e)
    p = np.empty(3)
    for i in range(len(hkl)):
        a = A[block[i]]
        for k in range(3):
            p[k] = a[k, 0] * hkl[i, 0] + a[k, 1] * hkl[i, 1] + a[k, 2] * hkl[i, 2]
        crosses[i], c1, c2, c3, cosine, sine = sphere_crossing(p, s, e, m1, m3, entering[i])
        phi[i] = nearest_turn(np.arctan2(sine, cosine), phi_observed[i])
        for k in range(3):
            s1[i, k] = s[k] + c1 * m1[k] + c2 * e[k] + c3 * m3[k]
