"""One file per experiment, per chunk of experiments, per detector or per wavelength."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import Field, model_validator

from mxdask.errors import ParameterError
from mxdask.lists.selecting import number_of, select_experiments
from mxdask.models import ExperimentList
from mxdask.params import StepParams
from mxdask.table import ReflectionTable

WAVELENGTH_TOLERANCE = 1e-4  # Å


class Output(StepParams):
    experiments_prefix: str = Field("split", description="Start of the names of .expt files")
    reflections_prefix: str = Field("split", description="Start of the names of .refl files")


class Params(StepParams):
    """Parameters of split_experiments."""

    by_detector: bool = Field(False, description="One file per detector model")
    by_wavelength: bool = Field(False, description="One file per wavelength")
    chunk_size: int | None = Field(None, ge=1, description="Experiments per file; Auto: 1")
    chunk_sizes: tuple[int, ...] = Field((), description="Experiments in the first, second … file; all together")
    output: Output = Output()

    @model_validator(mode="after")
    def _one_way(self) -> Params:
        ways = [self.by_detector, self.by_wavelength, self.chunk_size is not None, bool(self.chunk_sizes)]
        if sum(ways) > 1:
            raise ValueError("choose one of by_detector, by_wavelength, chunk_size and chunk_sizes")
        if any(n < 1 for n in self.chunk_sizes):
            raise ValueError("chunk_sizes are at least 1")
        return self


@dataclass(frozen=True, eq=False)
class Part:
    """One piece. ``label`` goes between the prefix and the suffix of its files."""

    label: str
    experiments: ExperimentList
    reflections: ReflectionTable | None


def split(experiments: ExperimentList, reflections: ReflectionTable | None, params: Params) -> Iterator[Part]:
    """Pieces in the order of their first experiment; every experiment is in exactly one.

    Unindexed spots stay with the first piece that holds their sweep.

    Raises
    ------
    ParameterError : the chunks do not add up to the list.
    """
    groups = _groups(experiments, params)
    claimed: set[int] = set()
    for i, (label, rows) in enumerate(groups):
        part, table = select_experiments(experiments, reflections, rows)
        if table is not None:
            sweeps = {id(e.imageset) for e in part}
            table = _without_claimed(table, part, claimed)
            claimed |= sweeps
        yield Part(label or number_of(i, len(groups)), part, table)


def _without_claimed(table: ReflectionTable, part: ExperimentList, claimed: set[int]) -> ReflectionTable:
    """Leave out unindexed spots of sweeps that an earlier piece holds."""
    if "imageset_id" not in table or not claimed:
        return table
    taken = [i for i, s in enumerate(part.unique("imageset")) if id(s) in claimed]
    drop = (table["id"] < 0) & [s in taken for s in table["imageset_id"].tolist()] if taken else None
    return table if drop is None else table.select(~drop)


def _groups(experiments: ExperimentList, params: Params) -> list[tuple[str, list[int]]]:
    n = len(experiments)
    if params.by_detector:
        return [("", rows) for rows in experiments.groups(lambda e: id(e.detector)).values()]
    if params.by_wavelength:
        return _by_wavelength(experiments)
    sizes = params.chunk_sizes
    if not sizes:
        size = params.chunk_size or 1
        sizes = tuple(min(size, n - a) for a in range(0, n, size))
    if sum(sizes) != n:
        raise ParameterError(f"chunk_sizes={','.join(map(str, sizes))}: they add up to {sum(sizes)}, not to {n}")
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return [("", list(range(end - size, end))) for end, size in zip(ends, sizes, strict=True)]


def _by_wavelength(experiments: ExperimentList) -> list[tuple[str, list[int]]]:
    """Ascending wavelengths; experiments within the tolerance of the lowest of a group belong to it."""
    wavelengths = [0.0 if e.beam is None else e.beam.wavelength for e in experiments]
    groups: list[tuple[float, list[int]]] = []
    for row in sorted(range(len(experiments)), key=lambda r: (wavelengths[r], r)):
        if groups and wavelengths[row] - groups[-1][0] <= WAVELENGTH_TOLERANCE:
            groups[-1][1].append(row)
        else:
            groups.append((wavelengths[row], [row]))
    return [("", sorted(rows)) for _, rows in groups]
