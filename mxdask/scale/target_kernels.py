# mypy: allow-untyped-defs, allow-untyped-calls
"""Kernels of the scaling target: scale factors, their derivatives, sums over groups of equivalents.

Observations are ordered by group, then experiment. A derivative row has w + 3 + k elements: w scale (3, but for array
models), three decay and k absorption parameters; ``columns`` gives the first parameter of each of the three runs.
"""

import math

import numpy as np

from mxdask._jit import jit


@jit
def scale_factors(
    p, scale_first, scale_weight, decay_first, decay_weight, half_inverse_d2, absorption_first, harmonics, g
):
    """g (n,) of all observations; p holds S, B and C themselves."""
    k = harmonics.shape[1]
    w = scale_weight.shape[1]
    for i in range(g.shape[0]):
        s = 0.0
        b = 0.0
        for j in range(w):
            if scale_weight[i, j] != 0.0:
                s += scale_weight[i, j] * p[scale_first[i] + j]
        for j in range(3):
            if decay_weight[i, j] != 0.0:
                b += decay_weight[i, j] * p[decay_first[i] + j]
        a = 1.0
        if absorption_first[i] >= 0:
            for j in range(k):
                if harmonics[i, j] != 0.0:
                    a += harmonics[i, j] * p[absorption_first[i] + j]
        g[i] = s * math.exp(b * half_inverse_d2[i]) * a


@jit
def derivatives(
    p, scale_first, scale_weight, decay_first, decay_weight, half_inverse_d2, absorption_first, harmonics, g, out
):
    """Derivative rows (n, w + 3 + k) of g; scale parameters count as their logarithms."""
    k = harmonics.shape[1]
    w = scale_weight.shape[1]
    for i in range(g.shape[0]):
        s = 0.0
        for j in range(w):
            if scale_weight[i, j] != 0.0:
                s += scale_weight[i, j] * p[scale_first[i] + j]
        for j in range(w):
            out[i, j] = 0.0
            if scale_weight[i, j] != 0.0:
                out[i, j] = g[i] * scale_weight[i, j] * p[scale_first[i] + j] / s
        for j in range(3):
            out[i, w + j] = g[i] * decay_weight[i, j] * half_inverse_d2[i]
        if absorption_first[i] >= 0 and k > 0:
            a = 1.0
            for j in range(k):
                if harmonics[i, j] != 0.0:
                    a += harmonics[i, j] * p[absorption_first[i] + j]
            for j in range(k):
                out[i, w + 3 + j] = g[i] * harmonics[i, j] / a
        else:
            for j in range(k):
                out[i, w + 3 + j] = 0.0


@jit
def group_means(starts, weight, intensity, g, fixed, mean, norm):
    """⟨I_h⟩ = ΣwgI/Σwg² and norm = Σwg² per group; returns Σw(I - g⟨I_h⟩)².

    Where ``fixed`` is a number, it is the mean, and norm is infinite: the mean does not follow the scales.
    """
    target = 0.0
    for h in range(starts.shape[0] - 1):
        top = 0.0
        bottom = 0.0
        for i in range(starts[h], starts[h + 1]):
            top += weight[i] * g[i] * intensity[i]
            bottom += weight[i] * g[i] * g[i]
        if math.isnan(fixed[h]):
            mean[h] = top / bottom
            norm[h] = bottom
        else:
            mean[h] = fixed[h]
            norm[h] = np.inf
        part = 0.0
        for i in range(starts[h], starts[h + 1]):
            r = intensity[i] - g[i] * mean[h]
            part += weight[i] * r * r
        target += part
    return target


@jit
def _columns(i, scale_first, decay_first, absorption_first, n_scale, width, row, columns):
    """Parameters with a non-zero derivative in one row; returns how many and fills (column, place in the row)."""
    n = 0
    for j in range(width):
        if row[j] == 0.0:
            continue
        if j < n_scale:
            columns[n, 0] = scale_first[i] + j
        elif j < n_scale + 3:
            columns[n, 0] = decay_first[i] + j - n_scale
        else:
            columns[n, 0] = absorption_first[i] + j - n_scale - 3
        columns[n, 1] = j
        n += 1
    return n


@jit
def gradient_and_blocks(
    starts, experiment, weight, intensity, g, mean, norm, rows, scale_first, decay_first, absorption_first,
    parameter_start, block_start, n_scale, gradient, blocks,
):  # fmt: skip
    """Half the gradient, and each experiment's own block of the reduced normal matrix.

    The means are eliminated: N = Σ a aᵀ - Σ_h q qᵀ/norm_h with a = √w ⟨I_h⟩ dg and q = Σ √w g a.
    """
    width = rows.shape[1]
    columns = np.empty((width, 2), np.int64)
    largest = 0
    for e in range(parameter_start.shape[0] - 1):
        largest = max(largest, parameter_start[e + 1] - parameter_start[e])
    q = np.zeros(largest)
    for h in range(starts.shape[0] - 1):
        i = starts[h]
        while i < starts[h + 1]:
            e = experiment[i]
            first = parameter_start[e]
            size = parameter_start[e + 1] - first
            at = block_start[e]
            for a in range(size):
                q[a] = 0.0
            while i < starts[h + 1] and experiment[i] == e:
                n = _columns(i, scale_first, decay_first, absorption_first, n_scale, width, rows[i], columns)
                wi = weight[i] * mean[h] * mean[h]
                residual = intensity[i] - g[i] * mean[h]
                for x in range(n):
                    a = columns[x, 0] - first
                    da = rows[i, columns[x, 1]]
                    gradient[columns[x, 0]] -= weight[i] * residual * mean[h] * da
                    q[a] += weight[i] * g[i] * mean[h] * da
                    for y in range(n):
                        blocks[at + a * size + columns[y, 0] - first] += wi * da * rows[i, columns[y, 1]]
                i += 1
            for a in range(size):
                if q[a] != 0.0:
                    for b in range(size):
                        blocks[at + a * size + b] -= q[a] * q[b] / norm[h]


@jit
def normal_product(
    starts, weight, g, mean, norm, rows, scale_first, decay_first, absorption_first, n_scale, v, out
):  # fmt: skip
    """out = N·v without ever making N."""
    width = rows.shape[1]
    for h in range(starts.shape[0] - 1):
        t = 0.0
        for i in range(starts[h], starts[h + 1]):
            t += weight[i] * g[i] * mean[h] * _row_dot(i, rows, scale_first, decay_first, absorption_first, n_scale, v)
        t /= norm[h]
        for i in range(starts[h], starts[h + 1]):
            dot = _row_dot(i, rows, scale_first, decay_first, absorption_first, n_scale, v)
            factor = weight[i] * mean[h] * (mean[h] * dot - g[i] * t)
            for j in range(width):
                if rows[i, j] != 0.0:
                    if j < n_scale:
                        out[scale_first[i] + j] += factor * rows[i, j]
                    elif j < n_scale + 3:
                        out[decay_first[i] + j - n_scale] += factor * rows[i, j]
                    else:
                        out[absorption_first[i] + j - n_scale - 3] += factor * rows[i, j]


@jit
def _row_dot(i, rows, scale_first, decay_first, absorption_first, n_scale, v):
    total = 0.0
    for j in range(rows.shape[1]):
        if rows[i, j] != 0.0:
            if j < n_scale:
                total += rows[i, j] * v[scale_first[i] + j]
            elif j < n_scale + 3:
                total += rows[i, j] * v[decay_first[i] + j - n_scale]
            else:
                total += rows[i, j] * v[absorption_first[i] + j - n_scale - 3]
    return total


@jit
def propagated_variance(
    experiment, rows, scale_first, decay_first, absorption_first, parameter_start, block_start, n_scale, covariance,
    out,
):  # fmt: skip
    """Variance of g (n,) from each experiment's covariance block."""
    width = rows.shape[1]
    columns = np.empty((width, 2), np.int64)
    for i in range(out.shape[0]):
        e = experiment[i]
        first = parameter_start[e]
        size = parameter_start[e + 1] - first
        n = _columns(i, scale_first, decay_first, absorption_first, n_scale, width, rows[i], columns)
        total = 0.0
        for x in range(n):
            for y in range(n):
                c = covariance[block_start[e] + (columns[x, 0] - first) * size + columns[y, 0] - first]
                total += rows[i, columns[x, 1]] * rows[i, columns[y, 1]] * c
        out[i] = total
