"""Which reflections a fit uses, and their residuals' weights (front.md 12.2)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from mxdask.geometry.mapping import wave_vectors
from mxdask.modelfit.options import FitOptions
from mxdask.models import Experiment, ExperimentList
from mxdask.table import Flag, ReflectionTable

MIN_LEFT_AT_ENDS = 40  # fewer, and the ends of the scan are used too


@dataclass(frozen=True)
class Observations:
    """Reflections of one experiment as the kernel wants them.

    Attributes
    ----------
    rows : (n,) rows of the table they came from.
    hkl : (n, 3) f8. entering : (n,). panel : (n,) i8.
    observed : (n, 3) mm, mm, rad; weight : (n, 3) inverse variances.
    """

    rows: np.ndarray
    hkl: np.ndarray
    entering: np.ndarray
    panel: np.ndarray
    observed: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def keep(self, mask: np.ndarray) -> Observations:
        """The reflections of a mask or of row numbers."""
        return replace(self, **{name: getattr(self, name)[mask] for name in self.__dataclass_fields__})


def indexed_rows(reflections: ReflectionTable) -> np.ndarray:
    """(n,) mask: claimed by a lattice and with indices."""
    return (reflections["id"] >= 0) & np.any(reflections["miller_index"] != 0, axis=1)


def rows_by_experiment(reflections: ReflectionTable, mask: np.ndarray, n: int) -> list[np.ndarray]:
    """Row numbers (ascending) of the masked reflections of each of n experiments."""
    rows = np.flatnonzero(mask)
    ids = reflections["id"][rows]
    order = np.argsort(ids, kind="stable")
    ends = np.searchsorted(ids[order], np.arange(n + 1))
    return [rows[order[a:b]] for a, b in itertools.pairwise(ends)]


def observations(
    experiments: ExperimentList, reflections: ReflectionTable, options: FitOptions
) -> tuple[list[Observations], np.ndarray]:
    """Usable reflections per experiment, sampled, and the (n,) mask of indexed rows that may not be used."""
    indexed = indexed_rows(reflections)
    usable = indexed & ~reflections.has_flags(Flag.OVERLOADED | Flag.NOT_SUITABLE_FOR_REFINEMENT, any=True)
    # A position without variance has no weight: spots without counts, or tables of other programs.
    usable &= np.all(reflections["xyzobs.mm.variance"] > 0, axis=1)
    parts = []
    excluded = indexed & ~usable
    places = rows_by_experiment(reflections, usable, len(experiments))
    for experiment, rows in zip(experiments, places, strict=True):
        good = _usable(experiment, reflections, rows, options)
        excluded[rows[~good]] = True
        rows = _sample(rows[good], experiment, options)
        parts.append(gather(reflections, rows))
    return parts, excluded


def _usable(experiment: Experiment, reflections: ReflectionTable, rows: np.ndarray, options: FitOptions) -> np.ndarray:
    """Not close to the spindle, inside the scan and its margins, seen whole (if enough are)."""
    beam, goniometer, scan = experiment.beam, experiment.goniometer, experiment.scan
    assert beam is not None and goniometer is not None and scan is not None
    s1, phi = _ray(experiment, reflections, rows), reflections["xyzobs.mm.value"][rows, 2]
    across = np.abs(np.cross(s1, beam.s0) @ goniometer.lab_axis) > options.close_to_spindle
    z = scan.frame(phi)
    first, last = scan.array_range
    good = across & (z >= first - 1e-9) & (z <= last + 1e-9)
    margin = options.scan_margin / abs(scan.width) + 0.5 if options.scan_margin > 0 else 0.0
    inner = good & (z >= first + margin) & (z <= last - margin)
    if options.exclude_truncated:
        inner &= ~_cut_by_scan(experiment, reflections, rows)
    return inner if np.count_nonzero(inner) >= MIN_LEFT_AT_ENDS else good


def _ray(experiment: Experiment, reflections: ReflectionTable, rows: np.ndarray) -> np.ndarray:
    """(n, 3) observed wave vectors."""
    assert experiment.beam is not None and experiment.detector is not None
    panel = reflections["panel"][rows].astype(np.int64)
    return wave_vectors(experiment.beam, experiment.detector, panel, reflections["xyzobs.mm.value"][rows, :2])


def _sample(rows: np.ndarray, experiment: Experiment, options: FitOptions) -> np.ndarray:
    """At most reflections_per_degree × width (but not below the minimum), drawn with a seed of its own."""
    limit = len(rows)
    if options.reflections_per_degree is not None and experiment.scan is not None:
        width = abs(experiment.scan.width) * experiment.scan.n_images
        limit = min(limit, max(options.minimum_sample, int(options.reflections_per_degree * width)))
    if options.maximum_sample is not None:
        limit = min(limit, options.maximum_sample)
    if limit >= len(rows):
        return rows
    return np.sort(np.random.default_rng(options.seed).choice(rows, limit, replace=False))


def gather(reflections: ReflectionTable, rows: np.ndarray) -> Observations:
    """Rows of a table as the kernel wants them."""
    return Observations(
        rows,
        reflections["miller_index"][rows].astype(np.float64),
        reflections["entering"][rows].astype(np.bool_),
        reflections["panel"][rows].astype(np.int64),
        np.ascontiguousarray(reflections["xyzobs.mm.value"][rows]),
        1.0 / reflections["xyzobs.mm.variance"][rows],
    )


def _cut_by_scan(experiment: Experiment, reflections: ReflectionTable, rows: np.ndarray) -> np.ndarray:
    """(n,) spots that touch the scan's first or last image and may go on outside."""
    if "bbox" not in reflections or experiment.scan is None:
        return np.zeros(len(rows), dtype=bool)
    z0, z1 = reflections["bbox"][rows, 4:].T
    first, last = experiment.scan.array_range
    return (z0 <= first) | (z1 >= last)
