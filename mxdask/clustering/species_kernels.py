# mypy: allow-untyped-defs, allow-untyped-calls
"""Kernels of the model of groups (see :mod:`mxdask.clustering.species_model`)."""

import numpy as np

from mxdask._jit import jit


@jit
def marginal_gain(W, Wm, expected, t):
    """Log of the ratio of marginal likelihoods: groups with variance t v between them over one group."""
    gain = 0.0
    for h in range(W.shape[1]):
        tv = t * expected[h]
        n, s_w, s_wm, s_p, s_pm, product = 0, 0.0, 0.0, 0.0, 0.0, 1.0
        for g in range(W.shape[0]):
            w = W[g, h]
            if w > 0.0:
                n += 1
                stretch = 1.0 + tv * w
                product *= stretch
                s_w += w
                s_wm += Wm[g, h]
                s_p += w / stretch
                s_pm += Wm[g, h] / stretch
        if n < 2:
            continue
        one, many = 0.0, 0.0
        for g in range(W.shape[0]):
            w = W[g, h]
            if w > 0.0:
                m = Wm[g, h] / w
                one += w * (m - s_wm / s_w) ** 2
                many += w / (1.0 + tv * w) * (m - s_pm / s_p) ** 2
        gain += 0.5 * (one - many + np.log(s_w / s_p / product))
    return gain


@jit
def own_predictions(crystal, reflection, value, weight, label, W, Wm, expected, t, mean, precision, middle):
    """What the others say about every observation's true value.

    ``mean``, ``precision`` (n,): by its own group, its crystal left out; precision 0 where nobody knows. ``middle``
    (n,): mean of the groups, its crystal left out (0 where nobody knows).
    """
    groups = W.shape[0]
    for k in range(len(crystal)):
        h, own = reflection[k], label[crystal[k]]
        tv = t * expected[h]
        rest, rest_m = 0.0, 0.0
        for g in range(groups):
            if g != own and W[g, h] > 0.0:
                stretch = 1.0 + tv * W[g, h]
                rest += W[g, h] / stretch
                rest_m += Wm[g, h] / stretch
        q, qm = W[own, h] - weight[k], Wm[own, h] - weight[k] * value[k]
        if q < 1e-9 * weight[k]:
            q, qm = 0.0, 0.0
        total = rest + q / (1.0 + tv * q)
        middle[k] = (rest_m + qm / (1.0 + tv * q)) / total if total > 0.0 else 0.0
        q, qm = q + rest / (1.0 + tv * rest), qm + rest_m / (1.0 + tv * rest)
        precision[k] = q
        mean[k] = qm / q if q > 0.0 else 0.0


@jit
def add_log_likelihoods(crystal, reflection, value, weight, label, W, Wm, expected, t, largest_z2, out):
    """Add to ``out`` (c, g) the log likelihood of each crystal's observations in each group, itself left out."""
    groups = W.shape[0]
    w, wm, p, pm = np.zeros(groups), np.zeros(groups), np.zeros(groups), np.zeros(groups)
    for k in range(len(crystal)):
        h, c = reflection[k], crystal[k]
        tv, own = t * expected[h], label[crystal[k]]
        for g in range(groups):
            w[g], wm[g] = W[g, h], Wm[g, h]
            if g == own:
                w[g] -= weight[k]
                wm[g] -= weight[k] * value[k]
                if w[g] < 1e-9 * weight[k]:
                    w[g], wm[g] = 0.0, 0.0
            p[g], pm[g] = w[g] / (1.0 + tv * w[g]), wm[g] / (1.0 + tv * w[g])
        for g in range(groups):
            rest, rest_m = 0.0, 0.0
            for other in range(groups):
                if other != g:
                    rest += p[other]
                    rest_m += pm[other]
            q = w[g] + rest / (1.0 + tv * rest)
            if q > 0.0:
                theta = (wm[g] + rest_m / (1.0 + tv * rest)) / q
                variance = 1.0 / weight[k] + 1.0 / q
                z2 = (value[k] - theta) ** 2 / variance
                out[c, g] -= 0.5 * (np.log(variance) + min(z2, largest_z2))
