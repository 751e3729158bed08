"""One cell and one space group for data of many crystals."""

from __future__ import annotations

from collections.abc import Iterable

import gemmi
import numpy as np

from mxdask.errors import MxdaskError
from mxdask.models import Experiment


def median_cell(experiments: Iterable[Experiment]) -> gemmi.UnitCell:
    """Median of each cell parameter; cells refined against 2θ are taken where every crystal has one."""
    crystals = [e.crystal for e in experiments if e.crystal is not None]
    if not crystals:
        raise MxdaskError("no experiment has a crystal; index the data first")
    recalculated = [c.recalculated_cell for c in crystals]
    if all(r is not None for r in recalculated):
        cells = np.array([list(r) for r in recalculated if r is not None])
    else:
        cells = np.array([c.cell for c in crystals])
    return gemmi.UnitCell(*np.median(cells, axis=0))


def mean_cell(experiments: Iterable[Experiment]) -> gemmi.UnitCell:
    """Mean of each cell parameter: what dials.compute_delta_cchalf sorts reflections into shells by."""
    cells = [e.crystal.cell for e in experiments if e.crystal is not None]
    if not cells:
        raise MxdaskError("no experiment has a crystal; index the data first")
    return gemmi.UnitCell(*np.mean(cells, axis=0))


def common_space_group(experiments: Iterable[Experiment]) -> gemmi.SpaceGroup:
    """The space group of all crystals.

    Raises
    ------
    MxdaskError : they differ; names the first that does.
    """
    groups = [(e.name, e.crystal.space_group) for e in experiments if e.crystal is not None]
    if not groups:
        raise MxdaskError("no experiment has a crystal; index the data first")
    first_name, first = groups[0]
    for name, group in groups[1:]:
        if group != first:
            raise MxdaskError(
                f"{name} is in space group {group.short_name()}, {first_name} in {first.short_name()}: crystals must "
                "share one; run `mxdask cosym` (or `mxdask symmetry`) on all of them together"
            )
    return first
