"""Scaled or integrated observations as an unmerged MTZ file (back.md 15.2)."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import gemmi
import numpy as np

from mxdask import __version__
from mxdask.errors import MxdaskError
from mxdask.intensity.asu import pack, unpack
from mxdask.intensity.cells import common_space_group, median_cell
from mxdask.intensity.observations import (
    Choice,
    Filters,
    Observations,
    best_choice,
    efficiency,
    select_observations,
)
from mxdask.merge.params import ExportParams
from mxdask.merge.result import Column, Dataset, MergedResult
from mxdask.merge.step import wavelength_groups
from mxdask.models import Crystal, Experiment, ExperimentList
from mxdask.models.crystal import b_matrix, cell_parameters
from mxdask.table import ReflectionTable, match_to_experiments

_log = logging.getLogger(__name__)

_WAVELENGTH_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Batch:
    """Header of one image; see :class:`mxdask.io.mtz.MtzBatch`."""

    number: int
    dataset: int
    cell: tuple[float, ...]
    orientation: np.ndarray
    phi: tuple[float, float]
    axis: tuple[float, ...]
    source: tuple[float, ...]
    mosaicity: float
    wavelength: float
    detector: tuple[float, float, float]


@dataclass(frozen=True)
class UnmergedResult:
    """Columns of the file and its batch headers."""

    content: MergedResult
    batches: tuple[Batch, ...]


def unmerged(experiments: ExperimentList, reflections: ReflectionTable | None, params: ExportParams) -> UnmergedResult:
    """Observations for an unmerged MTZ: indices in CCP4's asymmetric unit, M/ISYM, BATCH, intensities, geometry.

    Raises
    ------
    MxdaskError : nothing to export, or no common space group.
    """
    if reflections is None or len(reflections) == 0:
        raise MxdaskError("there are no reflections to export; give a scaled or integrated .refl file")
    table = match_to_experiments(reflections, experiments.identifiers)
    space_group, cell = common_space_group(experiments), median_cell(experiments)
    choice = best_choice(table)
    filters = Filters(
        params.d_min, None, params.partiality_threshold, params.min_isigi, params.combine_partials,
        params.exclude_ice_rings,
    )  # fmt: skip
    observations = select_observations(table, choice, filters)
    if len(observations) == 0:
        raise MxdaskError("no reflection is fit for export (flags, partiality, resolution)")
    waves = wavelength_groups([e.beam.wavelength if e.beam else 0.0 for e in experiments], _WAVELENGTH_TOLERANCE)
    dataset_of = {member: i for i, (_, members) in enumerate(waves) for member in members}
    offsets = batch_offsets(experiments.experiments)
    hkl, isym = asu_with_isym(observations.hkl, space_group)
    batch = np.floor(observations.xyz[:, 2]).astype(np.int64) + 1 + np.array(offsets)[observations.experiment]
    columns = _columns(
        table, observations, choice, experiments, isym, _inside(batch, observations, experiments, offsets)
    )
    order = np.lexsort((columns[1].values, pack(hkl)))
    columns = [Column(c.label, c.type, c.values[order]) for c in columns]
    datasets = tuple(
        Dataset(
            params.project_name, params.crystal_name, params.dataset_name + ("" if len(waves) == 1 else str(i + 1)), w
        )
        for i, (w, _) in enumerate(waves)
    )
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    _log.info("Exporting %d of %d reflections (%s intensities)", len(observations), len(table), choice)
    content = MergedResult(
        hkl[order], tuple(columns), datasets, cell, space_group, f"From mxdask {__version__}",
        (f"From mxdask {__version__}, export, {stamp}", *experiments.history[-8:]),
        {"step": "export", "intensity": choice, "n_observations": len(observations), "batch_offsets": offsets},
    )  # fmt: skip
    batches = [b for i, e in enumerate(experiments) for b in experiment_batches(e, offsets[i], dataset_of[i] + 1)]
    return UnmergedResult(content, tuple(batches))


def batch_offsets(experiments: Sequence[Experiment]) -> list[int]:
    """What is added to an experiment's image numbers so that no batch number is used twice.

    Image numbers stay where they do not overlap with earlier experiments'; otherwise the next hundred follows.
    """
    taken: list[tuple[int, int]] = []
    offsets = []
    for experiment in experiments:
        first, last = experiment.scan.image_range if experiment.scan else (1, 1)
        offset = 0
        if first < 1 or any(first <= b and last >= a for a, b in taken):
            highest = max((b for _, b in taken), default=0)
            start = (highest // 100 + 1) * 100 if highest else 0
            offset = start + 1 - first
        taken.append((first + offset, last + offset))
        offsets.append(offset)
    return offsets


def asu_with_isym(hkl: np.ndarray, space_group: gemmi.SpaceGroup) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) indices in CCP4's asymmetric unit and (n,) ISYM: odd for h·R, even for its Friedel mate."""
    distinct, inverse = np.unique(pack(hkl), return_inverse=True)
    asu, operations = gemmi.ReciprocalAsu(space_group), space_group.operations()
    mapped = [asu.to_asu(h, operations) for h in unpack(distinct).tolist()]
    indices = np.array([m[0] for m in mapped], dtype=np.int32).reshape(-1, 3)
    return indices[inverse], np.array([m[1] for m in mapped], dtype=np.int64)[inverse]


def experiment_batches(experiment: Experiment, offset: int, dataset: int) -> list[Batch]:
    """One header per image: cell and orientation of the crystal, angles, geometry, in the Cambridge frame."""
    beam, crystal, scan, goniometer = experiment.beam, experiment.crystal, experiment.scan, experiment.goniometer
    assert beam is not None and crystal is not None
    axis_lab = goniometer.lab_axis if goniometer is not None else np.array([1.0, 0.0, 0.0])
    frame = cambridge_frame(axis_lab, -beam.direction)
    datum = goniometer.rotation(0.0) if goniometer is not None else np.eye(3)
    limits = (0.0, 0.0, 0.0)
    if experiment.detector is not None:
        panel = experiment.detector[0]
        distance = abs(float(np.dot(panel.origin, np.cross(panel.fast_axis, panel.slow_axis))))
        limits = (distance, float(panel.image_size[0]), float(panel.image_size[1]))
    mosaicity = float((experiment.profile or {}).get("sigma_m") or 0.0) if isinstance(experiment.profile, dict) else 0.0
    first, last = scan.image_range if scan is not None else (1, 1)
    out = []
    for image in range(first, last + 1):
        A = _setting(crystal, image - first)
        cell = cell_parameters(np.linalg.inv(A))
        U = A @ np.linalg.inv(b_matrix(cell))
        z = image - 1
        phi = (0.0, 0.0) if scan is None else tuple(float(v) for v in np.rad2deg(scan.angle(np.array([z, z + 1]))))
        out.append(
            Batch(
                image + offset, dataset, tuple(float(v) for v in cell), frame @ datum @ U, (phi[0], phi[1]),
                tuple(frame @ (axis_lab / np.linalg.norm(axis_lab))), tuple(frame @ beam.direction), mosaicity,
                beam.wavelength, limits,
            )
        )  # fmt: skip
    return out


def cambridge_frame(axis: np.ndarray, beam: np.ndarray) -> np.ndarray:
    """(3, 3) rotation from the laboratory: z along the rotation axis, x along the beam as far as that allows."""
    z = axis / np.linalg.norm(axis)
    x = beam - (beam @ z) * z
    x = x / np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])


def _setting(crystal: Crystal, image: int) -> np.ndarray:
    points = crystal.A_at_scan_points
    return crystal.A if points is None else points[min(image, len(points) - 1)]


def _inside(
    batch: np.ndarray, observations: Observations, experiments: ExperimentList, offsets: Sequence[int]
) -> np.ndarray:
    """Batch numbers kept to the images that exist: a centroid may lie just outside the sweep."""
    ranges = [e.scan.image_range if e.scan else (1, 1) for e in experiments]
    low = np.array([a + o for (a, _), o in zip(ranges, offsets, strict=True)])[observations.experiment]
    high = np.array([b + o for (_, b), o in zip(ranges, offsets, strict=True)])[observations.experiment]
    return np.clip(batch, low, high)


def _columns(
    table: ReflectionTable,
    observations: Observations,
    choice: Choice,
    experiments: ExperimentList,
    isym: np.ndarray,
    batch: np.ndarray,
) -> list[Column]:
    row = observations.row
    sigma = np.sqrt(observations.variance)
    out = [Column("M/ISYM", "Y", isym.astype(np.float64)), Column("BATCH", "B", batch.astype(np.float64))]
    if choice == "prf+sum":
        assert observations.sum_intensity is not None and observations.sum_variance is not None
        out += [
            Column("I", "J", observations.sum_intensity), Column("SIGI", "Q", np.sqrt(observations.sum_variance)),
            Column("IPR", "J", observations.intensity), Column("SIGIPR", "Q", sigma),
        ]  # fmt: skip
    else:
        out += [Column("I", "J", observations.intensity), Column("SIGI", "Q", sigma)]
    if choice == "scale":
        g, variance = table["inverse_scale_factor"][row], table["inverse_scale_factor_variance"][row]
        out += [Column("SCALEUSED", "R", g), Column("SIGSCALEUSED", "R", np.sqrt(variance))]
    if "background.sum.value" in table:
        variance = np.maximum(table["background.sum.variance"][row], 0.0)
        out += [
            Column("BG", "R", table["background.sum.value"][row]),
            Column("SIGBG", "R", np.sqrt(variance)),
        ]
    out += [
        Column("FRACTIONCALC", "R", observations.partiality),
        Column("XDET", "R", observations.xyz[:, 0]), Column("YDET", "R", observations.xyz[:, 1]),
        Column("ROT", "R", _rotation(table, observations, experiments)),
    ]  # fmt: skip
    if "lp" in table:
        out += [Column("LP", "R", table["lp"][row]), Column("QE", "R", efficiency(table)[row])]
    return out


def _rotation(table: ReflectionTable, observations: Observations, experiments: ExperimentList) -> np.ndarray:
    """(n,) degrees, predicted where the table knows it."""
    if "xyzcal.mm" in table:
        return np.rad2deg(table["xyzcal.mm"][observations.row, 2])
    out = np.zeros(len(observations))
    for i, experiment in enumerate(experiments):
        mine = observations.experiment == i
        if experiment.scan is not None:
            out[mine] = np.rad2deg(experiment.scan.angle(observations.xyz[mine, 2]))
    return out
