"""Join several experiment and reflection files into one list and one table."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mxdask.errors import FileError
from mxdask.io.expt import read_expt
from mxdask.io.refl import read_refl
from mxdask.models import Experiment, ExperimentList, derived_identifier, new_identifier
from mxdask.table import ReflectionTable, match_to_experiments

log = logging.getLogger(__name__)

# So many files may be kept open, to read columns when they are asked for; processes may have about a thousand.
_MOST_OPEN = 100


def load(
    expt_files: Sequence[str | Path], refl_files: Sequence[str | Path]
) -> tuple[ExperimentList, ReflectionTable | None]:
    """Experiments of all files in order, and the rows of all tables renumbered to them.

    With as many .refl as .expt files, they are paired in order; otherwise every table is matched to the whole list by
    identifier. Models stay shared within a file. Images that were processed twice (two lattices, other parameters) have
    the same identifier in both results: in pairs of files the later one gets another, and a warning says so.

    Raises
    ------
    FileError : a table belongs to none of the experiments, a file is given twice, or two experiments are the same.
    """
    once: set[Path] = set()
    for name in refl_files:
        if (path := Path(name).resolve()) in once:
            raise FileError(f"{name}: given twice, its reflections would count double; give each .refl file only once")
        once.add(path)
    lists = [read_expt(f) for f in expt_files]
    tables = [read_refl(f, defer=len(refl_files) <= _MOST_OPEN) for f in refl_files]
    paired = len(tables) == len(lists)
    joined = ExperimentList(_with_identifiers(lists, expt_files, paired), [h for part in lists for h in part.history])
    if not tables:
        return joined, None
    parts = []
    if paired:
        base, sweeps = 0, 0
        for part, table, name in zip(lists, tables, refl_files, strict=True):
            identifiers = joined.identifiers[base : base + len(part)]
            moved = _renumber(match_to_experiments(_adopt(table, part, identifiers), identifiers), base, sweeps)
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


def _with_identifiers(lists: list[ExperimentList], files: Sequence[str | Path], paired: bool) -> list[Experiment]:
    """Experiments of all lists; those without an identifier (old files) or with one that is taken get another."""
    out: list[Experiment] = []
    seen: dict[str, tuple[str | Path, Experiment]] = {}
    for part, file in zip(lists, files, strict=True):
        for experiment in part:
            identifier = experiment.identifier or new_identifier()
            if identifier in seen:
                first, other = seen[identifier]
                if first == file or _is_same_result(experiment, other):
                    raise FileError(
                        f"{file}: {experiment.name} is in {first} already (both have the identifier {identifier}) "
                        "and would count double; give it only once"
                    )
                if not paired:
                    raise FileError(
                        f"{file}: {experiment.name} has the identifier of another result from the same images, in "
                        f"{first}; give as many .refl as .expt files, so that they can be told apart in pairs"
                    )
                if _share_images(experiment, other):
                    log.warning(
                        "%s: %s comes from the same images as in %s; both are used, as if they were different crystals",
                        file, experiment.name, first,
                    )  # fmt: skip
                while identifier in seen:
                    identifier = derived_identifier("again", identifier)
            seen[identifier] = file, experiment
            out.append(experiment if identifier == experiment.identifier else experiment.evolve(identifier=identifier))
    return out


def _is_same_result(one: Experiment, other: Experiment) -> bool:
    """Whether two experiments of one identifier are copies: the same images and, to the last bit, the same crystal."""
    ranges = [None if e.scan is None else e.scan.image_range for e in (one, other)]
    bases = [np.zeros(0) if e.crystal is None else e.crystal.A for e in (one, other)]
    return ranges[0] == ranges[1] and np.array_equal(bases[0], bases[1])


def _share_images(one: Experiment, other: Experiment) -> bool:
    """Whether the image ranges of two experiments of one sweep overlap; slices of it need not."""
    if one.scan is None or other.scan is None:
        return True
    (first, last), (begin, end) = one.scan.image_range, other.scan.image_range
    return first <= end and begin <= last


def _adopt(table: ReflectionTable, part: ExperimentList, identifiers: list[str]) -> ReflectionTable:
    """A table whose experiments are named as they are now: those without an identifier have one, some another."""
    old = [e.identifier for e in part]
    if old == identifiers:
        return table
    out = table.copy()
    renamed = dict(zip(old, identifiers, strict=True))
    known = any(old) and table.identifiers
    out.identifiers = (
        {i: renamed.get(s, s) for i, s in table.identifiers.items()} if known else dict(enumerate(identifiers))
    )
    return out


def _renumber(table: ReflectionTable, base: int, sweeps: int) -> ReflectionTable:
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
