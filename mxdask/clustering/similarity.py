"""How alike the deviations of crystals from their mean are, and coordinates that show it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import eigsh

from mxdask.clustering.crystal_data import CrystalData
from mxdask.clustering.similarity_kernels import add_pair_sums

_STRIP = 32  # crystals whose sums stay in the processor's cache
_MOST_DIMENSIONS = 8
_ROUNDS = 30


@dataclass(frozen=True, eq=False)
class Similarity:
    """Error-weighted correlations of residuals.

    Attributes
    ----------
    r, sigma : (n, n) correlation and its standard error if nothing but noise were left; 1 and 0 on the diagonal; r = 0
        and sigma = inf without common reflections.
    covariance, precision : (n, n) estimate of the covariance of the structural parts (in units of the expected
        intensity), and 1/variance of it; zero on the diagonal.
    common : (n, n) number of common reflections.
    """

    r: np.ndarray
    sigma: np.ndarray
    covariance: np.ndarray
    precision: np.ndarray
    common: np.ndarray


def residual_similarity(data: CrystalData, variance: np.ndarray) -> Similarity:
    """Correlations of the residuals from the mean of all.

    With s² the variance of an observation, v the expected intensity (to which the variance of structural differences
    is proportional) and e the residual from the weighted mean, the covariance β of two crystals' differences is
    estimated by Σ e_i e_j v/(s_i² s_j²) / Σ v²/(s_i² s_j²). Residuals share the mean: with weights 1/s² that alone
    gives Cov(e_i, e_j) = -1/Σw, which is added back, so no crystal correlates with itself through the mean.

    Parameters
    ----------
    variance : (n,) of the observations, everything but the differences between groups included.
    """
    n, h = data.n_crystals, data.n_reflections
    weight = 1.0 / variance
    total = np.bincount(data.reflection, weight, h)
    mean = np.divide(np.bincount(data.reflection, weight * data.value, h), total, out=np.zeros(h), where=total > 0)
    root = np.sqrt(data.expected[data.reflection])
    residual = (data.value - mean[data.reflection]) * root * weight
    shared = root * weight / np.sqrt(total[data.reflection])
    f = root * np.sqrt(weight)
    sums = np.zeros((n, n, 4))
    start = data.start
    for lo in range(0, n, _STRIP):
        hi = min(lo + _STRIP, n)
        add_pair_sums(start, data.crystal, residual, shared, f, lo, hi, sums[lo:hi])
    common, product, ff, ffff = np.moveaxis(sums + sums.transpose(1, 0, 2), 2, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.where(ff > 0, product / ff, 0.0)
        sigma = np.where(ff > 0, np.sqrt(ffff) / ff, np.inf)
        covariance = np.where(ffff > 0, product / ffff, 0.0)
    np.fill_diagonal(r, 1.0)
    np.fill_diagonal(sigma, 0.0)
    return Similarity(np.clip(r, -1, 1), sigma, covariance, np.array(ffff), common.astype(np.int64))


def coordinates(similarity: Similarity, least_dimensions: int = 1) -> tuple[np.ndarray, np.ndarray, float]:
    """Points whose dot products reproduce the covariances.

    Σ W_ij (β_ij - x_i·x_j)² over pairs, W the precisions: the misfit is spread over the missing diagonal and the
    uncertain pairs by expectation-maximisation (Srebro & Jaakkola 2003, ICML, 720). Kept are the axes that noise alone
    would not give: the largest eigenvalue of a symmetric matrix of independent errors is 2√(Σ_j σ²_ij) (Wigner).

    Returns
    -------
    points : (n, d). eigenvalues : (k,) largest first. noise : eigenvalue that noise alone reaches.
    """
    n = len(similarity.covariance)
    top = min(_MOST_DIMENSIONS, max(n - 1, 1))
    W = similarity.precision
    largest = np.quantile(W[W > 0], 0.9) if np.any(W > 0) else 1.0
    trust = np.minimum(W / largest, 1.0)
    shrunk = similarity.covariance * trust
    noise = 2.0 * float(np.sqrt((trust**2 / np.maximum(W, 1e-300) * (W > 0)).sum(axis=1).max(initial=0.0)))
    values, vectors = _largest(shrunk, top)
    d = max(int(np.sum(values > noise)), min(least_dimensions, top))
    kept = np.maximum(values[:d], 0.0)
    low_rank = (vectors[:, :d] * kept) @ vectors[:, :d].T
    for _ in range(_ROUNDS):
        filled = trust * similarity.covariance + (1 - trust) * low_rank
        kept, axes = _largest(filled, d)
        kept = np.maximum(kept, 0.0)
        new = (axes * kept) @ axes.T
        change = np.abs(new - low_rank).max(initial=0.0)
        low_rank, vectors = new, axes
        if change <= 1e-4 * np.abs(new).max(initial=1e-300):
            break
    return vectors[:, :d] * np.sqrt(kept), values, noise


def _largest(matrix: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest eigenvalues, descending, and their vectors, the largest component of each positive."""
    n = len(matrix)
    if n > 300 and k < n // 4:
        values, vectors = eigsh(matrix, k=k, which="LA", v0=np.ones(n) / np.sqrt(n) + np.arange(n) * 1e-4)
    else:
        values, vectors = np.linalg.eigh(matrix)
    order = np.argsort(-values, kind="stable")[:k]
    values, vectors = values[order], vectors[:, order]
    return values, vectors * np.where(vectors[np.argmax(np.abs(vectors), axis=0), np.arange(k)] < 0, -1.0, 1.0)
