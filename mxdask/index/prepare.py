"""From the files of the steps before: sweeps, their spots in reciprocal space, crystals that are known already."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.geometry.mapping import map_centroids
from mxdask.index.params import Indexing
from mxdask.models import Crystal, Experiment, ExperimentList
from mxdask.table import Flag, ReflectionTable

# Row of each spot in the input. The shoeboxes stay behind (nothing here looks at them, and they are most of the
# bytes) and are joined again in the end.
ORIGIN = "origin"


@dataclass(frozen=True, eq=False)
class Sweep:
    """One sweep and its spots.

    Attributes
    ----------
    row : number of the sweep in the input (order of first use of its images).
    experiment : without crystal.
    table : its spots with xyzobs.mm.*, rlp, s1, entering; ``imageset_id`` is 0.
    crystals : orientations known from before, may be empty.
    """

    row: int
    experiment: Experiment
    table: ReflectionTable
    crystals: tuple[Crystal, ...]


def split_sweeps(experiments: ExperimentList, reflections: ReflectionTable, params: Indexing) -> list[Sweep]:
    """Sweeps in the order of the experiments, with the spots that may be indexed.

    Raises
    ------
    MxdaskError : a sweep has no goniometer or scan; the table is not one of strong spots.
    """
    for name in ("xyzobs.px.value", "panel", "id"):
        if name not in reflections:
            raise MxdaskError(f"the reflections have no column {name!r}: index needs the strong spots of find_spots")
    members = experiments.groups(lambda e: id(e.imageset) if e.imageset is not None else e.identifier)
    sweep_of_experiment = np.zeros(max(1, len(experiments)), dtype=np.int64)
    for number, rows in enumerate(members.values()):
        sweep_of_experiment[rows] = number
    sweep = _sweep_of_spot(reflections, sweep_of_experiment, len(members))
    usable = _usable(reflections)
    sweeps = []
    for number, rows in enumerate(members.values()):
        first = experiments[rows[0]]
        _check(first)
        table = _spots(first, reflections, usable & (sweep == number), params)
        crystals = [experiments[row].crystal for row in rows]
        sweeps.append(
            Sweep(number, first.evolve(crystal=None, profile=None, scaling_model=None), table,
                  tuple(c for c in crystals if c is not None))
        )  # fmt: skip
    return sweeps


def _sweep_of_spot(reflections: ReflectionTable, sweep_of_experiment: np.ndarray, n_sweeps: int) -> np.ndarray:
    """(n,) sweep number of every row; -1 where there is no telling."""
    ids = reflections["id"].astype(np.int64)
    known = (ids >= 0) & (ids < len(sweep_of_experiment))
    sweep = np.where(known, sweep_of_experiment[np.where(known, ids, 0)], -1)
    if known.all() or "imageset_id" not in reflections:
        return np.zeros(len(ids), dtype=np.int64) if n_sweeps == 1 else sweep
    imageset = reflections["imageset_id"].astype(np.int64)
    if np.any(known) and np.array_equal(imageset[known], sweep[known]):
        return np.where(known, sweep, imageset)
    # DIALS numbers all imagesets 0 after joint_indexing=false. It writes sweep after sweep, the unindexed spots of
    # each behind its indexed ones: a row without a lattice belongs to the sweep of the row before it.
    filled = np.maximum.accumulate(np.where(known, np.arange(len(ids)), 0))
    return np.where(known, sweep, sweep[filled])


def _usable(reflections: ReflectionTable) -> np.ndarray:
    """Strong spots; all spots if none is marked so."""
    if "flags" not in reflections:
        reflections["flags"] = np.full(len(reflections), int(Flag.STRONG), dtype=np.uint64)
    strong = reflections.has_flags(Flag.STRONG)
    return strong if strong.any() else np.ones(len(reflections), dtype=bool)


def _check(experiment: Experiment) -> None:
    if lacks := experiment.lacks_for_rotation:
        raise MxdaskError(f"{experiment.name}: indexing needs rotation data, but this has no {lacks}")


def _spots(experiment: Experiment, spots: ReflectionTable, chosen: np.ndarray, params: Indexing) -> ReflectionTable:
    """The chosen spots (mask) of one sweep, mapped; those outside ``image_range`` are left out."""
    if params.image_range is not None:
        first, last = params.image_range
        z = spots["xyzobs.px.value"][:, 2]
        chosen = chosen & (z >= first - 1) & (z < last)
    rows = np.flatnonzero(chosen & np.isfinite(spots["xyzobs.px.value"]).all(axis=1))
    table = ReflectionTable({name: spots[name][rows] for name in spots}, spots.identifiers)
    table[ORIGIN] = rows
    if "xyzobs.px.variance" not in table:
        table["xyzobs.px.variance"] = np.zeros((len(table), 3))
    mapped = map_centroids(experiment, table)
    if params.sigma_phi_deg is not None:
        variance = mapped["xyzobs.mm.variance"].copy()
        variance[:, 2] = np.deg2rad(params.sigma_phi_deg) ** 2
        mapped["xyzobs.mm.variance"] = variance
    mapped["imageset_id"] = np.zeros(len(mapped), dtype=np.int32)
    return mapped
