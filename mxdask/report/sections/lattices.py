"""Indexing and refinement: cells, deviations, what could not be indexed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mxdask.report.figure import Figure
from mxdask.report.markup import cards, note, rows_table, table
from mxdask.report.plots import MAX_LINES, Colours, colour_map, heatmap, histogram, lines, per_crystal, scatter
from mxdask.report.reading import (
    Row,
    array,
    column,
    component,
    good_rows,
    lattice_rows,
    mapping,
    names_of,
    rows_of,
    status_of,
)
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
    shown = {"sweeps indexed": len(good_rows(rows)) if rows else None, "failed": failed if rows else None}
    shown |= {"lattices": summary.get("n_lattices"), "spots indexed (%)": summary.get("percent_indexed")}
    section.add(cards(shown))
    section.add(note(str(summary.get("joint_reason") or "")))
    first = ("n_spots", "n_indexed", "percent_indexed", "n_lattices", "cell", "rmsd", "rmsd_x", "rmsd_y", "rmsd_z")
    section.add(rows_table(rows, first, hidden=("cell_esd",)))
    names = names_of(rows)
    total, indexed = column(rows, "n_spots", "n_reflections"), column(rows, "n_indexed")
    with np.errstate(divide="ignore", invalid="ignore"):
        percent = _either(column(rows, "percent_indexed"), 100 * indexed / total)
    lattices = lattice_rows(good_rows(rows))
    section.plots(
        [
            per_crystal("Spots and indexed spots", "spots", names, {"spots": total, "indexed": indexed}),
            per_crystal("Spots that the lattice explains", "indexed (%)", names, {"indexed": percent}),
            *cell_figures(lattices),
            *rmsd_figures(lattices),
        ]
    )
    return section


def refinement(summary: Mapping[str, Any], colours: Colours) -> Section:
    """Cells and deviations after refinement, and how each joint refinement went."""
    section = Section("refine", "Refinement")
    rows = rows_of(summary)
    first = ("n_reflections", "n_outliers", "rmsd_x", "rmsd_y", "rmsd_z", "cell", "scan_varying")
    section.add(rows_table(rows, first, hidden=("cell_esd", "volume_esd", "residuals")))
    sets = rows_of(summary, "sets")
    good = good_rows(rows)
    section.plots([*cell_figures(good), *rmsd_figures(good), _progress(sets)])
    section.plots([*_along_sweeps(good, colours), *_over_detector(mapping(summary.get("residuals")))])
    if sets:
        keys = ("set", "n_parameters", "n_reflections", "chi2_reduced", "converged", "reason")
        header = ["set", "sweeps", "parameters", "reflections", "reduced χ²", "converged", "why it stopped"]
        body = [[r.get(keys[0]), len(r.get("sweeps") or ()), *(r.get(k) for k in keys[1:])] for r in sets]
        section.add("<h3>Joint refinements</h3>" + table(header, body))
    messages = [[str(message)] for message in summary.get("messages") or ()]
    section.add("<h3>Decisions</h3>" + table(["message"], messages) if messages else "")
    return section


def _progress(sets: Sequence[Row]) -> Figure | None:
    """Deviation on the detector after each accepted step, one curve per joint refinement (for a few of them)."""
    if not 0 < len(sets) <= MAX_LINES:
        return None
    series = []
    for number, one in enumerate(sets, start=1):
        steps = [array(step)[:2] for step in one.get("steps") or () if len(array(step)) > 1]
        size = np.array([np.hypot(*step) for step in steps])
        series.append((f"set {number}", np.arange(len(size)), size))
    return lines("Deviations during refinement", "step", "rmsd on the detector (mm)", series, markers=True)


def _along_sweeps(rows: Sequence[Row], colours: Colours) -> list[Figure | None]:
    """Deviation of predictions along every sweep: curves for a few, maps of colours for many."""
    names, held = names_of(rows), [mapping(row.get("residuals")) for row in rows]
    figures = []
    for key, title, unit in (
        ("x", "Deviation in x along the sweep", "rmsd (px)"),
        ("y", "Deviation in y along the sweep", "rmsd (px)"),
        ("z", "Deviation in z along the sweep", "rmsd (images)"),
    ):
        curves = [array(h.get(key)) for h in held]
        if len(rows) <= MAX_LINES:
            series = [(name, array(h.get("image")), c) for name, h, c in zip(names, held, curves, strict=True)]
            figures.append(lines(title, "image", unit, series, colours=colours))
        else:
            values = np.full((len(rows), max(len(c) for c in curves)), np.nan)
            for row, curve in zip(values, curves, strict=True):
                row[: len(curve)] = curve
            figures.append(heatmap(title, "step along the sweep", unit, names, 0.0, values))
    return figures


def _over_detector(residuals: Row) -> list[Figure | None]:
    """Mean deviations in cells of the detector, in colours that are symmetric about none; slow axis downwards."""
    size = array(residuals.get("size"))
    figures = []
    for key in ("x", "y"):
        held = residuals.get(key)
        rows = [array(row) for row in held] if isinstance(held, list) else []
        if len(size) != 2 or not rows or any(len(row) != len(rows[0]) for row in rows):
            continue
        values = np.array(rows)
        most = float(np.nanquantile(np.abs(values), 0.98)) if np.isfinite(values).any() else 0.0
        title = f"Observed − predicted {key} over the detector"
        figure = colour_map(
            title, "fast (px)", "slow (px)", "px", values, (0.0, float(size[0])), (0.0, float(size[1])),
            limits=(-most, most),
        )  # fmt: skip
        if figure is not None:
            figure.y.limits = (float(size[1]), 0.0)
        figures.append(figure)
    return figures


def cell_figures(rows: Sequence[Row]) -> list[Figure | None]:
    """Lengths, angles (where they differ from one another) and volumes, crystal by crystal or as distributions."""
    cells = np.array([_six(row) for row in rows]).reshape(-1, 6)
    if not np.isfinite(cells).any():
        return []
    names = names_of(rows)
    lengths = dict(zip("abc", cells[:, :3].T, strict=True))
    angles = dict(zip("αβγ", cells[:, 3:].T, strict=True))
    figures: list[Figure | None] = [
        per_crystal("Cell lengths", "Å", names, lengths),
        per_crystal("Cell angles", "degrees", names, angles),
    ]
    if len(rows) >= _MANY:
        figures += [histogram("Cell lengths", "Å", lengths), histogram("Cell angles", "degrees", angles)]
    figures.append(scatter("Cell axes", "a (Å)", "c (Å)", cells[:, 0], cells[:, 2], names))
    return figures


def rmsd_figures(rows: Sequence[Row]) -> list[Figure | None]:
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
