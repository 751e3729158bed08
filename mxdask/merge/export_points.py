"""Reciprocal lattice points of spots for viewers (the JSON file of ``dials.export format=json``)."""

from __future__ import annotations

from typing import Any

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.geometry.mapping import centroids_mm, map_spots
from mxdask.models import ExperimentList
from mxdask.table import ReflectionTable, match_to_experiments


def reciprocal_points(
    experiments: ExperimentList, reflections: ReflectionTable | None, n_digits: int
) -> dict[str, Any]:
    """Points in the goniometer's datum frame (Å⁻¹, flat list of 3 n), and the sweep and experiment of each.

    Raises
    ------
    MxdaskError : no spots, or a model is missing.
    """
    if reflections is None or len(reflections) == 0:
        raise MxdaskError("there are no spots to export; give a .refl file with observed positions")
    if "xyzobs.px.value" not in reflections:
        raise MxdaskError("the reflections have no observed positions (xyzobs.px.value); give strong.refl")
    table = match_to_experiments(reflections, experiments.identifiers)
    sweeps = [id(e.imageset) if e.imageset is not None else i for i, e in enumerate(experiments)]
    number = {sweep: i for i, sweep in enumerate(dict.fromkeys(sweeps))}
    of_experiment = np.array([number[s] for s in sweeps])
    known = table["id"] >= 0
    sweep = np.where(known, of_experiment[np.maximum(table["id"], 0)], 0)
    if "imageset_id" in table:
        sweep = np.where(known, sweep, table["imageset_id"])
    points = np.zeros((len(table), 3))
    for index in np.unique(sweep).tolist():
        if not 0 <= index < len(number):
            raise MxdaskError(f"reflections of sweep {index}, but the .expt file has {len(number)}")
        experiment = experiments[int(np.argmax(of_experiment == index))]
        absent = [m for m in ("beam", "detector", "goniometer", "scan") if getattr(experiment, m) is None]
        if absent:
            raise MxdaskError(f"{experiment.name}: no {' and no '.join(absent)}; points cannot be computed")
        rows = np.flatnonzero(sweep == index)
        panel = table["panel"][rows].astype(np.int64)
        points[rows] = map_spots(experiment, panel, centroids_mm(experiment, panel, table["xyzobs.px.value"][rows])).rlp
    return {
        "rlp": np.round(points, n_digits).ravel().tolist(), "imageset_id": sweep.tolist(),
        "experiment_id": table["id"].tolist(),
    }  # fmt: skip
