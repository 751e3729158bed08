"""Beam position from spots: wedges of all sweeps, one shift of the detector for all of them (front.md 8.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mxdask.beamposition.lattice_origin import (
    Peak,
    Wedge,
    climb,
    fine_step,
    points_and_gradient,
    repeating,
    search,
    smallest_of_best,
)
from mxdask.beamposition.params import Default
from mxdask.errors import MxdaskError
from mxdask.geometry.mapping import map_centroids
from mxdask.index.fft1d import find_periods
from mxdask.index.max_cell import estimate_max_cell
from mxdask.index.orientation import lowest_resolution
from mxdask.index.params import MaxCellEstimation
from mxdask.index.periods import sharpen
from mxdask.models import Detector, Experiment
from mxdask.table import ReflectionTable

_FEWEST_SPOTS = 10
_SHARPEN_SPOTS = 1000
_RIVAL = 0.85
# A few dozens of spots estimate the longest axis to a factor of two; a limit that is too long does no harm here.
_LEAST_MAX_CELL = 30.0


@dataclass(frozen=True, eq=False)
class SweepSpots:
    """The spots of one sweep to search with: ``panel`` (n,), ``xyz_mm`` (n, 3; mm, mm, rad)."""

    experiment: Experiment
    panel: np.ndarray
    xyz_mm: np.ndarray


def choose_spots(experiment: Experiment, table: ReflectionTable, params: Default) -> SweepSpots:
    """Spots within the parameters' limits; of more than ``max_reflections`` those of lowest resolution."""
    z = table["xyzobs.px.value"][:, 2]
    keep = np.ones(len(table), dtype=bool)
    if params.image_range:
        keep = np.zeros(len(table), dtype=bool)
        for first, last in params.image_range:
            keep |= (z >= first - 1) & (z < last)
    mapped = map_centroids(experiment, table.select(keep))
    length = np.linalg.norm(mapped["rlp"], axis=1)
    rows = np.arange(len(mapped)) if params.d_min is None else np.flatnonzero(length < 1.0 / params.d_min)
    rows = np.sort(rows[np.argsort(length[rows], kind="stable")[: params.max_reflections]])
    return SweepSpots(experiment, mapped["panel"][rows].astype(np.int64), mapped["xyzobs.mm.value"][rows])


def sweep_max_cell(experiment: Experiment, table: ReflectionTable) -> float | None:
    """Longest axis (Å) to look for in the spots of one sweep; None if they are too few."""
    try:
        return max(_LEAST_MAX_CELL, estimate_max_cell([map_centroids(experiment, table)], MaxCellEstimation()))
    except MxdaskError:
        return None


def wedges_of(
    number: int, spots: SweepSpots, detector_shift: np.ndarray, axes: np.ndarray, max_cell: float, params: Default
) -> list[Wedge]:
    """Stretches of a sweep with the vectors along which their spots repeat, seen with the detector moved.

    Parameters
    ----------
    detector_shift : (3,) mm, laboratory frame. axes : (2, 3) directions of further shifts.
    """
    experiment = moved(spots.experiment, detector_shift)
    phi = np.rad2deg(spots.xyz_mm[:, 2])
    wedges = []
    for low, high in _stretches(phi, params):
        rows = np.flatnonzero((phi >= low) & (phi <= high))
        if len(rows) < _FEWEST_SPOTS:
            continue
        rlp, gradient = points_and_gradient(experiment, spots.panel[rows], spots.xyz_mm[rows], axes)
        periods = find_periods(rlp, max_cell)
        vectors = repeating(periods.vectors, periods.power, periods.n_spots)
        if len(vectors):
            wedges.append(Wedge(number, rows, rlp, gradient, vectors))
    return wedges


def _stretches(phi: np.ndarray, params: Default) -> list[tuple[float, float]]:
    if len(phi) == 0:
        return []
    first, last = float(phi.min()), float(phi.max())
    n = max(1, int(np.ceil((last - first) / params.stretch - 1e-9)))
    edges = np.linspace(first, last, n + 1)
    chosen = np.unique(np.rint(np.linspace(0, n - 1, min(n, params.max_stretches))).astype(int))
    return [(float(edges[k]), float(edges[k + 1])) for k in chosen]


def moved(experiment: Experiment, shift: np.ndarray) -> Experiment:
    """The experiment with its detector moved by ``shift`` (3,) mm in the laboratory."""
    assert experiment.detector is not None
    return experiment.evolve(detector=moved_detector(experiment.detector, shift))


def moved_detector(detector: Detector, shift: np.ndarray) -> Detector:
    """All panels moved by ``shift`` (3,) mm."""
    return detector.with_panels(tuple(replace(p, origin=np.asarray(p.origin) + shift) for p in detector.panels))


def sharpened(wedge: Wedge, spots: SweepSpots, detector_shift: np.ndarray, axes: np.ndarray) -> Wedge:
    """The wedge seen with the detector somewhere else, its vectors adapted."""
    experiment = moved(spots.experiment, detector_shift)
    rlp, gradient = points_and_gradient(experiment, spots.panel[wedge.rows], spots.xyz_mm[wedge.rows], axes)
    some = lowest_resolution(rlp, _SHARPEN_SPOTS)
    return replace(wedge, rlp=rlp, gradient=gradient, vectors=sharpen(some, wedge.vectors, np.ones(len(some))))


def best_shift(
    wedges: Sequence[Wedge], spots: Sequence[SweepSpots], base: np.ndarray, axes: np.ndarray, pixel: float,
    params: Default,
) -> tuple[Peak, list[Peak]]:  # fmt: skip
    """The best common shift of the detector, and the rivals (relative to it; scores in units of its own).

    Parameters
    ----------
    base : (3,) mm, where the detector is in ``wedges``.

    Raises
    ------
    MxdaskError : nowhere do enough spots repeat along any direction.
    """
    step = params.wide_search_binning * pixel
    peaks = search(wedges, params.mm_search_scope, step) if wedges else []
    if not peaks:
        raise MxdaskError(
            "the spots do not repeat along any direction: no beam position can be found from them; give max_cell=, "
            "find more spots, or use method=midpoint, maximum or inversion"
        )
    closer = []
    for peak in peaks:
        there = [sharpened(w, spots[w.sweep], base + peak.shift @ axes, axes) for w in wedges]
        local = climb(there, np.zeros(2), fine_step(there, step))
        closer.append(Peak(peak.shift + local.shift, local.score))
    best = smallest_of_best(closer)
    rivals = [
        Peak(p.shift - best.shift, p.score / best.score)
        for p in closer
        if p.score > _RIVAL * best.score and np.linalg.norm(p.shift - best.shift) > step
    ]
    return best, rivals
