"""Laue group and indexing ambiguity: cosym and symmetry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mxdask.report.figure import Figure
from mxdask.report.markup import Raw, cards, label, rows_table, table
from mxdask.report.plots import bars, colour_map, lines, per_crystal, scatter
from mxdask.report.reading import Row, array, column, good_rows, mapping, names_of, number, rows_of
from mxdask.report.section import Section

_GROUP_LABELS = {
    "patterson_group": "Patterson group", "z_cc_net": "Z<sub>net</sub>", "z_cc_for": "Z for",
    "z_cc_against": "Z against", "cc_for": "CC for", "cc_against": "CC against", "z_cc": "Z(CC)", "cc": "CC",
    "max_angular_difference": "delta (°)", "cb_op": "change of basis", "n": "pairs", "stars": "",
    "mean_i": "⟨I⟩", "mean_i_absent": "⟨I⟩ absent", "mean_isigi": "⟨I/σ⟩", "mean_isigi_absent": "⟨I/σ⟩ absent",
}  # fmt: skip


def symmetry(summary: Mapping[str, Any], *, key: str = "symmetry") -> Section:
    """Scores of groups and operators; for cosym also the coordinates of the crystals."""
    section = Section(key, "Symmetry and indexing ambiguity" if key == "cosym" else "Symmetry")
    section.add(
        cards(
            {
                "space group": summary.get("space_group"), "Patterson group": summary.get("patterson_group"),
                "likelihood": _percent(summary.get("probability")), "confidence": _percent(summary.get("confidence")),
                "resolution used (Å)": summary.get("d_min"),
            }
        )
    )  # fmt: skip
    section.add(_plain_table("Laue groups", rows_of(summary, "groups")))
    section.add(_plain_table("Symmetry operators", rows_of(summary, "operators")))
    section.add(_plain_table("Screw axes", rows_of(summary, "screw_axes")))
    section.add(_plain_table("Space groups", rows_of(summary, "space_groups")))
    section.add(rows_table(rows_of(summary), ("n_reflections", "reindex", "cb_op", "mean_cc", "n_common")))
    good = good_rows(rows_of(summary))
    histogram = mapping(summary.get("rij_histogram"))
    edges, counts = array(histogram.get("edges")), array(histogram.get("counts"))
    variance = array(summary.get("functional"))
    section.plots(
        [
            _coordinates(summary),
            _matrix(mapping(summary.get("cc_matrix"))),
            bars("Correlation of pairs of crystals", "R_ij", "pairs", edges[:-1], edges[1:], counts),
            per_crystal("Correlation with the others", "mean CC", names_of(good), {"CC": column(good, "mean_cc")}),
            lines(
                "Dimensions", "number of dimensions", "functional",
                [("functional", np.arange(1, len(variance) + 1), variance)], markers=True,
            ) if len(variance) > 1 else None,
        ]
    )  # fmt: skip
    section.add(_clusters(rows_of(summary, "lattice_clusters")))
    return section


def _coordinates(summary: Mapping[str, Any]) -> Figure | None:
    """Every crystal in each of its possible settings, in the first two dimensions; coloured by the setting."""
    held = mapping(summary.get("coordinates"))
    points = held.get("points")
    crystals, settings = held.get("crystals") or [], held.get("settings") or []
    if not isinstance(points, list) or not points:
        return None
    called = {str(row.get("identifier")): name for row, name in _named(rows_of(summary))}
    crystals = [called.get(str(c), str(c)) for c in crystals]
    xs, ys, names, groups = [], [], [], []
    for s, of_setting in enumerate(points):
        for c, point in enumerate(of_setting if isinstance(of_setting, list) else []):
            place = array(point)
            if len(place):
                xs.append(place[0])
                ys.append(place[1] if len(place) > 1 else 0.0)
                names.append(crystals[c] if c < len(crystals) else str(c + 1))
                groups.append(str(settings[s]) if s < len(settings) else f"setting {s + 1}")
    return scatter(
        "Coordinates of crystals by reindexing",
        "dimension 1",
        "dimension 2",
        np.array(xs),
        np.array(ys),
        names,
        groups,
        equal=True,
    )


def _named(rows: list[Row]) -> list[tuple[Row, str]]:
    return list(zip(rows, names_of(rows), strict=True))


def _matrix(held: Row) -> Figure | None:
    """Correlations of crystals with each other in their final settings."""
    values = held.get("values")
    rows = [array(row) for row in values] if isinstance(values, list) else []
    n = len(rows)
    if n < 2 or any(len(row) != n for row in rows):
        return None
    edge = (0.5, n + 0.5)
    return colour_map("Correlation of crystals with each other", "crystal", "crystal", "CC", np.array(rows), edge, edge)


def _plain_table(title: str, rows: list[Row]) -> str:
    """Rows of dictionaries with common keys as a table."""
    if not rows:
        return ""
    keys = list(dict.fromkeys(k for row in rows for k in row))
    header = [_GROUP_LABELS.get(k, label(k)) for k in keys]
    body = [[_rounded(row.get(k)) for k in keys] for row in rows]
    return f"<h3>{title}</h3>" + table(header, body)


def _rounded(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value


def _clusters(clusters: list[Row]) -> str:
    """Crystals whose cells do not agree, if there is more than one kind."""
    if len(clusters) < 2:
        return ""
    body = [[len(c.get("members") or []), c.get("cell"), ", ".join(map(str, c.get("members") or []))] for c in clusters]
    return "<h3>Kinds of cells</h3>" + table(["crystals", label("cell"), "members"], body)


def _percent(value: Any) -> Raw | None:
    x = number(value)
    return None if x != x else Raw(f"{100 * x:.1f}\u2009%")
