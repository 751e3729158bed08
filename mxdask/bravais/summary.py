"""Tables and the summary of Bravais settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mxdask.bravais.correlation import Correlation
from mxdask.bravais.trial import Trial
from mxdask.lattice.metric import LatticeSetting
from mxdask.models import Crystal
from mxdask.text import text_table

_LEAST_PAIRS = 10
HEADER = ("Solution", "Metric fit", "rmsd", "min/max cc", "#spots", "lattice", "unit_cell", "volume", "cb_op")


@dataclass(frozen=True, eq=False)
class Row:
    """One setting of one crystal, or of all crystals with a lattice.

    Attributes
    ----------
    number : 1 for triclinic. metric_fit : degrees. rmsd : mm, nan where the refinement failed.
    correlations : per operator of the lowest space group, the identity first.
    cell : (6,) refined (or median of the refined) cell. cb_op : from the input setting, a,b,c notation.
    failure : why the refinement failed, or "".
    """

    number: int
    metric_fit: float
    rmsd: float
    n_spots: int
    correlations: tuple[Correlation, ...]
    bravais: str
    cell: np.ndarray
    cb_op: str
    failure: str = ""

    @property
    def min_max_cc(self) -> tuple[float, float] | None:
        """Worst and best operator but the identity; None where too few pairs tell."""
        told = [c.cc for c in self.correlations[1:] if c.n > _LEAST_PAIRS and np.isfinite(c.cc)]
        return (min(told), max(told)) if told else None

    @property
    def volume(self) -> float:
        """Å³."""
        cosines = np.cos(np.deg2rad(self.cell[3:]))
        return float(np.prod(self.cell[:3]) * np.sqrt(max(0.0, 1 - cosines @ cosines + 2 * np.prod(cosines))))


def row_of(setting: LatticeSetting, number: int, trial: Trial, cb_op: str) -> Row:
    """The row of one crystal."""
    crystal = trial.experiments[0].crystal
    assert crystal is not None
    return Row(
        number, setting.delta, trial.rmsd, trial.n_used, trial.correlations, setting.bravais, crystal.cell, cb_op
    )


def failed_row(setting: LatticeSetting, number: int, cb_op: str, failure: str) -> Row:
    """The row of a crystal whose refinement failed."""
    return Row(number, setting.delta, float("nan"), 0, (), setting.bravais, setting.cell, cb_op, failure)


def pooled(rows: Sequence[Row], setting: LatticeSetting) -> Row:
    """One row for all crystals with a lattice: rmsd over all their reflections, correlations weighted by pairs."""
    good = [r for r in rows if not r.failure]
    if not good:
        return failed_row(setting, rows[0].number, setting.cb_op, rows[0].failure)
    spots = np.array([r.n_spots for r in good])
    rmsd = float(np.sqrt(np.average([r.rmsd**2 for r in good], weights=spots)))
    n_operators = min(len(r.correlations) for r in good)
    correlations = tuple(_mean([r.correlations[k] for r in good]) for k in range(n_operators))
    cell = np.median([r.cell for r in good], axis=0)
    return Row(
        rows[0].number, setting.delta, rmsd, int(spots.sum()), correlations, setting.bravais, cell, setting.cb_op
    )  # fmt: skip


def _mean(parts: Sequence[Correlation]) -> Correlation:
    told = [c for c in parts if c.n > 2 and np.isfinite(c.cc)]
    n = sum(c.n for c in told)
    return Correlation(sum(c.cc * c.n for c in told) / n if n else float("nan"), n)


def recommended(rows: Sequence[Row]) -> list[bool]:
    """Which settings to believe (front.md 10.2): small rmsd against the triclinic one, or mates that correlate.

    Parameters
    ----------
    rows : triclinic last.
    """
    triclinic = rows[-1].rmsd
    return [_is_recommended(row, triclinic) for row in rows]


def _is_recommended(row: Row, triclinic: float) -> bool:
    if not np.isfinite(row.rmsd):
        return False
    worst = row.min_max_cc[0] if row.min_max_cc else -1.0
    if row.metric_fit < 0.5:
        return not (worst < 0.5 and row.rmsd > 1.5 * triclinic)
    if worst < 0.7 and row.rmsd > 2.0 * triclinic:
        return False
    return row.rmsd <= 3.0 * triclinic


def table(rows: Sequence[Row], title: str = "") -> str:
    """The table as users of DIALS know it."""
    cells = []
    for row, good in zip(rows, recommended(rows), strict=True):
        cc = row.min_max_cc
        cells.append((
            f"{'*' if good else ''} {row.number:3d}",
            f"{row.metric_fit:.4f}",
            f"{row.rmsd:.3f}" if not row.failure else "failed",
            f"{cc[0]:.3f}/{cc[1]:.3f}" if cc else "-/-",
            row.n_spots,
            row.bravais,
            " ".join(f"{x:6.2f}" for x in row.cell),
            f"{row.volume:.0f}",
            row.cb_op,
        ))  # fmt: skip
    return text_table(HEADER, cells, title=title) + "\n* = recommended solution"


def summary_json(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Content of ``bravais_summary.json``, with DIALS' keys."""
    out = {}
    for row, good in zip(rows, recommended(rows), strict=True):
        cc = row.min_max_cc
        out[str(row.number)] = {
            "max_angular_difference": row.metric_fit,
            "rmsd": None if row.failure else row.rmsd,
            "nspots": row.n_spots,
            "bravais": row.bravais,
            "unit_cell": [float(x) for x in row.cell],
            "cb_op": row.cb_op,
            "max_cc": cc[1] if cc else None,
            "min_cc": cc[0] if cc else None,
            "correlation_coefficients": [c.cc if np.isfinite(c.cc) else None for c in row.correlations],
            "cc_nrefs": [c.n for c in row.correlations],
            "recommended": good,
        } | ({"failure": row.failure} if row.failure else {})
    return out


def crystal_name(crystal_row: int, name: str, crystal: Crystal) -> str:
    """How a crystal is called in titles."""
    return f"crystal {crystal_row} ({name}), cell {' '.join(f'{x:.2f}' for x in crystal.cell)}"
