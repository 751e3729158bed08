"""Residuals, gradients and normal equations of one experiment in a single pass over its reflections."""

from __future__ import annotations

import numpy as np

from mxdask._jit import jit
from mxdask.geometry.predict_kernels import nearest_turn, rotation_frame, sphere_crossing

# e·(r × s0) below this (Å⁻²): the point grazes the sphere and its angle has no usable derivative.
GRAZING = 1e-6


@jit()
def accumulate(
    hkl, entering, panel, block, observed, weight,
    s0, S, e, F, A, D,
    d_s0, d_S, d_A, d_panel, panel_offset, sample, sample_weight,
    column, beam_at, detector_at, goniometer_at, crystal_at, n_crystal,
    normal, gradient, sums, residual,
):  # fmt: skip
    """Add JᵀWJ, JᵀWr and sums of squares of n reflections; J is never stored (front.md 12.5, 12.7).

    With X, Y, φ the calculated position, a change dr of the diffracting point r (at fixed φ) moves X by a·dr with
    a = g − (g·(e×r))/(e×r·s0)·s1 and g = (D₀ − (u/w)·D₂)/w, (u, v, w) = D·s1; a change of s0 moves it by the same
    expression with r in place of s1 in the second term; a change dd of the panel's matrix by −g·dd·(X, Y, 1).

    Parameters
    ----------
    hkl (n, 3) f8, entering (n,) bool, panel (n,) i8, block (n,) i8 index of the crystal state,
    observed, weight : (n, 3) mm, mm, rad and their inverse variances.
    s0 (3,), S and F (3, 3), e (3,), A (b, 3, 3), D (p, 3, 3) : the models.
    d_s0 (nb, 3), d_S (ng, 3, 3), d_A (b, n_crystal, 3, 3), d_panel (p, 6, 3, 3) : derivatives of the models by
        their parameters; those of the crystal by the parameters' values at the block.
    panel_offset : (p,) first detector parameter of each panel (several groups), -1 for a panel that is fixed.
    sample (b, m), sample_weight (b, m) : which samples of the crystal's parameters make up the block's values.
    column : local parameter → column of ``normal``, or -1 when it is fixed; the local parameters of beam, detector,
        goniometer and crystal start at beam_at, detector_at, goniometer_at, crystal_at; sample-major for the crystal.
    normal (L, L) upper triangle, gradient (L,), sums (6,): Σr² of x, y, φ, Σwr², count, count of points that miss the
        sphere. residual (n, 3): calculated − observed.
    """
    n_beam, n_goniometer, n_sample = len(d_s0), len(d_S), sample.shape[1]
    s = S.T @ s0
    m1, m3 = rotation_frame(s, e)
    el = S @ e
    width = n_beam + 6 + n_goniometer + n_crystal * n_sample
    cols = np.empty(width, np.int64)
    jac = np.empty((width, 3))
    p, r, s1, g, a, b, dh, Sa = (
        np.empty(3), np.empty(3), np.empty(3), np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3)), np.empty(3),
        np.empty(3),
    )  # fmt: skip
    FA = np.empty_like(A)
    for k in range(len(A)):
        FA[k] = F @ A[k]
    wants_gradient = normal.shape[0] > 0
    for i in range(len(hkl)):
        h0, h1, h2 = hkl[i]
        m = FA[block[i]]
        for k in range(3):
            p[k] = m[k, 0] * h0 + m[k, 1] * h1 + m[k, 2] * h2
        crosses, c1, c2, c3, cosine, sine = sphere_crossing(p, s, e, m1, m3, entering[i])
        for k in range(3):
            r[k] = 0.0
            for j in range(3):
                r[k] += S[k, j] * (c1 * m1[j] + c2 * e[j] + c3 * m3[j])
        for k in range(3):
            s1[k] = s0[k] + r[k]
        d = D[panel[i]]
        u = d[0, 0] * s1[0] + d[0, 1] * s1[1] + d[0, 2] * s1[2]
        v = d[1, 0] * s1[0] + d[1, 1] * s1[1] + d[1, 2] * s1[2]
        w = d[2, 0] * s1[0] + d[2, 1] * s1[1] + d[2, 2] * s1[2]
        x, y = u / w, v / w
        phi = nearest_turn(np.arctan2(sine, cosine), observed[i, 2])
        residual[i, 0] = x - observed[i, 0]
        residual[i, 1] = y - observed[i, 1]
        residual[i, 2] = phi - observed[i, 2]
        for k in range(3):
            sums[k] += residual[i, k] ** 2
            sums[3] += weight[i, k] * residual[i, k] ** 2
        sums[4] += 1.0
        if not crosses:
            sums[5] += 1.0
        if not wants_gradient or not crosses:
            continue

        exr = (el[1] * r[2] - el[2] * r[1], el[2] * r[0] - el[0] * r[2], el[0] * r[1] - el[1] * r[0])
        den = exr[0] * s0[0] + exr[1] * s0[1] + exr[2] * s0[2]
        if abs(den) < GRAZING:
            continue
        for k in range(3):
            g[0, k] = (d[0, k] - x * d[2, k]) / w
            g[1, k] = (d[1, k] - y * d[2, k]) / w
        fx = (g[0, 0] * exr[0] + g[0, 1] * exr[1] + g[0, 2] * exr[2]) / den
        fy = (g[1, 0] * exr[0] + g[1, 1] * exr[1] + g[1, 2] * exr[2]) / den

        n = 0
        for q in range(n_beam):
            c = column[beam_at + q]
            if c < 0:
                continue
            cols[n] = c
            t = d_s0[q, 0] * r[0] + d_s0[q, 1] * r[1] + d_s0[q, 2] * r[2]
            jac[n, 0] = g[0, 0] * d_s0[q, 0] + g[0, 1] * d_s0[q, 1] + g[0, 2] * d_s0[q, 2] - fx * t
            jac[n, 1] = g[1, 0] * d_s0[q, 0] + g[1, 1] * d_s0[q, 1] + g[1, 2] * d_s0[q, 2] - fy * t
            jac[n, 2] = -t / den
            n += 1
        if panel_offset[panel[i]] >= 0:
            for q in range(6):
                c = column[detector_at + panel_offset[panel[i]] + q]
                if c < 0:
                    continue
                cols[n] = c
                dd = d_panel[panel[i], q]
                jac[n, 0], jac[n, 1], jac[n, 2] = 0.0, 0.0, 0.0
                for k in range(3):
                    t = dd[k, 0] * x + dd[k, 1] * y + dd[k, 2]
                    # g holds 1/w of this ray; dd acts on (x, y, 1) = (u, v, w)/w, hence the factor w.
                    jac[n, 0] -= g[0, k] * t * w
                    jac[n, 1] -= g[1, k] * t * w
                n += 1
        for k in range(3):
            a[0, k] = g[0, k] - fx * s1[k]
            a[1, k] = g[1, k] - fy * s1[k]
            a[2, k] = -s1[k] / den
        for q in range(n_goniometer):
            c = column[goniometer_at + q]
            if c < 0:
                continue
            cols[n] = c
            jac[n, 0], jac[n, 1], jac[n, 2] = 0.0, 0.0, 0.0
            for k in range(3):
                t = 0.0
                for j in range(3):
                    t += d_S[q, k, j] * (c1 * m1[j] + c2 * e[j] + c3 * m3[j])
                jac[n, 0] += a[0, k] * t
                jac[n, 1] += a[1, k] * t
                jac[n, 2] += a[2, k] * t
            n += 1
        # b = Fᵀ·R(e, −φ)·Sᵀ·a, so that a·dr = b·(dA·h).
        for k in range(3):
            for j in range(3):
                Sa[j] = S[0, j] * a[k, 0] + S[1, j] * a[k, 1] + S[2, j] * a[k, 2]
            along = (e[0] * Sa[0] + e[1] * Sa[1] + e[2] * Sa[2]) * (1.0 - cosine)
            t0 = cosine * Sa[0] - sine * (e[1] * Sa[2] - e[2] * Sa[1]) + along * e[0]
            t1 = cosine * Sa[1] - sine * (e[2] * Sa[0] - e[0] * Sa[2]) + along * e[1]
            t2 = cosine * Sa[2] - sine * (e[0] * Sa[1] - e[1] * Sa[0]) + along * e[2]
            for j in range(3):
                b[k, j] = F[0, j] * t0 + F[1, j] * t1 + F[2, j] * t2
        for q in range(n_crystal):
            dA = d_A[block[i], q]
            for k in range(3):
                dh[k] = dA[k, 0] * h0 + dA[k, 1] * h1 + dA[k, 2] * h2
            jx = b[0, 0] * dh[0] + b[0, 1] * dh[1] + b[0, 2] * dh[2]
            jy = b[1, 0] * dh[0] + b[1, 1] * dh[1] + b[1, 2] * dh[2]
            jp = b[2, 0] * dh[0] + b[2, 1] * dh[1] + b[2, 2] * dh[2]
            for j in range(n_sample):
                f = sample_weight[block[i], j]
                c = column[crystal_at + sample[block[i], j] * n_crystal + q]
                if c < 0 or f == 0.0:
                    continue
                cols[n] = c
                jac[n, 0], jac[n, 1], jac[n, 2] = f * jx, f * jy, f * jp
                n += 1
        for j in range(n):
            wx, wy, wp = weight[i, 0] * jac[j, 0], weight[i, 1] * jac[j, 1], weight[i, 2] * jac[j, 2]
            cj = cols[j]
            gradient[cj] += wx * residual[i, 0] + wy * residual[i, 1] + wp * residual[i, 2]
            for k in range(n):
                if cols[k] >= cj:
                    normal[cj, cols[k]] += wx * jac[k, 0] + wy * jac[k, 1] + wp * jac[k, 2]
