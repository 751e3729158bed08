# mypy: allow-untyped-defs, allow-untyped-calls
"""Residuals, gradients and normal equations of one experiment in a single pass over its reflections.

With (u, v, w) = D·s1 the calculated position is X = u/w, Y = v/w. A change dr of the diffracting point r at fixed φ
moves them by a·dr, with a = g − (g·(e×r))/(e×r·s0)·s1 and g = (D₀ − X·D₂)/w (or D₁, Y), because φ follows by
dφ = −(dr·s1)/(e×r·s0). A change of s0 moves them by the same expression with r in place of s1, a change dd of the
panel's matrix by −w·g·dd·(X, Y, 1) (front.md 12.5).
"""

from __future__ import annotations

import numpy as np

from mxdask._jit import jit
from mxdask.geometry.predict_kernels import nearest_turn, rotation_frame, sphere_crossing

# |e×r·s0| below this (Å⁻²): the point grazes the sphere and its angle has no usable derivative.
GRAZING = 1e-6


@jit(inline="always")
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@jit(inline="always")
def _times(m, v, out):
    for k in range(3):
        out[k] = m[k, 0] * v[0] + m[k, 1] * v[1] + m[k, 2] * v[2]


@jit(inline="always")
def _times_transposed(m, v, out):
    for k in range(3):
        out[k] = m[0, k] * v[0] + m[1, k] * v[1] + m[2, k] * v[2]


@jit()
def _beam_rows(g, f, r, den, d_s0, column, n, cols, jac):
    """Derivatives by the beam's parameters; f = g·(e×r)/(e×r·s0). Returns the number of columns filled so far."""
    for q in range(len(d_s0)):
        if column[q] < 0:
            continue
        t = _dot(d_s0[q], r)
        cols[n] = column[q]
        jac[n, 0] = _dot(g[0], d_s0[q]) - f[0] * t
        jac[n, 1] = _dot(g[1], d_s0[q]) - f[1] * t
        jac[n, 2] = -t / den
        n += 1
    return n


@jit()
def _detector_rows(g, w, x, y, d_panel, column, n, cols, jac):
    """Derivatives by the six parameters of the panel's group."""
    for q in range(6):
        if column[q] < 0:
            continue
        dd = d_panel[q]
        cols[n] = column[q]
        jac[n, 0], jac[n, 1], jac[n, 2] = 0.0, 0.0, 0.0
        for k in range(3):
            t = w * (dd[k, 0] * x + dd[k, 1] * y + dd[k, 2])
            jac[n, 0] -= g[0, k] * t
            jac[n, 1] -= g[1, k] * t
        n += 1
    return n


@jit()
def _goniometer_rows(a, rg, d_S, column, n, cols, jac, work):
    """Derivatives by the goniometer's tilts; rg is the diffracting point before the setting rotation."""
    for q in range(len(d_S)):
        if column[q] < 0:
            continue
        _times(d_S[q], rg, work)
        cols[n] = column[q]
        for k in range(3):
            jac[n, k] = _dot(a[k], work)
        n += 1
    return n


@jit()
def _crystal_rows(b, hkl, d_A, sample, sample_weight, column, n, cols, jac, work):
    """Derivatives by the crystal's parameters at each sample of the block: a·dr = b·(dA·h)."""
    n_crystal = len(d_A)
    for q in range(n_crystal):
        _times(d_A[q], hkl, work)
        jx, jy, jp = _dot(b[0], work), _dot(b[1], work), _dot(b[2], work)
        for j in range(len(sample)):
            c, f = column[sample[j] * n_crystal + q], sample_weight[j]
            if c < 0 or f == 0.0:
                continue
            cols[n] = c
            jac[n, 0], jac[n, 1], jac[n, 2] = f * jx, f * jy, f * jp
            n += 1
    return n


@jit()
def _to_crystal(a, S, F, e, cosine, sine, b, work, turned):
    """b = Fᵀ·R(e, −φ)·Sᵀ·a for the three rows of a."""
    for k in range(3):
        _times_transposed(S, a[k], work)
        along = _dot(e, work) * (1.0 - cosine)
        turned[0] = cosine * work[0] - sine * (e[1] * work[2] - e[2] * work[1]) + along * e[0]
        turned[1] = cosine * work[1] - sine * (e[2] * work[0] - e[0] * work[2]) + along * e[1]
        turned[2] = cosine * work[2] - sine * (e[0] * work[1] - e[1] * work[0]) + along * e[2]
        _times_transposed(F, turned, b[k])


@jit()
def _add(n, cols, jac, weight, residual, normal, gradient):
    """Add one reflection's JᵀWJ (upper triangle) and JᵀWr. A column may occur twice (tied parameters)."""
    for j in range(n):
        wx, wy, wp = weight[0] * jac[j, 0], weight[1] * jac[j, 1], weight[2] * jac[j, 2]
        gradient[cols[j]] += wx * residual[0] + wy * residual[1] + wp * residual[2]
        for k in range(n):
            if cols[k] >= cols[j]:
                normal[cols[j], cols[k]] += wx * jac[k, 0] + wy * jac[k, 1] + wp * jac[k, 2]


@jit()
def accumulate(
    hkl, entering, panel, block, observed, weight,
    s0, S, e, F, A, D,
    d_s0, d_S, d_A, d_panel, panel_offset, sample, sample_weight,
    beam_column, detector_column, goniometer_column, crystal_column,
    normal, gradient, sums, residual,
):  # fmt: skip
    """Add JᵀWJ, JᵀWr and sums of squares of n reflections; J is never stored.

    Parameters
    ----------
    hkl (n, 3) f8, entering (n,) bool, panel (n,) i8, block (n,) i8 index of the crystal's state,
    observed, weight : (n, 3) mm, mm, rad and their inverse variances.
    s0 (3,), S and F (3, 3), e (3,) unit, A (b, 3, 3), D (p, 3, 3) : the models.
    d_s0 (3, 3), d_S (2, 3, 3), d_A (b, c, 3, 3), d_panel (p, 6, 3, 3) : derivatives of the models, parameters
        first; those of the crystal by the parameters' values at the block.
    panel_offset : (p,) first detector parameter of each panel's group.
    sample (b, m), sample_weight (b, m) : which samples of the crystal's parameters make up the block's values.
    *_column : parameter → column of ``normal``, or -1 when it is held; the crystal's are sample-major.
    normal (L, L) upper triangle, gradient (L,), sums (6,): Σr² of x, y, φ, Σwr², count, count of points that miss the
        sphere; residual (n, 3): calculated − observed. With L = 0 only sums and residuals are made.
    """
    s, el = S.T @ s0, S @ e
    m1, m3 = rotation_frame(s, e)
    FA = np.empty_like(A)
    for k in range(len(A)):
        FA[k] = F @ A[k]
    width = 3 + 6 + 2 + d_A.shape[1] * sample.shape[1]
    cols, jac = np.empty(width, np.int64), np.empty((width, 3))
    p, rg, r, s1, work, turned, f = (
        np.empty(3), np.empty(3), np.empty(3), np.empty(3), np.empty(3), np.empty(3), np.empty(2),
    )  # fmt: skip
    g, a, b = np.empty((2, 3)), np.empty((3, 3)), np.empty((3, 3))
    for i in range(len(hkl)):
        _times(FA[block[i]], hkl[i], p)
        crosses, c1, c2, c3, cosine, sine = sphere_crossing(p, s, e, m1, m3, entering[i])
        for k in range(3):
            rg[k] = c1 * m1[k] + c2 * e[k] + c3 * m3[k]
        _times(S, rg, r)
        for k in range(3):
            s1[k] = s0[k] + r[k]
        d = D[panel[i]]
        w = _dot(d[2], s1)
        x, y = _dot(d[0], s1) / w, _dot(d[1], s1) / w
        phi = nearest_turn(np.arctan2(sine, cosine), observed[i, 2])
        residual[i, 0], residual[i, 1], residual[i, 2] = x - observed[i, 0], y - observed[i, 1], phi - observed[i, 2]
        for k in range(3):
            sums[k] += residual[i, k] ** 2
            sums[3] += weight[i, k] * residual[i, k] ** 2
        sums[4] += 1.0
        exr = (el[1] * r[2] - el[2] * r[1], el[2] * r[0] - el[0] * r[2], el[0] * r[1] - el[1] * r[0])
        den = _dot(exr, s0)
        if not crosses:
            sums[5] += 1.0
        if len(normal) == 0 or not crosses or abs(den) < GRAZING:
            continue
        for k in range(3):
            g[0, k] = (d[0, k] - x * d[2, k]) / w
            g[1, k] = (d[1, k] - y * d[2, k]) / w
        f[0], f[1] = _dot(g[0], exr) / den, _dot(g[1], exr) / den
        for k in range(3):
            a[0, k] = g[0, k] - f[0] * s1[k]
            a[1, k] = g[1, k] - f[1] * s1[k]
            a[2, k] = -s1[k] / den
        n = _beam_rows(g, f, r, den, d_s0, beam_column, 0, cols, jac)
        at = panel_offset[panel[i]]
        n = _detector_rows(g, w, x, y, d_panel[panel[i]], detector_column[at : at + 6], n, cols, jac)
        n = _goniometer_rows(a, rg, d_S, goniometer_column, n, cols, jac, work)
        _to_crystal(a, S, F, e, cosine, sine, b, work, turned)
        n = _crystal_rows(
            b, hkl[i], d_A[block[i]], sample[block[i]], sample_weight[block[i]], crystal_column, n, cols, jac, work
        )
        _add(n, cols, jac, weight[i], residual[i], normal, gradient)
