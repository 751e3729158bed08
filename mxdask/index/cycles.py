"""Cycles of index assignment and refinement while the resolution is extended (front.md 9.7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.index.assign import Assignment, assign, without_duplicates
from mxdask.index.assign_local import assign_local
from mxdask.index.params import Indexing
from mxdask.index.quality import Explanation, explain
from mxdask.index.refinement import Fit, fit_models
from mxdask.index.spots import SweepSpots
from mxdask.models import Crystal

_LEAST_INDEXED = 5
_MAX_VOLUME_CHANGE = 0.5


@dataclass(frozen=True, eq=False)
class Solution:
    """Lattices of the sweeps that were indexed together.

    Attributes
    ----------
    spots : all spots, mapped with the refined geometry.
    crystals : refined, one per lattice.
    assignment : lattice and indices of every spot.
    fit : the last refinement; its experiments are sweep by sweep, in each lattice by lattice.
    """

    spots: SweepSpots
    crystals: tuple[Crystal, ...]
    assignment: Assignment
    fit: Fit

    @property
    def n_indexed(self) -> int:
        """Spots that belong to a lattice."""
        return int(np.count_nonzero(self.assignment.lattice >= 0))

    @cached_property
    def explanation(self) -> Explanation:
        """What the lattices say about the spots."""
        return explain(self.assignment.distance)


def assign_spots(spots: SweepSpots, crystals: Sequence[Crystal], params: Indexing, d_min: float = 0.0) -> Assignment:
    """Indices of all spots down to a resolution; duplicates resolved."""
    sweep, phi, entering = spots.table["imageset_id"], spots.table["xyzobs.mm.value"][:, 2], spots.table["entering"]
    A = [c.A for c in crystals]
    if params.index_assignment.method == "local":
        found = without_duplicates(assign_local(spots.rlp, phi, A, params.index_assignment.local), sweep, phi, entering)
    else:
        found = assign(
            spots.rlp, A, tolerance=params.hkl_tolerance, sweep=sweep, phi=phi, entering=entering
        )  # fmt: skip
    beyond = spots.d < d_min * (1 - 1e-9)
    lattice, hkl = found.lattice.copy(), found.hkl.copy()
    lattice[beyond] = -1
    hkl[beyond] = 0
    return replace(found, lattice=lattice, hkl=hkl)


def refine_cycles(
    spots: SweepSpots,
    crystals: Sequence[Crystal],
    params: Indexing,
    *,
    d_min_start: float,
    geometry_is_agreed: bool = False,
) -> Solution:
    """Assign, refine, extend the resolution, and again.

    Parameters
    ----------
    spots : with the geometry to start from.
    crystals : one per lattice.
    d_min_start : Å, resolution of the first cycle.
    geometry_is_agreed : the detector's orientation and distance come from many sweeps and stay.

    Raises
    ------
    MxdaskError : too few spots are indexed, or a cell went astray.
    """
    protocol = params.refinement_protocol
    d_all = float(spots.d.min())
    start, final = protocol.d_min_start or d_min_start, protocol.d_min_final or d_all
    limits = np.linspace(max(start, final), final, protocol.n_macro_cycles)
    current, models = spots, tuple(crystals)
    previous: Assignment | None = None
    fit: Fit | None = None
    for d_min in limits:
        found = assign_spots(current, models, params, d_min)
        if previous is not None and np.array_equal(previous.hkl, found.hkl) and d_min == limits[-1]:
            break
        counts = [int(np.count_nonzero(found.lattice == k)) for k in range(len(models))]
        if min(counts) < _LEAST_INDEXED:
            raise MxdaskError(f"only {min(counts)} spots are indexed by a lattice down to {d_min:.2f} Å")
        fit = fit_models(current, models, found, params, geometry_is_agreed=geometry_is_agreed)
        _check_volumes(models, fit.crystals, params)
        models, current, previous = fit.crystals, current.with_geometry(fit.sweeps), found
    assert fit is not None and previous is not None
    return Solution(current, models, previous, fit)


def _check_volumes(before: Sequence[Crystal], after: Sequence[Crystal], params: Indexing) -> None:
    if params.refinement_protocol.disable_unit_cell_volume_sanity_check:
        return
    for old, new in zip(before, after, strict=True):
        change = abs(new.volume / old.volume - 1.0)
        if change > _MAX_VOLUME_CHANGE:
            raise MxdaskError(f"the cell volume changed by {100 * change:.0f} % in refinement")
