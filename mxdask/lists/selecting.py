"""Some of the experiments of a list, with the reflections that belong to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mxdask.models import ExperimentList
from mxdask.table import ReflectionTable


def select_experiments(
    experiments: ExperimentList, reflections: ReflectionTable | None, rows: Sequence[int], *, unindexed: bool = True
) -> tuple[ExperimentList, ReflectionTable | None]:
    """Experiments ``rows`` in that order, and their reflections renumbered.

    ``id`` becomes the new row, ``imageset_id`` the new place of the sweep among the distinct image sets.

    Parameters
    ----------
    unindexed : keep spots that no lattice claims (id -1) if their sweep is among those chosen.
    """
    chosen = experiments.with_experiments([experiments[row] for row in rows])
    if reflections is None:
        return chosen, None
    new_id = np.full(len(experiments) + 1, -2, dtype=np.int32)
    new_id[-1] = -1 if unindexed else -2
    new_id[list(rows)] = np.arange(len(rows))
    new_sweep = sweep_numbers(experiments, chosen)
    ids = new_id[np.maximum(reflections["id"], -1)]
    keep = ids > -2
    if "imageset_id" in reflections:
        sweeps = reflections["imageset_id"]
        known = (sweeps >= 0) & (sweeps < len(new_sweep))
        moved = np.where(known, new_sweep[np.where(known, sweeps, 0)] if len(new_sweep) else sweeps, -1)
        keep &= (moved >= 0) | (ids >= 0)
    else:
        moved = None
    table = reflections.select(keep)
    table["id"] = ids[keep]
    if moved is not None:
        table["imageset_id"] = np.maximum(moved[keep], 0)
    table.identifiers = {i: e.identifier for i, e in enumerate(chosen)}
    return chosen, table


def sweep_numbers(experiments: ExperimentList, chosen: ExperimentList) -> np.ndarray:
    """(n,) new ``imageset_id`` of every distinct image set of a list; -1 where none of the chosen uses it."""
    place = {id(s): i for i, s in enumerate(chosen.unique("imageset"))}
    return np.array([place.get(id(s), -1) for s in experiments.unique("imageset")], dtype=np.int32)


def number_of(index: int, total: int) -> str:
    """Index with as many digits as the last of ``total`` needs (``03`` of 24), so that file names sort."""
    return str(index).zfill(len(str(max(total - 1, 0))))
