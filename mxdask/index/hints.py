"""What a sweep that failed, or came out odd, can learn from the others: cells, and how long an axis may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.index.consensus import Consensus, consensus_cell
from mxdask.index.known_symmetry import match_cell, primitive_rows
from mxdask.index.max_cell import estimate_max_cell
from mxdask.index.params import Indexing
from mxdask.index.prepare import Sweep
from mxdask.index.tasks import Hint, Result
from mxdask.models.crystal import cell_parameters

_MAX_CELLS = 3
_POOLED = 30  # sweeps that max_cell is estimated from: more do not make it better


@dataclass(frozen=True, eq=False)
class SecondPass:
    """Which sweeps are indexed again, and with what.

    Attributes
    ----------
    consensus : the cell that most sweeps agree on, or None.
    of_sweep : hints by number of the sweep, in the order in which they are tried.
    """

    consensus: Consensus | None
    of_sweep: dict[int, list[Hint]]


def plan_second_pass(sweeps: Sequence[Sweep], results: Sequence[Result], params: Indexing) -> SecondPass:
    """Cells and lengths to try again with (front.md 9.9, 13.1).

    With a consensus of the cells, sweeps that failed and those with another cell are tried with it. Without one, those
    that failed are tried with the cells of the others, best first, or with the longest axis that all spots together
    suggest. Nothing is tried with cells if the user gave one.
    """
    found = _consensus(sweeps, results, params)
    if params.known_symmetry.unit_cell is not None:
        return SecondPass(found, {})
    enough = [i for i, s in enumerate(sweeps) if len(s.table) >= params.min_spots]
    failed = [i for i in enough if results[i].solution is None]
    if found is not None:
        hint = Hint("consensus cell", cell=tuple(float(x) for x in found.cell))
        return SecondPass(found, {i: [hint] for i in enough if i not in found.members})
    if not params.retries or not failed:
        return SecondPass(None, {})
    hints = _cells_of_others(sweeps, results, params) or _longest_axis(sweeps, params)
    return SecondPass(None, {i: hints for i in failed} if hints else {})


def _consensus(sweeps: Sequence[Sweep], results: Sequence[Result], params: Indexing) -> Consensus | None:
    """The consensus; its members are numbers of sweeps."""
    wish = params.two_pass.mode
    if wish is False or (wish is None and len(sweeps) < params.two_pass.min_sweeps):
        return None
    solved = [i for i, r in enumerate(results) if r.solution is not None]
    found = consensus_cell(
        [_rows(results[i], params) for i in solved],
        length_tolerance=params.two_pass.length_tolerance, angle_tolerance=params.two_pass.angle_tolerance,
    )  # fmt: skip
    return None if found is None else Consensus(found.cell, tuple(solved[i] for i in found.members))


def _rows(result: Result, params: Indexing) -> np.ndarray:
    """Real-space vectors to compare: the user's setting if there is one, else the reduced primitive cell."""
    assert result.solution is not None
    crystal = result.solution.crystals[0]
    return crystal.real_space if params.known_symmetry.space_group else primitive_rows(crystal)


def _cells_of_others(sweeps: Sequence[Sweep], results: Sequence[Result], params: Indexing) -> list[Hint]:
    """Different cells of the sweeps that were indexed, those that explain most first."""
    solved = [(i, r.solution) for i, r in enumerate(results) if r.solution is not None]
    solved.sort(key=lambda item: (-item[1].n_indexed * item[1].explanation.bits, item[1].crystals[0].volume))
    hints: list[Hint] = []
    kept: list[np.ndarray] = []
    for i, _ in solved:
        rows = _rows(results[i], params)
        if any(match_cell(rows, other) is not None for other in kept):
            continue
        kept.append(rows)
        cell = tuple(float(x) for x in cell_parameters(rows))
        hints.append(Hint(f"cell of {sweeps[i].experiment.name}", cell=cell))
        if len(hints) == _MAX_CELLS:
            break
    return hints


def _longest_axis(sweeps: Sequence[Sweep], params: Indexing) -> list[Hint]:
    if params.max_cell is not None:
        return []
    # Those with most spots know most; equal ones in order of their names.
    chosen = sorted(sweeps, key=lambda s: (-len(s.table), s.experiment.name))[:_POOLED]
    try:
        pooled = estimate_max_cell([s.table for s in chosen], params.max_cell_estimation)
    except MxdaskError:
        return []
    return [Hint("max_cell of all sweeps together", max_cell=pooled)]
