"""The shift of the detector that puts the origin of the reciprocal lattice where the beam is.

Spots of a narrow wedge repeat along real-space vectors v wherever the beam is thought to be: a wrong beam centre moves
all points by one vector δ, which turns Σ exp(2πi v·q) by the phase 2π v·δ and leaves its modulus alone. The right
beam centre makes all these sums real and positive (Sauter, Grosse-Kunstleve & Adams (2004) J. Appl. Cryst. 37, 399).
A shift by whole rows of the lattice does nearly so as well: of equally good shifts the smallest is taken, the others
are told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter
from scipy.optimize import minimize

from mxdask.geometry.mapping import map_spots, to_datum_frame
from mxdask.models import Experiment

# A vector counts where the spots repeat with at least a quarter of full strength, and better than n spots at random do
# for one of 10⁵ vectors: the power of random phases exceeds p with probability exp(-n p).
_LEAST_POWER = 1.0 / 16.0
_LEAST_SIGNIFICANCE = float(np.log(1e5))
_STEPS_PER_FRINGE = 8
# Vectors are found with the beam where it was; once they are found anew, another maximum may be the highest.
_CANDIDATE, _MOST_CANDIDATES = 0.7, 6
_AS_GOOD = 0.97


@dataclass(frozen=True, eq=False)
class Wedge:
    """Spots of a stretch of one sweep and the vectors along which they repeat.

    Attributes
    ----------
    sweep : its number. rows : (n,) its spots that lie in the stretch. rlp : (n, 3) Å⁻¹, datum frame.
    gradient : (n, 3, 2) Å⁻¹ per mm: how the points move when the detector moves along the two axes.
    vectors : (m, 3) Å.
    """

    sweep: int
    rows: np.ndarray
    rlp: np.ndarray
    gradient: np.ndarray
    vectors: np.ndarray


def shift_axes(experiment: Experiment) -> np.ndarray:
    """(2, 3) unit vectors across the beam, laboratory frame: along the first panel's fast axis, and across it."""
    assert experiment.beam is not None and experiment.detector is not None
    along = experiment.beam.s0 / np.linalg.norm(experiment.beam.s0)
    fast = np.asarray(experiment.detector[0].fast_axis, dtype=np.float64)
    first = fast - along * (fast @ along)
    if np.linalg.norm(first) < 1e-3:  # the panel stands edge-on
        first = np.asarray(experiment.detector[0].slow_axis, dtype=np.float64)
        first = first - along * (first @ along)
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(first, along)])


def points_and_gradient(
    experiment: Experiment, panel: np.ndarray, xyz_mm: np.ndarray, axes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Reciprocal lattice points (n, 3) and how they move with the detector, (n, 3, 2) Å⁻¹ per mm along ``axes``."""
    assert experiment.beam is not None and experiment.detector is not None and experiment.goniometer is not None
    rlp = map_spots(experiment, panel, xyz_mm).rlp
    lab = np.zeros((len(panel), 3))
    for index in np.unique(panel):
        rows = panel == index
        lab[rows] = experiment.detector[int(index)].lab_coord(xyz_mm[rows, :2])
    length = np.linalg.norm(lab, axis=1, keepdims=True)
    gradient = np.empty((len(panel), 3, 2))
    for k, axis in enumerate(axes):
        across = axis - lab / length**2 * (lab @ axis)[:, None]
        moved = across / length / experiment.beam.wavelength
        gradient[:, :, k] = to_datum_frame(experiment.goniometer, moved, xyz_mm[:, 2])
    return rlp, gradient


def score(wedges: Sequence[Wedge], shift: np.ndarray) -> float:
    """Σ cos 2π v·q over spots and vectors, with the detector moved by ``shift`` (2,) mm; linear in the shift."""
    total = 0.0
    for w in wedges:
        q = w.rlp + w.gradient @ shift
        total += float(np.cos((2 * np.pi) * (w.vectors @ q.T)).sum())
    return total


def score_map(wedges: Sequence[Wedge], first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(len(first), len(second)) :func:`score` at all pairs of shifts along the two axes (mm)."""
    total = np.zeros((len(first), len(second)))
    for w in wedges:
        for v in w.vectors:
            turn = (2j * np.pi) * np.einsum("nij,i->nj", w.gradient, v)
            left = np.exp(np.outer(first, turn[:, 0]) + (2j * np.pi) * (w.rlp @ v))
            right = np.exp(np.outer(turn[:, 1], second))
            total += (left @ right).real
    return total


def repeating(vectors: np.ndarray, power: np.ndarray, n_spots: int, most: int = 20) -> np.ndarray:
    """The vectors along which the spots clearly repeat; ``power`` as of mxdask.index.periods, from ``n_spots``."""
    return vectors[power > max(_LEAST_POWER, _LEAST_SIGNIFICANCE / n_spots)][:most]


@dataclass(frozen=True)
class Peak:
    """A shift (2,) mm along the axes that makes the score a maximum, and the score in units of the largest possible."""

    shift: np.ndarray
    score: float


def climb(wedges: Sequence[Wedge], start: np.ndarray, step: float) -> Peak:
    """The maximum of the score near ``start`` (mm)."""
    fit = minimize(
        lambda x: -score(wedges, x), start, method="Nelder-Mead",
        options={"initial_simplex": start + step * np.array([[0, 0], [0.5, 0], [0, 0.5]]), "xatol": 1e-4},
    )  # fmt: skip
    return Peak(fit.x, -float(fit.fun) / sum(len(w.rlp) * len(w.vectors) for w in wedges))


def fine_step(wedges: Sequence[Wedge], step: float) -> float:
    """``step`` (mm), or less where the score varies faster than that."""
    finest = max(float(np.abs(np.einsum("nij,mi->mnj", w.gradient, w.vectors)).max()) for w in wedges)  # cycles/mm
    return min(step, 1.0 / (_STEPS_PER_FRINGE * finest))


def search(wedges: Sequence[Wedge], scope: float, step: float) -> list[Peak]:
    """The highest maxima of the score, the highest first; [] if there is none within ``scope`` (mm)."""
    step = fine_step(wedges, step)
    n = max(1, int(scope / step))
    grid = np.arange(-n, n + 1) * step
    total = score_map(wedges, grid, grid)
    distance = np.hypot(grid[:, None], grid[None, :])
    total = np.where(distance <= scope, total, -np.inf)
    peaks = np.argwhere((total == maximum_filter(total, size=3, mode="nearest")) & (total > _CANDIDATE * total.max()))
    if total.max() <= 0:
        return []
    highest = sorted(peaks.tolist(), key=lambda p: -float(total[p[0], p[1]]))[:_MOST_CANDIDATES]
    found = [climb(wedges, np.array([grid[i], grid[j]]), step) for i, j in highest]
    return sorted(found, key=lambda p: -p.score)


def smallest_of_best(peaks: Sequence[Peak]) -> Peak:
    """Of the peaks that are all but as high as the highest, the one of the smallest shift."""
    top = max(p.score for p in peaks)
    return min((p for p in peaks if p.score >= _AS_GOOD * top), key=lambda p: float(np.linalg.norm(p.shift)))
