"""Any files of processed reflections as one experiment list and table: what ``multiplex`` and the commands call."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mxdask.errors import FileError, MxdaskError
from mxdask.exchange.unmerged_mtz import read_unmerged_mtz
from mxdask.exchange.xds import read_xds
from mxdask.models import Experiment, ExperimentList
from mxdask.table import ReflectionTable

_log = logging.getLogger(__name__)
_IN_FOLDER = ("XDS_ASCII.HKL", "INTEGRATE.HKL")


@dataclass(frozen=True, eq=False)
class Processed:
    """What was read.

    Attributes
    ----------
    experiments : one for each sweep. reflections : integrated, ``id`` as in the list.
    rows : one for each sweep or unreadable file: file, status (ok, failed), reason, n_reflections, cell, space_group.
    """

    experiments: ExperimentList
    reflections: ReflectionTable
    rows: list[dict[str, Any]]


def read_processed(paths: Sequence[str | Path], d_min: float | None = None) -> Processed:
    """Read XDS_ASCII.HKL, INTEGRATE.HKL (or folders that hold one) and unmerged MTZ files.

    A file named \\*XPARM.XDS gives the geometry to the reflection file before or after it. A file that cannot be read
    is a row with its reason; the others are read.

    Raises
    ------
    FileError : none of them could be read; names the first reason.
    """
    parts: list[tuple[Experiment, ReflectionTable]] = []
    rows: list[dict[str, Any]] = []
    for path, xparm in _with_parameters([Path(p) for p in paths]):
        try:
            found = _read(path, xparm, d_min)
        except MxdaskError as error:
            _log.warning("%s", error)
            rows.append({"file": str(path), "status": "failed", "reason": str(error)})
            continue
        parts += found
        rows += [_row(path, experiment, table) for experiment, table in found]
    if not parts:
        reasons = [row["reason"] for row in rows]
        raise FileError(reasons[0] if reasons else "no files of reflections given")
    tables = []
    for number, (experiment, table) in enumerate(parts):
        table["id"] = np.full(len(table), number, dtype=np.int32)
        table["imageset_id"] = np.full(len(table), number, dtype=np.int32)
        table.identifiers = {number: experiment.identifier}
        tables.append(table)
    return Processed(ExperimentList([e for e, _ in parts]), ReflectionTable.concat(tables), rows)


def _with_parameters(paths: list[Path]) -> list[tuple[Path, Path | None]]:
    """Reflection files, each with the file of parameters that was named beside it."""
    out: list[tuple[Path, Path | None]] = []
    waiting: Path | None = None
    for path in paths:
        if path.name.upper().endswith("XPARM.XDS"):
            if out and out[-1][1] is None:
                out[-1] = (out[-1][0], path)
            else:
                waiting = path
            continue
        out.append((_in_folder(path), waiting))
        waiting = None
    return out


def _in_folder(path: Path) -> Path:
    if not path.is_dir():
        return path
    return next((path / name for name in _IN_FOLDER if (path / name).is_file()), path)


def _read(path: Path, xparm: Path | None, d_min: float | None) -> list[tuple[Experiment, ReflectionTable]]:
    if path.is_dir():
        raise FileError(f"{path}: the folder has no {' and no '.join(_IN_FOLDER)}")
    found = read_unmerged_mtz(path) if path.suffix.lower() == ".mtz" else [read_xds(path, xparm)]
    if d_min is not None:
        found = [(e, t.select(t["d"] > d_min)) for e, t in found]
        if not any(len(t) for _, t in found):
            raise FileError(f"{path}: no reflections beyond d_min={d_min:g} Å")
    return [(e, t) for e, t in found if len(t)]


def _row(path: Path, experiment: Experiment, table: ReflectionTable) -> dict[str, Any]:
    assert experiment.crystal is not None and experiment.scan is not None
    first, last = experiment.scan.image_range
    return {
        "file": str(path), "status": "ok", "reason": "", "sweep": experiment.name, "images": f"{first}-{last}",
        "n_reflections": len(table), "d_min": float(table["d"].min()),
        "cell": [round(float(v), 3) for v in experiment.crystal.cell],
        "space_group": experiment.crystal.space_group.short_name(),
    }  # fmt: skip
