"""Parts of an experiment list and its table, for tasks, and putting them back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mxdask.modelfit.result import FitResult
from mxdask.modelfit.selection import indexed_rows
from mxdask.models import Experiment, ExperimentList
from mxdask.refine.task import INPUT_COLUMNS, OPTIONAL_COLUMNS, OUTPUT_COLUMNS
from mxdask.table import ReflectionTable

Item = tuple[ExperimentList, ReflectionTable]


def subset(experiments: Sequence[Experiment] | ExperimentList, table: ReflectionTable, rows: Sequence[int]) -> Item:
    """Some experiments and their indexed reflections (the columns a fit needs), ids by position in ``rows``."""
    position = np.full(len(experiments) + 1, -1, dtype=np.int32)
    position[list(rows)] = np.arange(len(rows))
    ids = position[table["id"]]  # id -1 finds the last, spare element
    chosen = np.flatnonzero((ids >= 0) & indexed_rows(table))
    columns = {name: table[name][chosen] for name in INPUT_COLUMNS}
    columns["id"] = ids[chosen]
    # Predictions that are there already let a fit start from crystals that vary along the scan.
    columns |= {name: table[name][chosen] for name in OPTIONAL_COLUMNS + OUTPUT_COLUMNS if name in table}
    return ExperimentList([experiments[row] for row in rows]), ReflectionTable(columns)


def put_back(
    experiments: list[Experiment], table: ReflectionTable, rows: Sequence[int], result: FitResult
) -> ReflectionTable:
    """Write a set's refined models into ``experiments`` (in place) and its predictions into a copy of the table."""
    for row, refined in zip(rows, result.experiments, strict=True):
        # Scan and images stay the very objects they were, whatever process the result comes from.
        experiments[row] = experiments[row].evolve(
            beam=refined.beam, detector=refined.detector, goniometer=refined.goniometer, crystal=refined.crystal
        )
    chosen = np.flatnonzero(np.isin(table["id"], rows) & indexed_rows(table))
    out = table.copy()
    for name in OUTPUT_COLUMNS:
        new = result.reflections[name]
        values = out[name].copy() if name in out else np.zeros((len(out), *new.shape[1:]), dtype=new.dtype)
        values[chosen] = new
        out[name] = values
    return out
