"""The best of a few candidate lattices after a quick real refinement of each."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.index.candidates import Candidate
from mxdask.index.cycles import assign_spots
from mxdask.index.known_symmetry import TargetSymmetry, cell_text, target_crystal
from mxdask.index.params import Indexing
from mxdask.index.quality import explain
from mxdask.index.refinement import fit_models
from mxdask.index.spots import SweepSpots
from mxdask.text import text_table

log = logging.getLogger(__name__)

_LEAST_INDEXED = 5
_MAX_RMSD_PX = 6.0


@dataclass(frozen=True, eq=False)
class RefinedCandidate:
    """A candidate and what it explains after a quick refinement."""

    candidate: Candidate
    volume: float
    fraction: float
    bits: float
    rmsd_xy_mm: float


def best_refined(
    spots: SweepSpots, candidates: Sequence[Candidate], target: TargetSymmetry, params: Indexing, d_min: float
) -> Candidate | None:
    """The candidate with the best score after refinement; None if none can be refined.

    Parameters
    ----------
    candidates : best first, as the search ranked them. A single one needs no comparison.
    d_min : Å, resolution of the spots looked at.
    """
    if len(candidates) <= 1:
        return candidates[0] if candidates else None
    refined = [r for r in (_refined(spots, c, target, params, d_min) for c in candidates) if r is not None]
    if not refined:
        return None
    weighted = weighted_scores(
        [r.volume for r in refined], [r.fraction for r in refined], [r.rmsd_xy_mm for r in refined]
    )
    by_weight = params.basis_vector_combinations.solution_scorer == "weighted"
    score = weighted if by_weight else -np.array([r.bits for r in refined])
    order = np.argsort(score, kind="stable")
    rows = [
        [cell_text(r.candidate.rows), f"{r.volume:.0f}", f"{100 * r.fraction:.1f}", f"{r.rmsd_xy_mm:.4f}",
         f"{r.bits:.2f}", f"{weighted[i]:.2f}"]
        for i, r in ((i, refined[i]) for i in order)
    ]  # fmt: skip
    header = ["unit cell (Å, °)", "volume (Å³)", "% indexed", "rmsd xy (mm)", "bits/spot", "weighted score"]
    log.debug("%s", text_table(header, rows, title="Candidate lattices"))
    return refined[int(order[0])].candidate


def _refined(
    spots: SweepSpots, candidate: Candidate, target: TargetSymmetry, params: Indexing, d_min: float
) -> RefinedCandidate | None:
    moved = spots.shifted(candidate.shift_px)
    crystal = target_crystal(candidate.rows, target)
    found = assign_spots(moved, [crystal], params, d_min)
    if np.count_nonzero(found.lattice >= 0) < _LEAST_INDEXED:
        return None
    try:
        fit = fit_models(moved, [crystal], found, params, quick=True)
    except MxdaskError:
        return None
    if not np.nanmax(fit.rmsd[:, :2]) < _MAX_RMSD_PX:
        return None
    again = assign_spots(moved.with_geometry(fit.sweeps), fit.crystals, params, d_min)
    hit = again.lattice >= 0
    if np.count_nonzero(hit) < _LEAST_INDEXED:
        return None
    looked_at = again.distance[moved.d >= d_min * (1 - 1e-9)]
    fraction = np.count_nonzero(hit) / max(1, len(looked_at))
    return RefinedCandidate(
        candidate, fit.crystals[0].volume, fraction, explain(looked_at).bits, float(np.hypot(*fit.rmsd_mm[:2]))
    )


def weighted_scores(volumes: Sequence[float], fractions: Sequence[float], rmsds: Sequence[float]) -> np.ndarray:
    """(n,) DIALS' weighted score of refined candidates, lowest is best (front.md 9.5).

    Sum of log2 of volume over the smallest, largest fraction indexed over the fraction, r.m.s.d. over the smallest.
    """
    V, f, r = (np.maximum(np.asarray(x, dtype=float), 1e-12) for x in (volumes, fractions, rmsds))
    return np.log2(V / V.min()) + np.log2(f.max() / f) + np.log2(r / r.min())
