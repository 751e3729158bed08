"""Many lists made one (front.md 13.5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from mxdask.clustering.unit_cells import CellLinkage, cluster_cells_of
from mxdask.errors import MxdaskError, ParameterError
from mxdask.lists.selecting import select_experiments
from mxdask.lists.similar import Tolerance, first_difference, share_similar
from mxdask.models import Detector, ExperimentList
from mxdask.params import StepParams
from mxdask.table import Flag, ReflectionTable

KINDS = ("beam", "scan", "crystal", "goniometer", "detector")


class Reference(StepParams):
    beam: int | None = Field(None, ge=0, description="Experiment whose beam all get")
    scan: int | None = Field(None, ge=0, description="Experiment whose scan all get")
    crystal: int | None = Field(None, ge=0, description="Experiment whose crystal all get")
    goniometer: int | None = Field(None, ge=0, description="Experiment whose goniometer all get")
    detector: int | None = Field(None, ge=0, description="Experiment whose detector all get")
    average_detector: bool = Field(False, description="All get the mean of all detectors")
    compare_models: bool = Field(True, description="Refuse to replace models that differ by more than the tolerances")
    tolerance: Tolerance = Tolerance()


class Clustering(StepParams):
    use: bool = Field(False, description="Keep the largest clusters of unit cells, a pair of files each")
    threshold: float = Field(
        1000.0, gt=0, description="Distance at which the tree is cut", json_schema_extra={"unit": "Å²"}
    )
    max_clusters: int | None = Field(None, ge=1, description="Most clusters to write")
    exclude_single_crystal_clusters: bool = Field(True, description="Leave out crystals that are like no other")


class Output(StepParams):
    experiments_filename: str = Field("combined.expt", description="File of the experiments")
    reflections_filename: str = Field("combined.refl", description="File of the reflections")
    n_subset: int | None = Field(None, ge=1, description="Keep only so many experiments")
    n_subset_method: Literal["random", "n_refl", "significance_filter"] = Field(
        "random", description="Which: random ones; those with most reflections; those with most above isigi_cutoff"
    )
    isigi_cutoff: float = Field(1.0, description="I/σ(I) of significant reflections")
    random_seed: int = Field(42, description="Seed of the random subset")
    max_batch_size: int | None = Field(None, ge=1, description="Write nearly equal batches of at most so many")
    min_reflections_per_experiment: int | None = Field(None, ge=0, description="Leave out experiments with fewer")
    max_reflections_per_experiment: int | None = Field(None, ge=1, description="Leave out experiments with more")
    delete_shoeboxes: bool = Field(False, description="Do not write pixels of spots")
    sort_by_imageset_path: bool = Field(False, description="In the order of the image files' names")


class Params(StepParams):
    """Parameters of combine_experiments."""

    reference_from_experiment: Reference = Reference()
    clustering: Clustering = Clustering()
    output: Output = Output()


def combine(
    experiments: ExperimentList, reflections: ReflectionTable, params: Params
) -> list[tuple[str, ExperimentList, ReflectionTable]]:
    """Experiments of several files, already renumbered to one list, with models shared, chosen and cut as asked for.

    Returns
    -------
    What to write: (addition to the file name, experiments, reflections); one entry with "" unless clusters or batches
    are asked for.

    Raises
    ------
    ParameterError : a reference that is not in the list.
    MxdaskError : models that differ by more than the tolerances, or nothing is left.
    """
    experiments = with_reference_models(experiments, params.reference_from_experiment)
    table = reflections
    if params.output.delete_shoeboxes:
        table = table.copy()
        table.shoeboxes = None
    rows = chosen_rows(experiments, table, params.output)
    if not rows:
        raise MxdaskError("no experiment is left; relax min_ and max_reflections_per_experiment")
    if rows != list(range(len(experiments))):
        experiments, table = _select(experiments, table, rows)
    if params.clustering.use:
        groups = _clusters(experiments, params.clustering)
        return [(f"_cluster{i}", *_select(experiments, table, g)) for i, g in enumerate(groups, start=1)]
    size = params.output.max_batch_size
    if size is not None and len(experiments) > size:
        batches = np.array_split(np.arange(len(experiments)), -(-len(experiments) // size))
        return [(f"_{i}", *_select(experiments, table, batch.tolist())) for i, batch in enumerate(batches)]
    return [("", experiments, table)]


def _select(
    experiments: ExperimentList, table: ReflectionTable, rows: list[int]
) -> tuple[ExperimentList, ReflectionTable]:
    part, kept = select_experiments(experiments, table, rows)
    assert kept is not None
    return part, kept


def with_reference_models(experiments: ExperimentList, reference: Reference) -> ExperimentList:
    """Models that all experiments get from one of them; then those equal within the tolerances become one."""
    changes: dict[str, Any] = {}
    for kind in KINDS:
        row = getattr(reference, kind)
        if row is None:
            continue
        if row >= len(experiments):
            raise ParameterError(
                f"reference_from_experiment.{kind}={row}: there are experiments 0..{len(experiments) - 1}"
            )
        changes[kind] = getattr(experiments[row], kind)
        if reference.compare_models:
            _check(experiments, changes[kind], kind, row, reference.tolerance)
    if reference.average_detector:
        changes["detector"] = mean_detector([e.detector for e in experiments])
    replaced = experiments.with_experiments([e.evolve(**changes) for e in experiments])
    return share_similar(replaced, reference.tolerance) if reference.compare_models else replaced


def _check(experiments: ExperimentList, model: Any, kind: str, row: int, tolerance: Tolerance) -> None:
    other = first_difference(model, experiments, kind, tolerance)
    if other is not None:
        raise MxdaskError(
            f"the {kind} of {other.name} differs from that of experiment {row} by more than the tolerances; "
            "use compare_models=False to replace it all the same"
        )


def mean_detector(detectors: list[Detector | None]) -> Detector:
    """Detector with the mean frames of all panels (axes orthonormal again)."""
    present = [d for d in detectors if d is not None]
    if not present or len({len(d) for d in present}) != 1:
        raise MxdaskError("average_detector needs detectors with the same panels in all experiments")
    panels = []
    for i, panel in enumerate(present[0].panels):
        fast, slow, origin = (
            np.mean([getattr(d[i], name) for d in present], axis=0) for name in ("fast_axis", "slow_axis", "origin")
        )
        fast = fast / np.linalg.norm(fast)
        slow = slow - fast * (fast @ slow)
        panels.append(replace(panel, fast_axis=fast, slow_axis=slow / np.linalg.norm(slow), origin=origin))
    return present[0].with_panels(tuple(panels))


def chosen_rows(experiments: ExperimentList, table: ReflectionTable, output: Output) -> list[int]:
    """Rows that pass the limits and belong to the subset, in the order they are to be written."""
    counts = np.bincount(table["id"][table["id"] >= 0], minlength=len(experiments))
    rows = [
        row
        for row in range(len(experiments))
        if counts[row] >= (output.min_reflections_per_experiment or 0)
        and counts[row] <= (output.max_reflections_per_experiment or np.inf)
    ]
    if output.n_subset is not None and output.n_subset < len(rows):
        rows = sorted(_subset(rows, counts, table, output))
    if output.sort_by_imageset_path:
        rows.sort(key=lambda r: _path(experiments, r))
    return rows


def _path(experiments: ExperimentList, row: int) -> str:
    images = experiments[row].imageset
    return "" if images is None else images.template or "".join(images.paths[:1])


def _subset(rows: list[int], counts: np.ndarray, table: ReflectionTable, output: Output) -> list[int]:
    n = output.n_subset
    assert n is not None
    if output.n_subset_method == "random":
        return [rows[i] for i in np.random.default_rng(output.random_seed).choice(len(rows), n, replace=False)]
    if output.n_subset_method == "n_refl":
        return sorted(rows, key=lambda r: (-counts[r], r))[:n]
    variance = table["intensity.sum.variance"]
    with np.errstate(invalid="ignore", divide="ignore"):
        strong = (variance > 0) & (table["intensity.sum.value"] / np.sqrt(variance) > output.isigi_cutoff)
    strong &= (table["id"] >= 0) & table.has_flags(Flag.INDEXED)
    significant = np.bincount(table["id"][strong], minlength=len(counts))
    return sorted(rows, key=lambda r: (-significant[r], r))[:n]


def _clusters(experiments: ExperimentList, clustering: Clustering) -> list[list[int]]:
    found = cluster_cells_of(experiments, CellLinkage(threshold=clustering.threshold))
    groups = [
        [row for row in cluster.members]
        for cluster in found.clusters
        if len(cluster.members) > 1 or not clustering.exclude_single_crystal_clusters
    ]
    if not groups:
        raise MxdaskError("no two unit cells are alike; raise clustering.threshold")
    return groups[: clustering.max_clusters]
