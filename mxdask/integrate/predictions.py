"""Predicted reflections as a table of their own: ``mxdask predict`` (back.md 4)."""

from __future__ import annotations

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.geometry.kabsch import partiality, zeta
from mxdask.geometry.predict_all import predict_all
from mxdask.integrate.boxes import bounding_boxes
from mxdask.integrate.predict_params import Params
from mxdask.integrate.profile_model import ProfileModel
from mxdask.models import Experiment, ExperimentList
from mxdask.table import Flag, ReflectionTable


def predict(experiments: ExperimentList, params: Params) -> ReflectionTable:
    """All reflections of all experiments; ``bbox``, ``zeta`` and ``partiality`` where a profile model is known.

    Raises
    ------
    MxdaskError : a model is missing, or the images are stills.
    """
    tables = []
    with_boxes = all(e.profile is not None for e in experiments)
    for index, experiment in enumerate(experiments):
        table = _of_one(experiment, params, with_boxes)
        table["id"] = np.full(len(table), index, dtype=np.int32)
        table.identifiers = {index: experiment.identifier}
        tables.append(table)
    if not tables:
        raise MxdaskError("predict: no experiment given; index first")
    if not any(len(table) for table in tables):
        raise MxdaskError("no reflection is predicted on the detector; check d_min and the crystal models")
    return ReflectionTable.concat(tables)


def _of_one(experiment: Experiment, params: Params, with_boxes: bool) -> ReflectionTable:
    if experiment.scan is None:
        raise MxdaskError(f"{experiment.name}: prediction needs a scan; give an .expt of rotation images")
    padding = params.buffer_size * abs(experiment.scan.width)
    p = predict_all(experiment, d_min=params.d_min, padding=padding, force_static=params.force_static)
    assert experiment.beam is not None and experiment.goniometer is not None and experiment.crystal is not None
    columns = {
        "miller_index": p.miller_index, "entering": p.entering, "panel": p.panel, "s1": p.s1, "xyzcal.px": p.xyz_px,
        "xyzcal.mm": p.xyz_mm, "flags": np.full(len(p), Flag.PREDICTED, dtype=np.uint64),
        "d": 1.0 / np.linalg.norm(p.miller_index @ experiment.crystal.A.T, axis=1),
    }  # fmt: skip
    if with_boxes:
        assert experiment.profile is not None
        try:
            model = ProfileModel.from_dict(experiment.profile)
        except MxdaskError as error:
            raise MxdaskError(f"{experiment.name}: {error}") from error
        z = zeta(experiment.goniometer.lab_axis, experiment.beam.s0, p.s1)
        phi = p.xyz_mm[:, 2]
        _, sigma_m = model.widths_at(p.xyz_px[:, 2], experiment.scan.array_range[0])
        box = bounding_boxes(experiment, p.panel, p.s1, phi, z, model)
        ends = (experiment.scan.angle(box[:, 4]), experiment.scan.angle(box[:, 5]))
        columns |= {"zeta": z, "bbox": box, "partiality": partiality(z, sigma_m, phi, *ends)}
    return ReflectionTable(columns)
