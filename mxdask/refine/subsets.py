"""Parts of an experiment list and its table, for tasks, and putting them back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mxdask.modelfit.result import FitResult
from mxdask.modelfit.selection import indexed_rows, rows_by_experiment
from mxdask.models import Experiment, ExperimentList
from mxdask.refine.task import INPUT_COLUMNS, OPTIONAL_COLUMNS, OUTPUT_COLUMNS
from mxdask.table import ReflectionTable

Item = tuple[ExperimentList, ReflectionTable]


def subsets(experiments: Sequence[Experiment], table: ReflectionTable, sets: Sequence[Sequence[int]]) -> list[Item]:
    """Each set's experiments and their indexed reflections (the columns a fit needs), ids by position in the set."""
    of_row = _places(experiments, table)
    # Predictions that are there already let a fit start from crystals that vary along the scan.
    names = [n for n in (*INPUT_COLUMNS, *OPTIONAL_COLUMNS, *OUTPUT_COLUMNS) if n in table and n != "id"]
    items = []
    for rows in sets:
        chosen = np.concatenate([of_row[row] for row in rows])
        columns = {name: table[name][chosen] for name in names}
        columns["id"] = np.repeat(np.arange(len(rows)), [len(of_row[row]) for row in rows])
        items.append((ExperimentList([experiments[row] for row in rows]), ReflectionTable(columns)))
    return items


def put_back(
    experiments: list[Experiment], table: ReflectionTable, results: Sequence[tuple[Sequence[int], FitResult]]
) -> ReflectionTable:
    """Write refined models of sets into ``experiments`` (in place), their predictions into a copy of the table."""
    of_row = _places(experiments, table)
    out = table.copy()
    for name in OUTPUT_COLUMNS:
        width = () if name == "flags" else (3,)
        out[name] = out[name].copy() if name in out else np.zeros((len(out), *width))
    for rows, result in results:
        for row, refined in zip(rows, result.experiments, strict=True):
            # Scan and images stay the very objects they were, whatever process the result comes from.
            experiments[row] = experiments[row].evolve(
                beam=refined.beam, detector=refined.detector, goniometer=refined.goniometer, crystal=refined.crystal
            )
        chosen = np.concatenate([of_row[row] for row in rows])
        for name in OUTPUT_COLUMNS:
            out[name][chosen] = result.reflections[name]
    return out


def _places(experiments: Sequence[Experiment], table: ReflectionTable) -> list[np.ndarray]:
    """Table rows of each experiment's indexed reflections."""
    return rows_by_experiment(table, indexed_rows(table), len(experiments))
