"""Periods of a set of reciprocal lattice points: the power of their Fourier transform at real-space vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Periods:
    """Real-space vectors at which the points repeat, best first.

    Attributes
    ----------
    vectors : (n, 3) Å, goniometer datum frame; of ±v only one is listed.
    power : (n,) |Σ exp(2πi q·v)|² / n², 1 for points that repeat exactly.
    d_min : Å, resolution of the points that were used.
    n_spots : how many they were.
    """

    vectors: np.ndarray
    power: np.ndarray
    d_min: float
    n_spots: int


def power(rlp: np.ndarray, vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(m,) |Σ w exp(2πi q·v)|² / (Σ w)².

    The modulus, not the real part: a wrong beam centre shifts all points of a narrow wedge by one vector, which
    turns the phase of the sum and leaves its modulus alone.
    """
    phase = (2 * np.pi) * (vectors @ rlp.T)
    total = (np.cos(phase) @ weights) ** 2 + (np.sin(phase) @ weights) ** 2
    return total / weights.sum() ** 2


def sharpen(rlp: np.ndarray, vectors: np.ndarray, weights: np.ndarray, n_steps: int = 4) -> np.ndarray:
    """Move vectors (m, 3) to the nearest maximum of :func:`power` by Newton's method on its logarithm.

    Steps are limited to a quarter of the finest period of the transform; a vector whose power falls stays as it was.
    """
    limit = 0.25 / np.linalg.norm(rlp, axis=1).max()
    best, best_power = vectors.copy(), power(rlp, vectors, weights)
    current = vectors.copy()
    for _ in range(n_steps):
        phase = (2 * np.pi) * (current @ rlp.T)
        c, s = np.cos(phase) * weights, np.sin(phase) * weights
        C, S = c.sum(1), s.sum(1)
        modulus2 = np.maximum(C**2 + S**2, 1e-12)
        # Angle of each term to the sum: its component along (p) and across (t) the direction of the sum.
        along = (c * C[:, None] + s * S[:, None]) / modulus2[:, None]
        across = (c * S[:, None] - s * C[:, None]) / modulus2[:, None]
        gradient = (2 * np.pi) * (across @ rlp)
        mean = along @ rlp
        second = np.einsum("mn,ni,nj->mij", along, rlp, rlp, optimize=True)
        # Curvature of log|sum|: minus the covariance of the points as the sum weighs them.
        hessian = (2 * np.pi) ** 2 * (second - mean[:, :, None] * mean[:, None, :])
        values, axes = np.linalg.eigh(hessian)
        values = np.maximum(values, 1e-3 * values[:, -1:])
        step = np.einsum("mij,mj->mi", axes, np.einsum("mji,mj->mi", axes, gradient) / values)
        length = np.linalg.norm(step, axis=1)
        step *= np.minimum(1.0, limit / np.maximum(length, 1e-12))[:, None]
        current = current + step
        value = power(rlp, current, weights)
        better = value > best_power
        best[better], best_power[better] = current[better], value[better]
    return best


def distinct(vectors: np.ndarray, score: np.ndarray, *, min_length: float, max_length: float) -> np.ndarray:
    """Indices of vectors to keep, best score first: one of each group of equal ones, no multiples of better ones.

    Two vectors are equal (up to sign) within 5 % of the length and 5°; a multiple lies within 5° of a better, shorter
    vector, its length within 0.2 of a whole number of times (front.md 9.3).
    """
    lengths = np.linalg.norm(vectors, axis=1)
    order = np.argsort(-score, kind="stable")
    order = order[(lengths[order] > min_length) & (lengths[order] < max_length)]
    kept: list[int] = []
    for i in order:
        if kept:
            others = np.array(kept)
            ratio = lengths[i] / lengths[others]
            cosine = np.abs(vectors[others] @ vectors[i]) / (lengths[others] * lengths[i])
            parallel = cosine > np.cos(np.deg2rad(5.0))
            multiple = np.rint(ratio)
            same = (np.abs(ratio - 1) < 0.05) | ((multiple >= 2) & (np.abs(ratio - multiple) < 0.2))
            if np.any(parallel & same):
                continue
        kept.append(int(i))
    return np.array(kept, dtype=np.int64)
