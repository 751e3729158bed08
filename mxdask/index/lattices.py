"""Cells made of periods: combination, reduction, the same lattice under another name, cells that are too large."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.lattice.cells import minimum_cell
from mxdask.models.crystal import cell_parameters

# A lattice is given by its real-space vectors as rows (3, 3), Å, in the goniometer datum frame: A = rows⁻¹.

_MIN_SHAPE = 0.1  # V/abc below which three reduced vectors do not make a sensible cell
_PRIMES = (2, 3, 5)


def reduced(rows: np.ndarray) -> np.ndarray | None:
    """Right-handed reduced (Niggli) vectors of the same lattice; None for vectors that do not span one."""
    lengths = np.linalg.norm(rows, axis=1)
    volume = float(np.linalg.det(rows))
    if abs(volume) < 0.01 * np.prod(lengths):
        return None
    if volume < 0:
        rows = -rows
    try:
        P, _ = minimum_cell(cell_parameters(rows))
    except MxdaskError:
        return None
    out = _usual_signs(P @ rows)
    return out if abs(np.linalg.det(out)) > _MIN_SHAPE * np.prod(np.linalg.norm(out, axis=1)) else None


def _usual_signs(rows: np.ndarray) -> np.ndarray:
    """Axes reversed in pairs so that the angles are all acute, or none is (Niggli cells of the first and second kind).

    Near 90° errors decide the sign of a cosine; there the number of obtuse angles is made as large as it can be.
    """
    lengths = np.linalg.norm(rows, axis=1)

    def cosines(signs: np.ndarray) -> np.ndarray:
        r = rows * signs[:, None]
        return np.array([r[1] @ r[2], r[0] @ r[2], r[0] @ r[1]]) / (lengths[[1, 0, 0]] * lengths[[2, 2, 1]])

    choices = [np.array(s) for s in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))]
    acute = [s for s in choices if np.all(cosines(s) > 0.01)]
    best = acute[0] if acute else max(choices, key=lambda s: float(np.minimum(0.0, -cosines(s)).sum()))
    return rows * best[:, None]


def combinations(vectors: np.ndarray) -> Iterator[np.ndarray]:
    """Reduced lattices of all triplets of vectors (m, 3), those of the best-ranked vectors first (lazily)."""
    count = len(vectors)
    i, j, k = (x.ravel() for x in np.meshgrid(*[np.arange(count)] * 3, indexing="ij"))
    chosen = (i < j) & (j < k)
    triplets = np.column_stack([i, j, k])[chosen]
    order = np.argsort(np.sum((triplets + 1) ** 2, axis=1), kind="stable")
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for index in order:
        triplet = triplets[index]
        # Nearly coplanar triplets give cells that only errors hold up.
        if abs(np.linalg.det(unit[triplet])) > np.sin(np.deg2rad(20.0)) ** 2:
            rows = reduced(vectors[triplet])
            if rows is not None:
                yield rows


def same_lattice(rows: np.ndarray, other: np.ndarray, tolerance: float = 0.1) -> bool:
    """Whether one set of vectors is a whole-number combination of the other, and the reverse."""
    P = rows @ np.linalg.inv(other)
    return bool(np.all(np.abs(P - np.rint(P)) < tolerance)) and abs(round(float(np.linalg.det(np.rint(P))))) == 1


@lru_cache(maxsize=1)
def _relations() -> np.ndarray:
    """Integer vectors v with |v|² <= 6, no two collinear."""
    kept: list[tuple[int, ...]] = []
    for v in sorted(product(range(-2, 3), repeat=3), key=lambda v: (sum(x * x for x in v), v[::-1])):
        if 0 < sum(x * x for x in v) <= 6 and not any(np.all(np.cross(v, w) == 0) for w in kept):
            kept.append(v)
    return np.array(kept)


def too_large(rows: np.ndarray, hkl: np.ndarray, threshold: float) -> np.ndarray | None:
    """A smaller lattice that explains the indices, if more than ``threshold`` of them obey Σ vᵢhᵢ ≡ 0 mod 2, 3 or 5.

    Such a rule says that v·(a, b, c)/p, too, is a vector of the lattice (front.md 9.5). None: the cell is right.
    """
    if len(hkl) == 0:
        return None
    sums = hkl @ _relations().T
    for p in _PRIMES:
        fraction = np.mean(sums % p == 0, axis=0)
        best = int(np.argmax(fraction))
        if fraction[best] > threshold:
            v = _relations()[best]
            return reduced(_with_vector(p, v) @ rows / p)
    return None


def _with_vector(p: int, v: np.ndarray) -> np.ndarray:
    """(3, 3) integer basis of the lattice spanned by p·e₁, p·e₂, p·e₃ and v: Gaussian elimination over the integers."""
    generators = [np.array(v, dtype=np.int64), *(p * np.eye(3, dtype=np.int64))]
    basis = []
    for column in range(3):
        while True:
            active = [g for g in generators if g[column] != 0]
            pivot = min(active, key=lambda g: abs(g[column]))
            rest = [g for g in active if g is not pivot]
            if not rest:
                break
            for g in rest:
                g -= (g[column] // pivot[column]) * pivot
        basis.append(pivot)
        generators = [g for g in generators if g is not pivot]
    return np.array(basis)


def smallest_rotation(rows: np.ndarray, other: np.ndarray, group: np.ndarray) -> float:
    """Degrees of the smallest rotation that turns one lattice into the other, over the operators of a point group.

    Parameters
    ----------
    rows, other : reduced vectors of two lattices of (nearly) one cell.
    group : (n, 3, 3) operators on the indices of that cell.
    """
    angles = []
    for W in group:
        # h' = W·h goes with rows' = W·rows; the rotation is the orthogonal part of the map between the vectors.
        u, _, vt = np.linalg.svd(np.linalg.inv(W @ rows) @ other)
        trace = float(np.trace(u @ vt)) * np.sign(np.linalg.det(u @ vt))
        angles.append(np.rad2deg(np.arccos(np.clip((trace - 1) / 2, -1, 1))))
    return float(min(angles))
