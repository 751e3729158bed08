"""From spots to ranked candidate lattices: periods, combinations, known cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from mxdask.index import fft1d, fft3d
from mxdask.index.candidates import Candidate, evaluate, evaluate_known, scored
from mxdask.index.known_symmetry import TargetSymmetry, match_cell
from mxdask.index.lattices import combinations, same_lattice, smallest_rotation
from mxdask.index.orientation import directions_of_known_length, orientations
from mxdask.index.params import Indexing
from mxdask.index.periods import Periods
from mxdask.index.spots import SweepSpots
from mxdask.lattice.metric import lattice_group
from mxdask.models.crystal import cell_parameters

_MAX_TRIPLETS = 2000
_LEAST_INDEXED = 5
# Candidates whose fit is within this fraction of the best are worth a real refinement.
_WORTH_REFINING = 0.5
_MAX_REFINED = 5
# A candidate this good (bits per spot) among so many tried already cannot be chance: the rest need not be looked at.
_CONVINCING_FRACTION = 0.8
_CONVINCING_SPREAD = 0.1
_LOOKED_AT_LEAST = 5


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search found.

    Attributes
    ----------
    candidates : best first; with known symmetry ``rows`` are the axes of the user's setting made primitive.
    d_min : Å, resolution of the spots that were used in the search.
    note : one line about how it went.
    """

    candidates: list[Candidate]
    d_min: float
    note: str


def search(
    spots: SweepSpots,
    method: str,
    max_cell: float,
    target: TargetSymmetry,
    params: Indexing,
    *,
    others: Sequence[np.ndarray] = (),
    max_shift: float | None = None,
    ignores_cell: bool = False,
) -> SearchResult:
    """Candidate lattices of one method.

    Parameters
    ----------
    spots : unindexed spots of one crystal's sweeps.
    method : fft3d, fft1d or real_space_grid_search (needs a known cell).
    max_cell : Å.
    others : lattices found before; candidates turned less than the minimum separation from them are dropped.
    max_shift : px, error of the beam centre allowed for; default from ``params``.
    ignores_cell : lattices are made of the periods as if no cell were known, and then compared with it.
    """
    shift = params.basis_vector_combinations.offset_search if max_shift is None else max_shift
    if method == "real_space_grid_search":
        vectors = directions_of_known_length(spots.rlp, target.primitive_rows, params.real_space_grid_search)
        periods = Periods(vectors, np.ones(len(vectors)), float(spots.d.min()), len(spots))
    elif method == "fft1d":
        periods = fft1d.find_periods(spots.rlp, max_cell, min_cell=params.min_cell)
    else:
        periods = fft3d.find_periods(spots.rlp, max_cell, params.fft3d, min_cell=params.min_cell)
    inside = spots.select(spots.d >= periods.d_min * (1 - 1e-9))
    guided = target.cell is not None and not ignores_cell
    found = _evaluate_all(inside, periods, target if guided else None, params, shift)
    fitting = found if guided else _with_target(inside, found, target, params)
    separate = [c for c in fitting if not _is_known(c.rows, others, params)]
    separate.sort(key=lambda c: -c.fit)
    note = f"{method}: {len(periods.vectors)} periods from {periods.n_spots} spots, {len(found)} lattices"
    if target.is_known:
        note += f", {len(fitting)} agree with the known symmetry"
    if others:
        note += f", {len(separate)} are not the ones already found"
    return SearchResult(separate, periods.d_min, note)


def _evaluate_all(
    spots: SweepSpots, periods: Periods, target: TargetSymmetry | None, params: Indexing, shift: float
) -> list[Candidate]:
    """Lattices adjusted to the spots: orientations of the target's cell, or combinations of the periods (None)."""
    combine = params.basis_vector_combinations
    if target is not None:
        lattices: Iterator[np.ndarray] = iter(
            orientations(spots.rlp, target.primitive_rows, periods.vectors[: params.real_space_grid_search.max_vectors])
        )
    else:
        lattices = islice(combinations(periods.vectors[: combine.max_combinations]), _MAX_TRIPLETS)
    found: list[Candidate] = []
    seen: list[np.ndarray] = []
    for rows in lattices:
        if any(same_lattice(rows, other) for other in seen):
            continue
        seen.append(rows)
        if target is not None:
            candidate = evaluate_known(spots, rows, tolerance=params.hkl_tolerance, max_shift=shift)
        else:
            candidate = evaluate(
                spots, rows, tolerance=params.hkl_tolerance, max_shift=shift, min_volume=params.min_cell_volume,
                absent_threshold=combine.sys_absent_threshold, min_cell=params.min_cell,
            )  # fmt: skip
        if candidate is None or candidate.n_indexed < _LEAST_INDEXED:
            continue
        same = next((i for i, c in enumerate(found) if same_lattice(candidate.rows, c.rows)), None)
        if same is None:
            found.append(candidate)
        elif candidate.fit > found[same].fit:
            found[same] = candidate
        if len(seen) >= combine.max_refine or (len(seen) >= _LOOKED_AT_LEAST and any(map(_is_convincing, found))):
            break
    return found


def _is_convincing(candidate: Candidate) -> bool:
    return candidate.explanation.fraction > _CONVINCING_FRACTION and candidate.explanation.spread < _CONVINCING_SPREAD


def _with_target(
    spots: SweepSpots, found: list[Candidate], target: TargetSymmetry, params: Indexing
) -> list[Candidate]:
    """Candidates that agree with what is known, in a primitive cell of the user's setting."""
    if not target.is_known:
        return found
    kept = []
    for candidate in found:
        if target.match(candidate.rows) is not None:
            kept.append(scored(spots, candidate, tolerance=params.hkl_tolerance))
    return kept


def _is_known(rows: np.ndarray, others: Sequence[np.ndarray], params: Indexing) -> bool:
    """Whether a lattice is one of those found already, up to a small rotation."""
    return any(
        is_same_orientation(rows, other, params.multiple_lattice_search.minimum_angular_separation) for other in others
    )


def is_same_orientation(rows: np.ndarray, other: np.ndarray, separation: float) -> bool:
    """Whether two lattices have like cells and differ by a rotation below ``separation`` degrees, up to symmetry.

    Parameters
    ----------
    rows, other : reduced real-space vectors (3, 3).
    """
    P = match_cell(rows, other)
    if P is None:
        return False
    return smallest_rotation(P @ rows, other, lattice_group(cell_parameters(other), 3.0)) < separation


def worth_refining(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The few candidates that are nearly as good as the best."""
    if not candidates:
        return []
    best = max(c.fit for c in candidates)
    return [c for c in candidates if c.fit >= _WORTH_REFINING * best and c.fit > 0][:_MAX_REFINED]
