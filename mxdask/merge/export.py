"""Scaled or integrated observations as an unmerged MTZ file (back.md 15.2)."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import gemmi
import numpy as np

from mxdask import __version__
from mxdask.intensity.asu import pack, unpack
from mxdask.intensity.observations import Choice, Observations, efficiency
from mxdask.merge.export_params import ExportParams
from mxdask.merge.exportable import exportable
from mxdask.merge.result import Column, Dataset, MergedResult
from mxdask.merge.step import wavelength_groups
from mxdask.models import Crystal, Experiment, ExperimentList
from mxdask.models.crystal import busing_levy, cell_parameters
from mxdask.table import ReflectionTable

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


def unmerged(
    experiments: ExperimentList, reflections: ReflectionTable | None, params: ExportParams, intensity: str = "auto"
) -> UnmergedResult:
    """Observations for an unmerged MTZ: indices in CCP4's asymmetric unit, M/ISYM, BATCH, intensities, geometry.

    Raises
    ------
    MxdaskError : nothing to export, or no common space group.
    """
    chosen = exportable(experiments, reflections, params.mtz, intensity)
    observations = chosen.observations
    waves = wavelength_groups([e.beam.wavelength if e.beam else 0.0 for e in experiments], _WAVELENGTH_TOLERANCE)
    dataset_of = {member: i for i, (_, members) in enumerate(waves) for member in members}
    offsets = batch_offsets(experiments.experiments)
    hkl, isym = asu_with_isym(observations.hkl, chosen.space_group)
    batch = batch_numbers(observations, experiments, offsets)
    columns = _columns(chosen.table, observations, chosen.choice, experiments, isym, batch)
    order = np.lexsort((batch, isym, pack(hkl)))
    columns = [Column(c.label, c.type, c.values[order]) for c in columns]
    names = params.mtz
    datasets = tuple(
        Dataset(names.project_name, names.crystal_name, names.dataset_name + ("" if len(waves) == 1 else str(i + 1)), w)
        for i, (w, _) in enumerate(waves)
    )
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    content = MergedResult(
        hkl[order], tuple(columns), datasets, chosen.cell, chosen.space_group, f"From mxdask {__version__}",
        (f"From mxdask {__version__}, export, {stamp}", *experiments.history[-8:]),
        {"step": "export", "intensity": chosen.choice, "n_observations": len(observations), "batch_offsets": offsets},
    )  # fmt: skip
    still = params.mtz.force_static_model
    batches = [
        b for i, e in enumerate(experiments)
        for b in experiment_batches(e, offsets[i], dataset_of[i] + 1, force_static_model=still)
    ]  # fmt: skip
    return UnmergedResult(content, tuple(sorted(batches, key=lambda b: b.number)))


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


def batch_numbers(
    observations: Observations, experiments: Sequence[Experiment] | ExperimentList, offsets: Sequence[int]
) -> np.ndarray:
    """(n,) image number plus offset, kept to the images that exist: a centroid may lie just outside the sweep."""
    ranges = [e.scan.image_range if e.scan else (1, 1) for e in experiments]
    low = np.array([a + o for (a, _), o in zip(ranges, offsets, strict=True)])[observations.experiment]
    high = np.array([b + o for (_, b), o in zip(ranges, offsets, strict=True)])[observations.experiment]
    number = np.floor(observations.xyz[:, 2]).astype(np.int64) + 1 + np.array(offsets)[observations.experiment]
    return np.clip(number, low, high)


def asu_with_isym(hkl: np.ndarray, space_group: gemmi.SpaceGroup) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) indices in CCP4's asymmetric unit and (n,) ISYM: odd for h·R, even for its Friedel mate."""
    distinct, inverse = np.unique(pack(hkl), return_inverse=True)
    asu, operations = gemmi.ReciprocalAsu(space_group), space_group.operations()
    mapped = [asu.to_asu(h, operations) for h in unpack(distinct).tolist()]
    indices = np.array([m[0] for m in mapped], dtype=np.int32).reshape(-1, 3)
    return indices[inverse], np.array([m[1] for m in mapped], dtype=np.int64)[inverse]


def experiment_batches(
    experiment: Experiment, offset: int, dataset: int, *, force_static_model: bool = False
) -> list[Batch]:  # fmt: skip
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
        A = crystal.A if force_static_model else _setting(crystal, image - first)
        cell = cell_parameters(np.linalg.inv(A))
        U = A @ np.linalg.inv(busing_levy(cell))
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
    """(3, 3) A in the middle of an image, counted from 0."""
    points = crystal.A_at_scan_points
    if points is None:
        return crystal.A
    at = min(image, len(points) - 2) if len(points) > 1 else 0
    return np.asarray(points[at : at + 2].mean(axis=0))


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
            Column("IPR", "J", observations.intensity), Column("SIGIPR", "Q", sigma),
            Column("I", "J", observations.sum_intensity), Column("SIGI", "Q", np.sqrt(observations.sum_variance)),
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
