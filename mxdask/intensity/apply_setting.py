"""Crystals and reflections brought to a common setting and space group."""

from __future__ import annotations

from collections.abc import Mapping

import gemmi
import numpy as np

from mxdask.lattice.operators import reindex, to_setting
from mxdask.models.crystal import Crystal
from mxdask.models.experiment import ExperimentList
from mxdask.table import ReflectionTable


def apply_settings(
    experiments: ExperimentList,
    reflections: ReflectionTable,
    changes: Mapping[int, np.ndarray],
    space_group: gemmi.SpaceGroup,
) -> tuple[ExperimentList, ReflectionTable]:
    """Reindex experiments, h' = P·h, and constrain their cells to a space group.

    Parameters
    ----------
    reflections : its ``id`` column counts rows of ``experiments``.
    changes : row → P (3, 3). Experiments that are not named are left out.

    Returns
    -------
    Experiments in their old order, and their reflections with ``id`` renumbered. Reflections that have no integer
    indices in the new setting are dropped. Crystals that were shared stay shared.
    """
    rows = sorted(changes)
    crystals: dict[tuple[int, bytes], Crystal] = {}
    changed = []
    new_id = np.full(len(experiments) + 1, -1, dtype=np.int32)
    for position, row in enumerate(rows):
        experiment, P = experiments[row], np.asarray(changes[row], dtype=float)
        assert experiment.crystal is not None
        key = id(experiment.crystal), P.tobytes()
        if key not in crystals:
            crystals[key] = to_setting(experiment.crystal, P, space_group)
        changed.append(experiment.evolve(crystal=crystals[key]))
        new_id[row] = position
    hkl = reflections["miller_index"].copy()
    keep = np.zeros(len(hkl), dtype=bool)
    order = np.argsort(reflections["id"], kind="stable")
    first = np.searchsorted(reflections["id"][order], np.arange(len(experiments) + 1))
    for row in rows:
        mine = order[first[row] : first[row + 1]]
        hkl[mine], keep[mine] = reindex(hkl[mine], changes[row])
    table = reflections.copy()
    table["miller_index"] = hkl
    table["id"] = new_id[reflections["id"]]
    if not keep.all():
        table = table.select(keep)
    table.identifiers = {position: experiments[row].identifier for position, row in enumerate(rows)}
    return experiments.with_experiments(changed), table
