"""What is done for one sweep (or one group of sweeps): plain values in, plain values out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.index.cycles import Solution, refine_cycles
from mxdask.index.params import Indexing
from mxdask.index.prepare import Sweep
from mxdask.index.refinement import fit_models
from mxdask.index.shared_geometry import Displacement, with_beam_centre_of
from mxdask.index.spots import SweepSpots
from mxdask.index.sweep import Outcome, index_spots
from mxdask.index.symmetric_cell import constrained_if_undetermined
from mxdask.models import Crystal
from mxdask.table import ReflectionTable

# With the geometry of all sweeps a sweep may lose this little, else it keeps its own.
_LEAST_KEPT = 0.97
_MAX_RMSD_GROWTH = 1.5


@dataclass(frozen=True, eq=False)
class Result:
    """Outcome of the sweeps ``rows`` indexed together, with everything that was tried."""

    rows: tuple[int, ...]
    outcome: Outcome
    steps: tuple[str, ...] = ()

    @property
    def solution(self) -> Solution | None:
        """The lattices found, or None."""
        return self.outcome.solution


@dataclass(frozen=True)
class Hint:
    """What other sweeps say: the kind of hint, a cell (Å, degrees) or the longest axis (Å)."""

    label: str
    cell: tuple[float, ...] | None = None
    max_cell: float | None = None

    def applied(self, params: Indexing) -> Indexing:
        """Parameters that follow the hint."""
        if self.cell is None:
            return params.model_copy(update={"max_cell": self.max_cell})
        known = params.known_symmetry.model_copy(update={"unit_cell": self.cell})
        return params.model_copy(update={"known_symmetry": known})


def index_sweeps(sweeps: Sequence[Sweep], params: Indexing) -> Result:
    """Index one sweep, or several as one crystal."""
    crystals = sweeps[0].crystals if len(sweeps) == 1 else _common(sweeps)
    return Result(tuple(s.row for s in sweeps), index_spots(spots_of(sweeps), params, crystals))


def _common(sweeps: Sequence[Sweep]) -> tuple[Crystal, ...]:
    """Crystals that all sweeps share (by identity) from before."""
    first = sweeps[0].crystals
    return first if all({id(c) for c in s.crystals} == {id(c) for c in first} for s in sweeps) else ()


def spots_of(sweeps: Sequence[Sweep]) -> SweepSpots:
    """The spots of several sweeps together; ``imageset_id`` counts the sweeps given."""
    if len(sweeps) == 1:  # nothing is copied
        table = sweeps[0].table.copy()
        table.identifiers = {}
        return SweepSpots((sweeps[0].experiment,), table, table["rlp"])
    tables = []
    for k, sweep in enumerate(sweeps):
        table = sweep.table.copy()
        table["imageset_id"] = np.full(len(table), k, dtype=np.int32)
        table.identifiers = {}
        tables.append(table)
    return SweepSpots.of([s.experiment for s in sweeps], ReflectionTable.concat(tables))


def index_again(sweep: Sweep, params: Indexing, hints: Sequence[Hint], before: Result) -> Result:
    """Second pass: index again with what the other sweeps know; of all results the one with most bits is kept.

    Cells are starting values only: they guide the search and are refined freely.
    """
    best = before
    lines = list(before.outcome.attempts)
    for hint in hints:
        again = index_spots(spots_of([sweep]), hint.applied(params))
        lines += [f"{hint.label}, {line}" for line in again.attempts]
        if again.solution is None:
            continue
        if best.solution is not None and again.solution.explanation.bits < best.solution.explanation.bits:
            lines.append("kept the cell found before, which explains the spots better")
            continue
        best = Result(before.rows, replace(again, max_cell=before.outcome.max_cell), (*before.steps, hint.label))
    return replace(best, outcome=replace(best.outcome, attempts=lines))


def displacement_alone(sweep: Sweep, params: Indexing, before: Result) -> Displacement:
    """Where one sweep by itself would have the detector, against where it was imported."""
    solution = before.solution
    assert solution is not None
    fit = fit_models(solution.spots, solution.crystals, solution.assignment, params, loose=True)
    imported, refined = sweep.experiment.detector, fit.sweeps[0].detector
    assert imported is not None and refined is not None
    return Displacement.between(imported, refined)


def refine_with_geometry(sweeps: Sequence[Sweep], params: Indexing, agreed: Displacement, before: Result) -> Result:
    """Refine again with the detector's orientation and distance that all sweeps agree on."""
    solution = before.solution
    assert solution is not None
    placed = []
    for sweep, refined in zip(sweeps, solution.spots.sweeps, strict=True):
        imported, beam = sweep.experiment.detector, sweep.experiment.beam
        assert imported is not None and beam is not None and refined.detector is not None and refined.beam is not None
        detector = with_beam_centre_of(agreed.applied(imported), beam.s0, refined.detector, refined.beam.s0)
        placed.append(sweep.experiment.evolve(detector=detector))
    try:
        better = refine_cycles(
            solution.spots.with_geometry(placed), solution.crystals, params,
            d_min_start=float(solution.spots.d.min()), geometry_is_agreed=True,
        )  # fmt: skip
        better = constrained_if_undetermined(better, params, geometry_is_agreed=True)
    except MxdaskError as error:
        return replace(before, steps=(*before.steps, f"kept its own geometry ({error})"))
    worse = _rmsd_xy(better) > _MAX_RMSD_GROWTH * _rmsd_xy(solution)
    if worse or better.n_indexed < _LEAST_KEPT * solution.n_indexed:
        return replace(before, steps=(*before.steps, "kept its own geometry"))
    return replace(
        before, outcome=replace(before.outcome, solution=better), steps=(*before.steps, "geometry of all sweeps")
    )


def _rmsd_xy(solution: Solution) -> float:
    return float(np.hypot(*solution.fit.rmsd_mm[:2]))
