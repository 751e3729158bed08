"""Further crystals in one sweep, looked for among the spots that those found before leave over (front.md 9.7, 13.3)."""

from __future__ import annotations

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.index.cycles import Solution, assign_spots, refine_cycles
from mxdask.index.known_symmetry import TargetSymmetry, primitive_rows, target_crystal
from mxdask.index.max_cell import on_ice_ring
from mxdask.index.params import Indexing
from mxdask.index.ranking import best_refined
from mxdask.index.search import is_same_orientation, search, worth_refining
from mxdask.index.spots import SweepSpots
from mxdask.models import Crystal
from mxdask.models.crystal import cell_parameters

# max_lattices=auto: a further crystal with a smaller fraction of the first one's spots is not worth integrating.
_LEAST_OF_FIRST = 0.05
_MOST = 20


def more_lattices(
    solution: Solution, target: TargetSymmetry, params: Indexing, method: str, max_cell: float, lines: list[str]
) -> Solution:
    """Look for further crystals while it is worth it.

    Parameters
    ----------
    solution : with one lattice or more.
    method, max_cell : Å; of the search that found the first lattice.
    lines : one line is added for every search, and one that says why the last one was the last.
    """
    many = params.multiple_lattice_search
    while len(solution.crystals) < (many.max_lattices or _MOST):
        left = assign_spots(solution.spots, solution.crystals, params).lattice < 0
        # Spots of ice say nothing of further crystals.
        candidates = left & ~on_ice_ring(solution.spots.rlp) if params.max_cell_estimation.filter_ice else left
        state = f"{int(left.sum())} of {len(left)} spots left, {int(candidates.sum())} off ice rings"
        if candidates.sum() < max(many.recycle_unindexed_reflections_cutoff * len(left), many.min_spots):
            lines.append(f"{state}: no further lattice is looked for")
            break
        rest = solution.spots.select(left)
        larger, notes = _another(solution, rest, target, params, method, max_cell)
        lines += [f"lattice {len(solution.crystals) + 1}{how} ({state}): {what}" for how, what in notes]
        if larger is None:
            break
        solution = larger
    return solution


def _another(
    solution: Solution, rest: SweepSpots, target: TargetSymmetry, params: Indexing, method: str, max_cell: float
) -> tuple[Solution | None, list[tuple[str, str]]]:
    """The solution with one more lattice: searched for freely, then as one more crystal of the kinds found.

    Also for every try how it differed from the first search, and what came of it.
    """
    notes = []
    tries = [(method, target, params, "")]
    if target.cell is None:
        known = params.known_symmetry.model_copy(
            update={"unit_cell": _cell_of_first(solution, target), "space_group": params.known_symmetry.space_group}
        )
        tries.append(("real_space_grid_search", TargetSymmetry.of(known), params, " with the first lattice's cell"))
    elif method != "real_space_grid_search":
        tries.append(("real_space_grid_search", target, params, ""))
    others = [primitive_rows(c) for c in solution.crystals]
    for search_method, symmetry, options, how in tries:
        found = search(rest, search_method, max_cell, symmetry, options, others=others, max_shift=0.0)
        candidate = best_refined(rest, worth_refining(found.candidates), symmetry, options, found.d_min)
        larger, problem = None, "no suitable lattice"
        if candidate is not None:
            crystal = target_crystal(candidate.rows, target if target.is_known else symmetry)
            larger, problem = _refined(solution, crystal, params, found.d_min)
        notes.append((how, f"{found.note}; {problem}" if problem else found.note))
        if larger is not None:
            return larger, notes
    return None, notes


def _cell_of_first(solution: Solution, target: TargetSymmetry) -> tuple[float, ...]:
    first = solution.crystals[0]
    rows = first.real_space if target.is_known else primitive_rows(first)
    return tuple(float(x) for x in cell_parameters(rows))


def _refined(solution: Solution, crystal: Crystal, params: Indexing, d_min: float) -> tuple[Solution | None, str]:
    """All lattices refined together; or None and why the new one does not hold."""
    many = params.multiple_lattice_search
    crystals = [*solution.crystals, crystal]
    try:
        larger = refine_cycles(solution.spots, crystals, params, d_min_start=d_min)
    except MxdaskError as error:
        return None, str(error)
    new = larger.crystals[-1]
    counts = [int(np.count_nonzero(larger.assignment.lattice == k)) for k in range(len(crystals))]
    for k, other in enumerate(larger.crystals[:-1]):
        if is_same_orientation(primitive_rows(new), primitive_rows(other), many.minimum_angular_separation):
            return None, f"it became lattice {k + 1}"
    gained = larger.n_indexed - solution.n_indexed
    least = many.min_spots
    if many.max_lattices is None:
        least = max(least, int(np.ceil(_LEAST_OF_FIRST * counts[0])))
    if counts[-1] < least or gained < 0.5 * least:
        return None, f"it indexes {counts[-1]} spots, {gained} of them new: too few"
    return larger, ""
