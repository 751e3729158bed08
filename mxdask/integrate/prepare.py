"""What is known of a crystal's reflections before a pixel is read: predictions, boxes, flags, factors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.geometry.kabsch import partiality, zeta
from mxdask.geometry.predict_all import PredictedReflections, predict_all
from mxdask.integrate.boxes import bounding_boxes
from mxdask.integrate.corrections import lp_factors, on_ice_ring, quantum_efficiency
from mxdask.integrate.overlaps import Around, Extent, Neighbours, find_around, find_neighbours
from mxdask.integrate.params import Params
from mxdask.integrate.profile_model import ProfileModel
from mxdask.integrate.reference import match_reference, select_reference
from mxdask.models import Experiment
from mxdask.table import Flag, ReflectionTable

# A neighbour of which less than this part is recorded takes no pixels away.
SMALLEST_NEIGHBOUR = 1e-3
# What a prediction takes over from the spot that was found for it.
_INHERITED = np.uint64(Flag.INDEXED | Flag.USED_IN_REFINEMENT | Flag.STRONG)


@dataclass(frozen=True)
class Prepared:
    """One crystal ready for its images.

    Attributes
    ----------
    experiment, model : the crystal and its widths.
    table : one row per prediction, ordered by frame coordinate, h, k, l: all columns that need no pixels.
    neighbours : reflections whose foregrounds touch. around : spots that reach into the boxes.
    """

    experiment: Experiment
    model: ProfileModel
    table: ReflectionTable
    neighbours: Neighbours
    around: Around

    def rows(self, rows: np.ndarray) -> Prepared:
        return Prepared(
            self.experiment, self.model, self.table.select(rows), self.neighbours.select(rows), self.around.select(rows)
        )


def predict_for(experiment: Experiment, params: Params, only: np.ndarray | None = None) -> PredictedReflections:
    """The predictions of a crystal within the resolution asked for; ``only`` some indices (m, 3).

    Raises
    ------
    MxdaskError : nothing is predicted.
    """
    wanted = params.prediction
    predictions = predict_all(
        experiment, d_min=wanted.d_min, padding=wanted.padding, force_static=wanted.force_static, only=only
    )
    if not len(predictions):
        raise MxdaskError(
            f"{experiment.name}: no reflection is predicted on the detector; check d_min and the crystal model"
        )
    return predictions


def prepare(
    experiment: Experiment,
    spots: ReflectionTable,
    model: ProfileModel,
    params: Params,
    others: Sequence[tuple[Experiment, ProfileModel]] = (),
) -> Prepared:
    """Predict, and fill every column that does not need pixels (back.md 5, steps 3-6).

    ``others`` : the further lattices of the sweep, whose reflections may share pixels with this one's.
    """
    p = predict_for(experiment, params)  # checks that all models are there
    assert experiment.beam is not None and experiment.detector is not None and experiment.goniometer is not None
    assert experiment.crystal is not None and experiment.scan is not None
    columns = _geometry(experiment, p, model)
    d = 1.0 / np.linalg.norm(p.miller_index @ experiment.crystal.A.T, axis=1)
    flags = np.full(len(p), Flag.PREDICTED, dtype=np.uint64)
    reference = match_reference(select_reference(spots), p)
    flags[reference.predicted] |= (reference.spots["flags"] & _INHERITED) | np.uint64(Flag.REFERENCE_SPOT)
    filters = params.profile.gaussian_rs.filter
    flags[np.abs(columns["zeta"]) < filters.min_zeta] |= np.uint64(Flag.DONT_INTEGRATE)
    if filters.ice_rings:
        flags[on_ice_ring(d)] |= np.uint64(Flag.IN_POWDER_RING)
    table = ReflectionTable(
        {
            "miller_index": p.miller_index, "entering": p.entering, "panel": p.panel, "s1": p.s1,
            "xyzcal.px": p.xyz_px, "xyzcal.mm": p.xyz_mm, "d": d, "flags": flags, "partial_id": np.arange(len(p)),
            "lp": lp_factors(experiment.beam, experiment.goniometer, p.s1),
            "qe": quantum_efficiency(experiment.detector, p.panel, p.s1), **columns,
        }
    )  # fmt: skip
    own = _extent(p, columns, model, experiment.scan.array_range[0])
    extents = [_extent_of(e, m, params) for e, m in others]
    neighbours = find_neighbours(own, experiment.beam.s0, extents)
    around = find_around(own, columns["bbox"], extents, wanted=params.background.exclude_neighbours)
    prepared = Prepared(experiment, model, table, neighbours, around)
    wanted = params.prediction.d_max
    return prepared if wanted is None else prepared.rows(np.flatnonzero(d <= wanted))


def _geometry(experiment: Experiment, p: PredictedReflections, model: ProfileModel) -> dict[str, np.ndarray]:
    """Columns zeta, bbox and partiality."""
    beam, goniometer, scan = experiment.beam, experiment.goniometer, experiment.scan
    assert beam is not None and goniometer is not None and scan is not None
    z = zeta(goniometer.lab_axis, beam.s0, p.s1)
    phi = p.xyz_mm[:, 2]
    box = bounding_boxes(experiment, p.panel, p.s1, phi, z, model)
    _, sigma_m = model.widths_at(p.xyz_px[:, 2], scan.array_range[0])
    part = partiality(z, sigma_m, phi, scan.angle(box[:, 4]), scan.angle(box[:, 5]))
    return {"zeta": z, "bbox": box, "partiality": part}


def _extent(p: PredictedReflections, columns: dict[str, np.ndarray], model: ProfileModel, first: int) -> Extent:
    """Where foregrounds lie; a reflection of which nothing is recorded is on no image."""
    recorded = columns["partiality"] > SMALLEST_NEIGHBOUR
    images = np.where(recorded[:, None], columns["bbox"][:, 4:], 0)
    sigma_b, sigma_m = model.widths_at(p.xyz_px[:, 2], first)
    return Extent(
        p.s1, p.panel, p.xyz_px[:, :2], images, p.xyz_mm[:, 2], columns["zeta"], model.n_sigma * sigma_b, sigma_m
    )


def _extent_of(experiment: Experiment, model: ProfileModel, params: Params) -> Extent:
    p = predict_for(experiment, params)
    assert experiment.scan is not None
    return _extent(p, _geometry(experiment, p, model), model, experiment.scan.array_range[0])
