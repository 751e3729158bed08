"""What scaling adds beside its curves: absorption, error model, filtering by ΔCC½, the fit of the resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mxdask.report.figure import Figure
from mxdask.report.markup import label, note, table
from mxdask.report.plots import MAX_LINES, against_resolution, colour_map, histogram, lines, per_crystal
from mxdask.report.reading import Row, array, column, mapping, name_of, number, rows_of


def absorption_figures(surfaces: Sequence[Row]) -> list[Figure | None]:
    """The correction by direction in the crystal; for many crystals only the first ones, the others' ranges beside."""
    figures: list[Figure | None] = []
    for surface in surfaces[:MAX_LINES]:
        values = surface.get("correction")
        rows = [array(row) for row in values] if isinstance(values, list) else []
        if rows and all(len(row) == len(rows[0]) > 1 for row in rows):
            polar, azimuth = array(surface.get("polar")), array(surface.get("azimuth"))
            figures.append(
                colour_map(
                    f"Absorption correction: {name_of(surface)}", "azimuth (°)", "polar angle (°)", "correction",
                    np.array(rows), _ends(azimuth), _ends(polar),
                )
            )  # fmt: skip
    if len(surfaces) > 1:
        names = [name_of(s) for s in surfaces]
        spread = [_range(s.get("correction")) for s in surfaces]
        series = {"least": np.array([low for low, _ in spread]), "most": np.array([high for _, high in spread])}
        figures.append(per_crystal("Range of the absorption correction", "correction", names, series))
    return figures


def _ends(values: np.ndarray) -> tuple[float, float]:
    return (float(values[0]), float(values[-1])) if len(values) > 1 else (0.0, 1.0)


def _range(values: Any) -> tuple[float, float]:
    held = [array(row) for row in values] if isinstance(values, list) else []
    finite = np.concatenate(held) if held else np.zeros(0)
    finite = finite[np.isfinite(finite)]
    return (float(finite.min()), float(finite.max())) if len(finite) else (np.nan, np.nan)


def probability_figure(model: Row) -> Figure | None:
    """Normalised deviations against what a normal distribution would give: a line of slope one if σ is right."""
    plot = mapping(model.get("plot"))
    expected, observed = array(plot.get("expected")), array(plot.get("observed"))
    if len(expected) < 2 or len(expected) != len(observed):
        return None
    series = [("observed", expected, observed), ("normal", expected, expected)]
    title = "Normal probability of deviations"
    return lines(title, "expected deviation (σ)", "observed deviation (σ)", series, plain=("normal",))


def resolution_figure(resolution: Row) -> Figure | None:
    """CC½ in fine shells, the curve through it and the limit where it falls too low."""
    s2, cc, fit = (array(resolution.get(k)) for k in ("inverse_d_squared", "cc_half", "fit"))
    if len(s2) < 2 or len(cc) != len(s2):
        return None
    series = {"CC½": cc}
    if len(fit) == len(s2):
        series["fit"] = fit
    limit = number(resolution.get("cc_half_limit"))
    if np.isfinite(limit):
        series["limit"] = np.full(len(s2), limit)
    d_min = number(resolution.get("d_min"))
    title = f"Resolution by CC½: {d_min:.2f} Å" if np.isfinite(d_min) else "Resolution by CC½"
    with np.errstate(divide="ignore"):
        return against_resolution(title, "CC½", 1 / np.sqrt(s2), series, markers=["CC½"], plain=("limit",))


def filtering_figures(filtering: Row, names: Sequence[str]) -> list[Figure | None]:
    """ΔCC½ of every group, cycle by cycle, as a distribution and by crystal; and how CC½ rose."""
    cycles = rows_of(filtering, "cycles")
    deltas = {f"cycle {c.get('cycle', i)}": 100 * array(c.get("delta")) for i, c in enumerate(cycles, start=1)}
    if not deltas:
        return []
    groups, first = rows_of(cycles[0], "groups"), next(iter(deltas.values()))
    cutoff = np.full(len(groups), 100 * number(cycles[0].get("cutoff")))
    figures: list[Figure | None] = [
        histogram("ΔCC½ of groups of images", "ΔCC½ (%)", deltas),
        per_crystal(
            "ΔCC½ before filtering", "ΔCC½ (%)", [_group_name(g, names) for g in groups],
            {"ΔCC½": first, "cutoff": cutoff},
        ) if len(groups) == len(first) else None,
    ]  # fmt: skip
    if len(cycles) > 1:
        cc = 100 * column(cycles, "cc_half")
        figures.append(
            lines("CC½ while filtering", "cycle", "CC½ (%)", [("CC½", np.arange(1.0, len(cc) + 1), cc)], markers=True)
        )
    return figures


def filtering_table(filtering: Row, names: Sequence[str]) -> str:
    """What was taken out, and why it ended."""
    rows = [
        [c.get("cycle"), _group_name(r, names), f"{r.get('first')}–{r.get('last')}", 100 * number(r.get("delta"))]
        for c in rows_of(filtering, "cycles")
        for r in rows_of(c, "removed")
    ]
    if not rows_of(filtering, "cycles"):
        return ""
    body = table(["cycle", label("sweep"), "images", "ΔCC½ (%)"], rows) if rows else note("Nothing was taken out.")
    return "<h3>Filtering by ΔCC½</h3>" + body + note(f"It ended with: {filtering.get('reason') or 'no reason given'}")


def _group_name(group: Row, names: Sequence[str]) -> str:
    given = group.get("sweep")
    if given:
        return str(given)
    crystal = number(group.get("crystal"))
    known = np.isfinite(crystal) and 0 <= int(crystal) < len(names)
    return names[int(crystal)] if known else str(group.get("crystal"))


def free_table(free: Row) -> str:
    """Rmeas and CC½ of the reflections that models were refined on, and of those held back."""
    held: Mapping[str, Row] = {k: mapping(v) for k, v in free.items()}
    keys = ("n_observations", "Rmeas", "CC_half")
    rows = [[name, *(values.get(k) for k in keys)] for name, values in held.items()]
    return "<h3>Free set</h3>" + table(["set", *(label(k) for k in keys)], rows, kind="narrow") if rows else ""
