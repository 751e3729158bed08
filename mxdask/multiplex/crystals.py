"""The crystals: which experiment is which, in an order and with names that do not depend on how they were given."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

import numpy as np

from mxdask.models import Experiment, ExperimentList
from mxdask.table import Flag, ReflectionTable

# Spots a crystal must have integrated for anything to be said about it.
LEAST_REFLECTIONS = 10


@dataclass(frozen=True)
class Crystal:
    """One experiment as multiplex knows it.

    Attributes
    ----------
    name : for people, unique within a run. identifier : of the experiment.
    key : hash of models and intensities, the same for the same data whatever the identifier.
    n_reflections : integrated ones.
    trouble : why it cannot be used; "" if it can.
    """

    name: str
    identifier: str
    key: str
    n_reflections: int
    trouble: str = ""

    @property
    def seed(self) -> int:
        """A number that depends on the crystal's data only."""
        return int(self.key[:15], 16)


def in_order(
    experiments: ExperimentList, reflections: ReflectionTable
) -> tuple[ExperimentList, list[ReflectionTable], list[Crystal]]:
    """Experiments sorted by name and content, the integrated reflections of each, and who they are.

    Parameters
    ----------
    reflections : ``id`` counts rows of ``experiments``. Columns of pixels are let go.
    """
    lean = reflections.only(reflections)
    tables = by_crystal(lean.select(_integrated(lean)), len(experiments))
    keys = [content_key(e, t) for e, t in zip(experiments, tables, strict=True)]
    names = _names(experiments)
    order = sorted(range(len(experiments)), key=lambda row: (names[row], keys[row], experiments[row].identifier))
    count: Counter[str] = Counter()
    crystals, sorted_tables = [], []
    for place, row in enumerate(order):
        count[names[row]] += 1
        name = names[row] if count[names[row]] == 1 else f"{names[row]}_{count[names[row]]}"
        experiment, table = experiments[row], tables[row]
        table["id"] = np.full(len(table), place)
        table.identifiers = {place: experiment.identifier}
        crystals.append(Crystal(name, experiment.identifier, keys[row], len(table), _trouble(experiment, table)))
        sorted_tables.append(table)
    return experiments.with_experiments([experiments[row] for row in order]), sorted_tables, crystals


def content_key(experiment: Experiment, table: ReflectionTable) -> str:
    """Hash of what the data are: crystal, scan and intensities."""
    digest = hashlib.blake2b(digest_size=16)
    if experiment.crystal is not None:
        digest.update(np.ascontiguousarray(experiment.crystal.A).tobytes())
        digest.update(experiment.crystal.space_group.hall.encode())
    if experiment.scan is not None:
        digest.update(repr((experiment.scan.image_range, experiment.scan.oscillation_range)).encode())
    for name in sorted(table):
        if name.startswith(("intensity.", "miller_index", "xyz", "flags", "lp", "qe", "partiality", "inverse_scale")):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(table[name]).tobytes())
    return digest.hexdigest()


def by_crystal(table: ReflectionTable, n: int) -> list[ReflectionTable]:
    """Reflections of each of n crystals, ``id`` 0 … n - 1; a table without rows where there are none."""
    parts = table.split_by("id") if len(table) else {}
    empty = table.select(np.zeros(0, dtype=np.int64))
    return [parts[i] if i in parts else empty.copy() for i in range(n)]


def pick(
    experiments: ExperimentList, tables: list[ReflectionTable], rows: list[int]
) -> tuple[ExperimentList, ReflectionTable]:
    """Some crystals as a list and one table, ``id`` numbered anew."""
    parts = []
    for place, row in enumerate(rows):
        part = tables[row].copy()
        part["id"] = np.full(len(part), place)
        part.identifiers = {place: experiments[row].identifier}
        parts.append(part)
    return experiments.with_experiments([experiments[row] for row in rows]), ReflectionTable.concat(parts)


def _integrated(table: ReflectionTable) -> np.ndarray:
    keep = (table["id"] >= 0) if "id" in table else np.zeros(len(table), dtype=bool)
    if "flags" in table:
        keep &= table.has_flags(int(Flag.INTEGRATED_SUM) | int(Flag.INTEGRATED_PRF), any=True)
    return np.flatnonzero(keep)


def _trouble(experiment: Experiment, table: ReflectionTable) -> str:
    if experiment.crystal is None:
        return "it has no crystal: nothing was indexed in this sweep"
    if experiment.beam is None:
        return "it has no beam, so no wavelength is known"
    if len(table) < LEAST_REFLECTIONS:
        return f"{len(table)} integrated reflections, fewer than {LEAST_REFLECTIONS}"
    return ""


def _names(experiments: ExperimentList) -> list[str]:
    """Names of the sweeps; of sweeps in different folders that have one name, with the folder."""
    names = [e.name for e in experiments]
    folders = [_folder(e) for e in experiments]
    of_name: dict[str, set[str]] = {}
    for name, folder in zip(names, folders, strict=True):
        of_name.setdefault(name, set()).add(folder)
    return [f"{f}/{n}" if len(of_name[n]) > 1 and f else n for n, f in zip(names, folders, strict=True)]


def _folder(experiment: Experiment) -> str:
    template = experiment.imageset.template if experiment.imageset is not None else ""
    parts = template.replace("\\", "/").split("/")
    return parts[-2] if len(parts) > 1 else ""
