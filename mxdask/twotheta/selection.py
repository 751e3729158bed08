"""Which reflections tell the cell, and the scattering angles they were seen at."""

from __future__ import annotations

import numpy as np

from mxdask.geometry.mapping import map_centroids, wave_vectors
from mxdask.models import Experiment
from mxdask.table import Flag, ReflectionTable
from mxdask.twotheta.cell_fit import Angles
from mxdask.twotheta.params import Refinement

CLOSE_TO_SPINDLE = 0.02  # Å⁻², |axis·(s1 × s0)|: as in refinement


def usable(table: ReflectionTable, params: Refinement) -> np.ndarray:
    """(n,) indexed, whole enough, not overloaded; where anything is integrated: integrated and strong."""
    good = (table["id"] >= 0) & np.any(table["miller_index"] != 0, axis=1)
    good &= ~table.has_flags(Flag.OVERLOADED | Flag.NOT_SUITABLE_FOR_REFINEMENT, any=True)
    if params.partiality_threshold is not None and "partiality" in table:
        good &= table["partiality"] > params.partiality_threshold
    integrated = table.has_flags(Flag.INTEGRATED, any=True)
    if params.filter_integrated_centroids and np.any(integrated):
        good &= integrated & table.has_flags(Flag.STRONG)
    return good


def scattering_angles(experiment: Experiment, table: ReflectionTable) -> Angles:
    """Observed 2θ of one experiment's usable reflections, those close to the spindle left out."""
    beam, detector, goniometer = experiment.beam, experiment.detector, experiment.goniometer
    assert beam is not None and detector is not None
    if "xyzobs.mm.value" not in table:
        table = map_centroids(experiment, table)
    s1 = wave_vectors(beam, detector, table["panel"].astype(np.int64), table["xyzobs.mm.value"][:, :2])
    keep = np.ones(len(s1), dtype=bool)
    if goniometer is not None:
        keep = np.abs(np.cross(s1, beam.s0) @ goniometer.lab_axis) > CLOSE_TO_SPINDLE
    direction = beam.s0 / np.linalg.norm(beam.s0)
    unit = s1[keep] / np.linalg.norm(s1[keep], axis=1, keepdims=True)
    # atan2 keeps its precision at small angles, where the cosine loses it.
    two_theta = np.arctan2(np.linalg.norm(np.cross(unit, direction), axis=1), unit @ direction)
    return Angles(table["miller_index"][keep].astype(np.float64), two_theta, float(beam.wavelength))
