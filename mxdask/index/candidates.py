"""One candidate lattice: how far the beam centre is off, how many spots it explains, whether its cell is too large."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mxdask.index.assign import assign
from mxdask.index.lattices import reduced, too_large
from mxdask.index.quality import NOTHING, Explanation, explain
from mxdask.index.spots import SweepSpots

_OFFSET_SPOTS = 300
# Of shifts that fit alike the smaller one is taken: at the edge of the range the mean cosine must be better by this.
_OFFSET_PENALTY = 0.05
# A shift that gains less is left to refinement.
_LEAST_GAIN = 0.03
_LINEAR_CYCLES = 3
_LEAST_INDEXED = 5
_NEAR = 0.05
# A known cell is first laid on so many spots of lowest resolution.
_FIRST_SPOTS = 60
# Six more parameters must pay for themselves, and may not change the cell by more than this.
_BITS_FOR_FREE_CELL = 60.0
_MAX_STRAIN = 0.1
_MAX_CONDITION = 1e6  # of a lattice basis; no crystal has axes that differ as much


@dataclass(frozen=True, eq=False)
class Candidate:
    """A lattice that might be right.

    Attributes
    ----------
    rows : (3, 3) real-space vectors (rows, Å, datum frame).
    shift_px : (2,) shift of the detectors (fast, slow) at which the lattice fits.
    n_indexed : spots within the tolerance.
    explanation : what the lattice says about the spots.
    """

    rows: np.ndarray
    shift_px: np.ndarray
    n_indexed: int = 0
    explanation: Explanation = NOTHING

    @property
    def fit(self) -> float:
        """Bits per spot that the lattice explains."""
        return self.explanation.bits


def detector_shift(spots: SweepSpots, rows: np.ndarray, max_shift: float) -> np.ndarray:
    """(2,) shift in px (fast, slow) of the detectors that brings the spots nearest to the nodes of a lattice.

    The mean of cos 2πh over all spots and indices is searched on a square grid; the penalty prefers small shifts, for
    shifts by a whole reciprocal lattice row look alike.
    """
    if max_shift <= 0:
        return np.zeros(2)
    lowest = np.argsort(np.einsum("ij,ij->i", spots.rlp, spots.rlp), kind="stable")[:_OFFSET_SPOTS]
    index = 2 * np.pi * spots.rlp[lowest] @ rows.T
    slope = 2 * np.pi * np.einsum("nks,ak->nas", spots.shift_gradient[lowest], rows)
    fastest = float(np.percentile(np.abs(slope), 95))
    # No further than half way to the next row, and steps of a tenth of a period.
    reach = min(max_shift, np.pi / max(fastest, 1e-9))
    steps = int(np.clip(np.ceil(reach * fastest / 0.6), 2, 30))
    grid = np.linspace(-reach, reach, 2 * steps + 1)
    flat = index.ravel()
    wave = [np.exp(1j * np.outer(grid, slope[:, :, axis].ravel())) for axis in (0, 1)]
    score = ((wave[0] * np.exp(1j * flat)) @ wave[1].T).real / len(flat)
    radius2 = (grid[:, None] ** 2 + grid[None, :] ** 2) / max_shift**2
    i, j = divmod(int(np.argmax(score - _OFFSET_PENALTY * radius2)), score.shape[1])
    if score[i, j] - score[steps, steps] < _LEAST_GAIN:
        return np.zeros(2)
    return np.array([_vertex(grid, score[:, j], i), _vertex(grid, score[i, :], j)])


def _vertex(grid: np.ndarray, values: np.ndarray, i: int) -> float:
    """Position of the maximum between grid points, by a parabola."""
    if i in (0, len(grid) - 1):
        return float(grid[i])
    left, middle, right = values[i - 1 : i + 2]
    curvature = left - 2 * middle + right
    shift = 0.5 * (left - right) / curvature if curvature < 0 else 0.0
    return float(grid[i] + shift * (grid[1] - grid[0]))


def fit_lattice(rlp: np.ndarray, hkl: np.ndarray, distance: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Real-space vectors that best turn points into their indices (linear least squares, near points count most)."""
    scale = max(float(np.median(distance)), 1e-3)
    weights = 1.0 / (1.0 + (distance / (2.0 * scale)) ** 2)
    normal = (rlp * weights[:, None]).T @ rlp
    # Directions in which a narrow wedge holds no information stay as they are.
    values, axes = np.linalg.eigh(normal)
    known = values > 1e-3 * values[-1]
    residual = hkl - rlp @ rows.T
    right = (rlp * weights[:, None]).T @ residual
    step = axes[:, known] @ ((axes[:, known].T @ right) / values[known, None])
    return rows + step.T


def evaluate(
    spots: SweepSpots,
    rows: np.ndarray,
    *,
    tolerance: float,
    max_shift: float,
    absent_threshold: float = 0.9,
    min_volume: float = 25.0,
    min_cell: float = 3.0,
) -> Candidate | None:
    """Adjust a lattice to the spots and count what it explains; None when it turns into no sensible cell.

    Parameters
    ----------
    rows : real-space vectors (3, 3).
    tolerance : largest distance from whole-number indices. max_shift : px, error of the beam centre allowed for.
    absent_threshold : fraction of indices that obey a rule from which on the cell is taken as too large.
    """
    shift = detector_shift(spots, rows, max_shift)
    rlp = spots.rlp + spots.shift_gradient @ shift
    for _ in range(_LINEAR_CYCLES):
        if abs(np.linalg.det(rows)) < min_volume:  # a fit to spots at random may collapse
            return None
        found = assign(rlp, [np.linalg.inv(rows)], tolerance=tolerance)
        hit = found.lattice >= 0
        if np.count_nonzero(hit) < _LEAST_INDEXED:
            return None
        # Spots that are near a node by chance obey no rule: only those that clearly belong to the lattice are asked.
        near = hit & (found.distance < max(_NEAR, explain(found.distance).spread))
        smaller = too_large(rows, found.hkl[near], absent_threshold) if near.sum() >= _LEAST_INDEXED else None
        if smaller is not None:
            rows = smaller
        else:
            rows = fit_lattice(rlp[hit], found.hkl[hit].astype(float), found.distance[hit], rows)
    tidy = reduced(rows)
    if tidy is None or abs(np.linalg.det(tidy)) < min_volume or np.linalg.norm(tidy, axis=1).min() < min_cell:
        return None
    return scored(spots, Candidate(tidy, shift), tolerance=tolerance)


def evaluate_known(spots: SweepSpots, rows: np.ndarray, *, tolerance: float, max_shift: float) -> Candidate | None:
    """Adjust an oriented known cell to the spots: as a rigid body, and freely where the spots clearly want it.

    The resolution is extended step by step, for a cell that is given to a per cent gets high indices wrong.
    """
    shift = detector_shift(spots, rows, max_shift)
    rlp = spots.rlp + spots.shift_gradient @ shift
    order = np.argsort(np.einsum("ij,ij->i", rlp, rlp), kind="stable")
    rigid, free = rows, rows
    count = min(len(order), _FIRST_SPOTS)
    while True:
        near = rlp[order[:count]]
        rigid = _as_rigid_body(rigid, _fitted(near, rigid, tolerance))
        free = _fitted(near, free if count > _FIRST_SPOTS else rigid, tolerance)
        if count == len(order):
            break
        count = min(len(order), 2 * count)
    stiff, loose = (scored(spots, Candidate(r, shift), tolerance=tolerance) for r in (rigid, free))
    like_start = np.abs(free @ np.linalg.inv(rigid) - np.eye(3)).max() < _MAX_STRAIN
    gain = (loose.fit - stiff.fit) * len(spots)
    best = loose if like_start and gain > _BITS_FOR_FREE_CELL else stiff
    return best if best.n_indexed >= _LEAST_INDEXED else None


def _fitted(rlp: np.ndarray, rows: np.ndarray, tolerance: float) -> np.ndarray:
    """The lattice fitted to the points it indexes, twice; as it was if they are too few."""
    for _ in range(2):
        found = assign(rlp, [np.linalg.inv(rows)], tolerance=tolerance)
        hit = found.lattice >= 0
        if np.count_nonzero(hit) < _LEAST_INDEXED:
            return rows
        fitted = fit_lattice(rlp[hit], found.hkl[hit].astype(float), found.distance[hit], rows)
        if not np.linalg.cond(fitted) < _MAX_CONDITION:  # a wrong cell may collapse into a plane
            return rows
        rows = fitted
    return rows


def _as_rigid_body(rows: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """The lattice turned as the fitted one is turned, without its strain."""
    u, _, vt = np.linalg.svd(np.linalg.inv(rows) @ fitted)
    return rows @ (u @ vt)


def scored(spots: SweepSpots, candidate: Candidate, *, tolerance: float) -> Candidate:
    """Count the spots that a lattice explains."""
    rlp = spots.rlp + spots.shift_gradient @ candidate.shift_px
    found = assign(rlp, [np.linalg.inv(candidate.rows)], tolerance=tolerance)
    return replace(candidate, n_indexed=int(np.count_nonzero(found.lattice >= 0)), explanation=explain(found.distance))
