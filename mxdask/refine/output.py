"""The refined experiment list and table."""

from __future__ import annotations

import numpy as np

from mxdask.models import ExperimentList
from mxdask.refine.plan import State
from mxdask.table import Flag, ReflectionTable

LOST = Flag.INDEXED | Flag.PREDICTED | Flag.USED_IN_REFINEMENT | Flag.BAD_FOR_REFINEMENT


def assemble(experiments: ExperimentList, state: State) -> tuple[ExperimentList, ReflectionTable]:
    """Experiments that were refined, in their order, and all reflections with ids by the new rows.

    Reflections of experiments that are left out become unindexed, so that they can be indexed again.
    """
    good = state.good
    listed = experiments.with_experiments(state.experiments[row] for row in good)
    table = state.table.copy()
    position = np.full(len(state.experiments) + 1, -1, dtype=np.int32)
    position[good] = np.arange(len(good))
    old = table["id"]
    table["id"] = position[old]
    lost = (old >= 0) & (table["id"] < 0)
    if np.any(lost):
        table.unset_flags(lost, LOST)
        table["miller_index"] = np.where(lost[:, None], 0, table["miller_index"])
    table.identifiers = dict(enumerate(listed.identifiers))
    return listed, table
