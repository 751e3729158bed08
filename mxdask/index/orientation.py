"""Orientations of a known cell: one lattice vector by a search over directions, the rest by turning about it."""

from __future__ import annotations

from itertools import product

import numpy as np

from mxdask.index.params import RealSpaceGridSearch
from mxdask.index.periods import power, sharpen

_SHORT_VECTORS = np.array([v for v in product((-1, 0, 1), repeat=3) if any(v)])
_TURN_STEP = np.deg2rad(1.0)
_TURN_SPOTS = 150
_MAX_ORIENTATIONS = 40
_LENGTH_TOLERANCE = 0.05


def lattice_vectors(rows: np.ndarray, max_length: float) -> np.ndarray:
    """(m, 3) vectors (coefficients -1, 0, 1) of a lattice up to a length, both signs, shortest first."""
    vectors = _SHORT_VECTORS @ rows
    lengths = np.linalg.norm(vectors, axis=1)
    order = np.argsort(np.rint(lengths * 1e6), kind="stable")
    return vectors[order[lengths[order] <= max_length]]


def hemisphere(step: float) -> np.ndarray:
    """(m, 3) unit vectors about ``step`` radians apart that cover half of the sphere (rings of equal latitude)."""
    rings = []
    for theta in np.arange(0.0, 0.5 * np.pi + 0.5 * step, step):
        count = max(1, int(np.ceil(2 * np.pi * np.sin(theta) / step)))
        phi = 2 * np.pi * np.arange(count) / count
        rings.append(
            np.column_stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.full(count, np.cos(theta))])
        )
    return np.concatenate(rings)


def directions_of_known_length(rlp: np.ndarray, rows: np.ndarray, params: RealSpaceGridSearch) -> np.ndarray:
    """(m, 3) vectors as long as axes of the known cell at which the points repeat best (real-space grid search).

    Every direction of a hemisphere is tried with every distinct axis length; maxima are sharpened, the best kept.
    """
    points = lowest_resolution(rlp, params.max_spots)
    weights = np.ones(len(points))
    lengths = np.linalg.norm(rows, axis=1)
    distinct_lengths = [x for i, x in enumerate(lengths) if np.all(np.abs(lengths[:i] / x - 1) > 0.01)]
    grid = hemisphere(params.characteristic_grid)
    vectors, scores = [], []
    for length in distinct_lengths:
        strength = np.concatenate([power(points, part * length, weights) for part in np.array_split(grid, 16)])
        best = _separate(grid, strength, 2.5 * params.characteristic_grid, params.max_vectors)
        sharp = sharpen(points, grid[best] * length, weights)
        vectors.append(sharp)
        scores.append(power(points, sharp, weights))
    everything, score = np.concatenate(vectors), np.concatenate(scores)
    return everything[np.argsort(-score, kind="stable")[: params.max_vectors]]


def lowest_resolution(rlp: np.ndarray, count: int) -> np.ndarray:
    """The points nearest to the origin."""
    return rlp[np.argsort(np.einsum("ij,ij->i", rlp, rlp), kind="stable")[:count]]


def _separate(directions: np.ndarray, score: np.ndarray, angle: float, count: int) -> np.ndarray:
    """Indices of the best-scoring directions no two of which are nearer than ``angle`` (±)."""
    kept: list[int] = []
    for i in np.argsort(-score, kind="stable")[: 40 * count]:
        if not kept or np.abs(directions[kept] @ directions[i]).max() < np.cos(angle):
            kept.append(int(i))
            if len(kept) == count:
                break
    return np.array(kept, dtype=np.int64)


def orientations(rlp: np.ndarray, rows: np.ndarray, periods: np.ndarray) -> list[np.ndarray]:
    """Oriented copies (3, 3 rows) of a known cell in which some period is one of its lattice vectors, best first.

    A lattice vector laid along a period leaves a rotation about it, which is scanned: a narrow wedge determines one
    or two directions well and the third hardly at all, so three independent periods of it often do not exist.

    Parameters
    ----------
    rlp : (n, 3) Å⁻¹. rows : the known reduced cell, any orientation. periods : (m, 3) Å.
    """
    points = lowest_resolution(rlp, _TURN_SPOTS)
    candidates = lattice_vectors(rows, float(np.linalg.norm(rows, axis=1).max()) * 1.05)
    lengths = np.linalg.norm(candidates, axis=1)
    turns = np.arange(0.0, 2 * np.pi, _TURN_STEP)
    found: list[tuple[float, np.ndarray]] = []
    for period in periods:
        length = float(np.linalg.norm(period))
        for vector in candidates[np.abs(lengths / length - 1) < _LENGTH_TOLERANCE]:
            start = rows @ _rotation_between(vector, period).T
            score = _turn_scores(points, start, period / length, turns)
            for k in np.argsort(-score, kind="stable")[:2]:
                found.append((float(score[k]), start @ _rotation(period / length, turns[k]).T))
    found.sort(key=lambda item: -item[0])
    return [item[1] for item in found[:_MAX_ORIENTATIONS]]


def _turn_scores(points: np.ndarray, rows: np.ndarray, axis: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """(t,) Σ over the axes of |Σ exp(2πi q·R(ψ)v)|², for rotations by ψ about a unit vector."""
    score = np.zeros(len(turns))
    for v in rows:
        along = (points @ axis) * (v @ axis)
        across = v - (v @ axis) * axis
        phase = along + np.outer(np.cos(turns), points @ across)
        phase += np.outer(np.sin(turns), points @ np.cross(axis, across))
        wave = np.exp(2j * np.pi * phase)
        score += np.abs(wave.sum(axis=1)) ** 2
    return score / (len(rows) * len(points) ** 2)


def _rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.cos(angle) * np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * np.outer(axis, axis)


def _rotation_between(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """(3, 3) R with R·u along v."""
    u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
    axis = np.cross(u, v)
    sine = float(np.linalg.norm(axis))
    if sine < 1e-9:
        if u @ v > 0:
            return np.eye(3)
        other = np.cross(u, np.eye(3)[np.argmin(np.abs(u))])
        return _rotation(other / np.linalg.norm(other), np.pi)
    return _rotation(axis / sine, float(np.arctan2(sine, u @ v)))
