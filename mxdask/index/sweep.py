"""Index one sweep, or several as one crystal: search, refine, further lattices, and what to try when it fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.index.cycles import Solution, refine_cycles
from mxdask.index.further import more_lattices
from mxdask.index.known_symmetry import TargetSymmetry, cell_text, target_crystal
from mxdask.index.max_cell import estimate_max_cell
from mxdask.index.params import Indexing
from mxdask.index.quality import chance_bits
from mxdask.index.ranking import best_refined
from mxdask.index.search import SearchResult, search, worth_refining
from mxdask.index.spots import SweepSpots
from mxdask.index.symmetric_cell import constrained_if_undetermined
from mxdask.models import Crystal
from mxdask.table import ReflectionTable

_KNOWN_CELL_FACTOR = 1.3
# A solution whose spots lie farther from whole-number indices than this is kept, but the other searches are tried, too.
_CONVINCING_SPREAD = 0.06
# The spots of a narrow wedge fit a distorted lattice with the axis inverted nearly as well as the right one.
_INVERTED_MUST_GAIN = 1.3


@dataclass(frozen=True)
class Attempt:
    """One try: which search, and how it differs from the default."""

    method: str
    max_cell: float
    max_shift: float | None = None
    why: str = ""
    axis_is_inverted: bool = False
    ignores_cell: bool = False

    @property
    def must_gain(self) -> float:
        """Bits, as a multiple of those of the best attempt so far, that this one must explain to be preferred."""
        return _INVERTED_MUST_GAIN if self.axis_is_inverted else 1.0

    @property
    def name(self) -> str:
        """Of the method that a solution is reported with."""
        return f"{self.method}, rotation axis inverted" if self.axis_is_inverted else self.method


@dataclass(frozen=True, eq=False)
class Outcome:
    """What indexing of one set of sweeps gave.

    Attributes
    ----------
    solution : None if it failed.
    method : of the attempt that succeeded. attempts : one line each. reason : why it failed, else "".
    max_cell : Å, first estimate (0 if there was none).
    axis_is_inverted : the lattice was found with the rotation axis turned round, and its experiments have it so.
    """

    solution: Solution | None
    method: str = ""
    attempts: list[str] = field(default_factory=list)
    reason: str = ""
    max_cell: float = 0.0
    axis_is_inverted: bool = False


def _bits(best: tuple[Solution, Attempt] | None) -> float:
    return 0.0 if best is None else best[0].explanation.bits


def index_spots(spots: SweepSpots, params: Indexing, crystals: Sequence[Crystal] = ()) -> Outcome:
    """Find the lattices of the spots.

    Parameters
    ----------
    spots : all spots of one sweep, or of the sweeps of one crystal.
    params : target symmetry, method, cycles.
    crystals : known orientations; with them there is no search.

    Notes
    -----
    Fails without raising: the reason is in the outcome.
    """
    target = TargetSymmetry.of(params.known_symmetry)
    if len(spots) < params.min_spots:
        return Outcome(None, reason=f"{len(spots)} spots, fewer than {params.min_spots}")
    if crystals:
        return _from_known_orientation(spots, params, crystals)
    lines: list[str] = []
    reasons: list[str] = []
    first_cell = 0.0
    best: tuple[Solution, Attempt] | None = None
    inverted = spots.with_axis_inverted()
    for attempt in attempts(spots, params, target):
        first_cell = first_cell or attempt.max_cell
        seen = inverted if attempt.axis_is_inverted else spots
        found = search(
            seen, attempt.method, attempt.max_cell, target, params,
            max_shift=attempt.max_shift, ignores_cell=attempt.ignores_cell,
        )  # fmt: skip
        solution, problem = _solve(seen, found, target, params)
        lines.append(f"{attempt.why or 'default'}: {found.note}{'; ' + problem if problem else ''}")
        reasons.append(problem)
        if solution is not None and (best is None or solution.explanation.bits > attempt.must_gain * _bits(best)):
            best = solution, attempt
        if best is not None and best[0].explanation.spread < _CONVINCING_SPREAD:
            break
    if best is None:
        return Outcome(None, attempts=lines, reason=reasons[0] or "no lattice found", max_cell=first_cell)
    solution, attempt = best
    solution = more_lattices(solution, target, params, attempt.method, attempt.max_cell, lines)
    return Outcome(solution, attempt.name, lines, max_cell=first_cell, axis_is_inverted=attempt.axis_is_inverted)


def attempts(spots: SweepSpots, params: Indexing, target: TargetSymmetry) -> Iterator[Attempt]:
    """The searches to try, most promising first; only the first without ``retries``."""
    estimate, trouble = _max_cell(spots, params, target)
    method = params.method or "fft3d"
    yield Attempt(method, estimate, why=trouble)
    if not params.retries:
        return
    if target.cell is not None and method != "real_space_grid_search":
        yield Attempt("real_space_grid_search", estimate, why="directions of known length")
    if target.cell is not None and method != "real_space_grid_search":
        yield Attempt(method, estimate, why="searched freely, then compared with the known cell", ignores_cell=True)
    if params.max_cell is None and target.cell is None:
        yield Attempt(method, 2.0 * estimate, why="max_cell doubled")
        linear = params.max_cell_estimation.model_copy(update={"histogram_binning": "linear"})
        other = _estimate(spots.table, params.model_copy(update={"max_cell_estimation": linear}))
        if other is not None and abs(other / estimate - 1) > 0.1:
            yield Attempt(method, other, why="max_cell from a linear histogram")
        yield Attempt(method, 0.6 * estimate, why="max_cell reduced")
    if method != "fft1d":
        yield Attempt("fft1d", estimate, why="one-dimensional transforms")
    wide = 3.0 * params.basis_vector_combinations.offset_search
    if wide > 0:
        yield Attempt(method, estimate, wide, why=f"beam centre searched within {wide:.0f} px")
    yield Attempt(method, estimate, why="rotation axis inverted", axis_is_inverted=True)


def _max_cell(spots: SweepSpots, params: Indexing, target: TargetSymmetry) -> tuple[float, str]:
    if params.max_cell is not None:
        return params.max_cell, ""
    if target.cell is not None:
        return _KNOWN_CELL_FACTOR * float(np.linalg.norm(target.primitive_rows, axis=1).max()), ""
    estimate = _estimate(spots.table, params)
    if estimate is not None:
        return estimate, ""
    nearest = float(np.median(spots.d)) * 10.0
    return nearest, "too few neighbouring spots to estimate max_cell"


def _estimate(table: ReflectionTable, params: Indexing) -> float | None:
    parts = list(table.split_by("imageset_id").values())
    try:
        return estimate_max_cell(parts, params.max_cell_estimation)
    except MxdaskError:
        return None


def _from_known_orientation(spots: SweepSpots, params: Indexing, crystals: Sequence[Crystal]) -> Outcome:
    try:
        solution = refine_cycles(spots, crystals, params, d_min_start=float(spots.d.min()))
    except MxdaskError as error:
        return Outcome(None, "known orientation", reason=str(error))
    return Outcome(solution, "known orientation", ["known orientation: no search"])


def _solve(
    spots: SweepSpots, found: SearchResult, target: TargetSymmetry, params: Indexing
) -> tuple[Solution | None, str]:
    """The best candidate refined to all spots; or None and what was wrong."""
    if not found.candidates:
        return None, "no suitable lattice"
    candidate = best_refined(spots, worth_refining(found.candidates), target, params, found.d_min)
    if candidate is None:
        return None, f"none of {len(found.candidates)} lattices could be refined"
    moved = spots.shifted(candidate.shift_px)
    try:
        solution = refine_cycles(moved, [target_crystal(candidate.rows, target)], params, d_min_start=found.d_min)
    except MxdaskError as error:
        return None, str(error)
    solution = constrained_if_undetermined(solution, params)
    problem = _doubt(solution, target, params)
    return (solution, "") if not problem else (None, problem)


def _doubt(solution: Solution, target: TargetSymmetry, params: Indexing) -> str:
    """Why a solution should not be believed; "" if it should."""
    n = len(solution.spots)
    if solution.n_indexed < params.min_indexed_fraction * n:
        return (
            f"the best lattice ({cell_text(solution.crystals[0].real_space)}) explains only "
            f"{solution.n_indexed} of {n} spots"
        )
    if solution.explanation.bits * n < chance_bits(3 if target.cell is not None else 9):
        return (
            f"the best lattice ({cell_text(solution.crystals[0].real_space)}, {solution.n_indexed} of {n} spots) "
            "fits no better than one to random spots"
        )
    return ""
