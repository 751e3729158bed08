"""Join several experiment and reflection files into one list and one table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mxdask.errors import FileError
from mxdask.io.expt import read_expt
from mxdask.io.refl import read_refl
from mxdask.models import Experiment, ExperimentList, new_identifier
from mxdask.table import ReflectionTable, match_to_experiments


def load(
    expt_files: Sequence[str | Path], refl_files: Sequence[str | Path]
) -> tuple[ExperimentList, ReflectionTable | None]:
    """Experiments of all files in order, and the rows of all tables renumbered to them.

    With as many .refl as .expt files, they are paired in order; otherwise every table is matched to the whole list by
    identifier. Models stay shared within a file.

    Raises
    ------
    FileError : a table belongs to none of the experiments, a file is given twice, or two experiments have one
        identifier.
    """
    once: set[Path] = set()
    for name in refl_files:
        if (path := Path(name).resolve()) in once:
            raise FileError(f"{name}: given twice, its reflections would count double; give each .refl file only once")
        once.add(path)
    lists = [read_expt(f) for f in expt_files]
    tables = [read_refl(f) for f in refl_files]
    joined = ExperimentList(_with_identifiers(lists), [h for part in lists for h in part.history])
    if not tables:
        return joined, None
    parts = []
    if len(tables) == len(lists):
        base, sweeps = 0, 0
        for part, table, name in zip(lists, tables, refl_files, strict=True):
            identifiers = joined.identifiers[base : base + len(part)]
            moved = _renumber(match_to_experiments(_adopt(table, part, identifiers), identifiers), base, sweeps, joined)
            _check(moved, table, name, expt_files)
            parts.append(moved)
            base += len(part)
            sweeps += len(part.unique("imageset"))
    else:
        for table, name in zip(tables, refl_files, strict=True):
            moved = match_to_experiments(table, joined.identifiers)
            _check(moved, table, name, expt_files)
            parts.append(moved)
    return joined, ReflectionTable.concat(parts)


def _with_identifiers(lists: list[ExperimentList]) -> list[Experiment]:
    """Experiments of all lists; those without an identifier (old files) get one."""
    out: list[Experiment] = []
    seen: set[str] = set()
    for part in lists:
        for experiment in part:
            if experiment.identifier and experiment.identifier in seen:
                raise FileError(
                    f"two experiments have the identifier {experiment.identifier}; give each .expt file only once"
                )
            if not experiment.identifier:
                experiment = experiment.evolve(identifier=new_identifier())
            seen.add(experiment.identifier)
            out.append(experiment)
    return out


def _adopt(table: ReflectionTable, part: ExperimentList, identifiers: list[str]) -> ReflectionTable:
    """Give a table of experiments that had no identifiers the ones just drawn."""
    if any(e.identifier for e in part) and table.identifiers:
        return table
    out = table.copy()
    out.identifiers = dict(enumerate(identifiers))
    return out


def _renumber(table: ReflectionTable, base: int, sweeps: int, joined: ExperimentList) -> ReflectionTable:
    out = table.copy()
    if base and "id" in out:
        out["id"] = np.where(out["id"] >= 0, out["id"] + base, out["id"])
    if sweeps and "imageset_id" in out:
        out["imageset_id"] = out["imageset_id"] + sweeps
    out.identifiers = {i + base: s for i, s in out.identifiers.items()}
    return out


def _check(moved: ReflectionTable, table: ReflectionTable, name: str | Path, expt_files: Sequence[str | Path]) -> None:
    if np.any(table["id"] >= 0) and not np.any(moved["id"] >= 0):
        raise FileError(
            f"{name}: none of its reflections belongs to {', '.join(str(f) for f in expt_files)} "
            "(the experiment identifiers differ); give the .expt file written together with it"
        )
