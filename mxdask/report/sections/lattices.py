"""Indexing and refinement: cells, deviations, what could not be indexed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mxdask.report.markup import cards, rows_table
from mxdask.report.plots import histogram, lines, per_crystal, scatter
from mxdask.report.reading import Row, array, column, component, good_rows, names_of, rows_of, status_of
from mxdask.report.section import Section

_CELL = ("cell", "unit_cell")
_MANY = 20
_RMSD = {
    "x (px)": (("rmsd_x", "rmsd_x_px"), 0),
    "y (px)": (("rmsd_y", "rmsd_y_px"), 1),
    "z (images)": (("rmsd_z", "rmsd_z_images"), 2),
}


def indexing(summary: Mapping[str, Any]) -> Section:
    """One row per sweep; cells and deviations of those that were indexed."""
    section = Section("index", "Indexing")
    rows = rows_of(summary)
    failed = sum(status_of(r) == "failed" for r in rows)
    section.add(cards({"indexed": len(good_rows(rows)) if rows else None, "failed": failed if rows else None}))
    section.add(
        rows_table(
            rows, ("n_spots", "n_indexed", "fraction_indexed", "cell", "unit_cell", "rmsd_x", "rmsd_y", "rmsd_z")
        )
    )
    names = names_of(rows)
    total, indexed = column(rows, "n_spots", "n_strong", "n_total", "n_reflections"), column(rows, "n_indexed")
    with np.errstate(divide="ignore", invalid="ignore"):
        fraction = 100 * indexed / total
    given = column(rows, "fraction_indexed")
    fraction = np.where(np.isfinite(given), 100 * given, fraction)
    section.plots(
        [
            per_crystal("Spots and indexed spots", "spots", names, {"spots": total, "indexed": indexed}),
            per_crystal("Spots that the lattice explains", "indexed (%)", names, {"indexed": fraction}),
            *cell_figures(good_rows(rows)),
            *rmsd_figures(good_rows(rows)),
        ]
    )
    return section


def refinement(summary: Mapping[str, Any]) -> Section:
    """Cells and deviations after refinement."""
    section = Section("refine", "Refinement")
    rows = rows_of(summary)
    section.add(rows_table(rows, ("n_reflections", "rmsd_x", "rmsd_y", "rmsd_z", "cell", "unit_cell")))
    steps = rows_of(summary, "history") or rows_of(summary, "steps")
    figures = [*cell_figures(good_rows(rows)), *rmsd_figures(good_rows(rows))]
    if steps:
        step = column(steps, "step", "cycle", "iteration")
        curves = [
            (k, step, _either(column(steps, *names), component(steps, i, "rmsd"))) for k, (names, i) in _RMSD.items()
        ]
        figures.append(lines("Deviations during refinement", "step", "rmsd", curves, markers=True))
    section.plots(figures)
    return section


def cell_figures(rows: Sequence[Row]) -> list[Any]:
    """Lengths, angles (where they differ from one another) and volumes, crystal by crystal or as distributions."""
    cells = np.array([_six(row) for row in rows]).reshape(-1, 6)
    if not np.isfinite(cells).any():
        return []
    names = names_of(rows)
    lengths = dict(zip("abc", cells[:, :3].T, strict=True))
    angles = dict(zip("αβγ", cells[:, 3:].T, strict=True))
    figures = [per_crystal("Cell lengths", "Å", names, lengths), per_crystal("Cell angles", "degrees", names, angles)]
    if len(rows) >= _MANY:
        figures += [histogram("Cell lengths", "Å", lengths), histogram("Cell angles", "degrees", angles)]
    figures.append(scatter("Cell axes", "a (Å)", "c (Å)", cells[:, 0], cells[:, 2], names))
    return figures


def rmsd_figures(rows: Sequence[Row]) -> list[Any]:
    """Deviations of predicted from observed positions."""
    series = {k: _either(column(rows, *names), component(rows, i, "rmsd", "rmsds")) for k, (names, i) in _RMSD.items()}
    figures = [per_crystal("Deviation of predictions", "rmsd", names_of(rows), series)]
    if len(rows) >= _MANY:
        figures.append(histogram("Deviation of predictions", "rmsd", series))
    return figures


def _six(row: Row) -> np.ndarray:
    for key in _CELL:
        values = array(row.get(key))
        if len(values) == 6:
            return values
    return np.full(6, np.nan)


def _either(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(first), first, second)
