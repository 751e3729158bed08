"""``dials.correlation_matrix.html``: what :mod:`correlation_run` found, drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mxdask.io.atomic import replacing
from mxdask.multiplex import pictures
from mxdask.multiplex.correlation_run import Analysis
from mxdask.report.markup import table
from mxdask.report.page import page_of
from mxdask.report.plots import bars, lines
from mxdask.report.section import Section


def write_page(path: Path, analysis: Analysis) -> None:
    """The report."""
    sections = [_significant(analysis), _correlation(analysis), _cosines(analysis), _coordinates(analysis)]
    html = page_of(sections, title="Correlations between crystals", subtitle=f"{len(analysis.names)} crystals")
    with replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8")


def _groups(analysis: Analysis) -> list[str]:
    return [str(g) if g else "" for g in analysis.grouping.labels]


def _significant(analysis: Analysis) -> Section:
    section = Section("clusters", "Significant clusters")
    groups, grouping = _groups(analysis), analysis.grouping
    n = max(grouping.labels, default=0)
    section.lead = (
        f"{n} group{'s' if n != 1 else ''}, by the error-weighted correlation of crystals' deviations from their mean."
    )
    figures = []
    if grouping.similarity is not None:
        order = pictures.leaf_order(grouping.linkage, len(groups))
        off = grouping.similarity[~np.eye(len(groups), dtype=bool)]
        limits = (float(np.quantile(off, 0.01)), float(np.quantile(off, 0.99)))
        figures.append(
            pictures.block_matrix("Deviations from the mean", "r", grouping.similarity, analysis.names, order, limits)
        )
    section.plots(
        [*figures, *pictures.coordinates("Coordinates of the deviations", grouping.coordinates, analysis.names, groups)]
    )
    rows = [
        [name, group or None, reason or None]
        for name, group, reason in zip(analysis.names, groups, grouping.reasons, strict=True)
    ]
    rows += [[name, None, reason] for name, reason in analysis.left_out.items()]
    section.add(table(["crystal", "group", "reason"], rows))
    return section


def _correlation(analysis: Analysis) -> Section:
    section = Section("correlation", "Correlation coefficients")
    found, names, n = analysis.found, analysis.names, len(analysis.names)
    order = pictures.leaf_order(found.cc_tree.linkage, n)
    known = found.cc[~np.eye(n, dtype=bool)]
    known = np.round(known[np.isfinite(known)], 6)  # the two halves of the matrix differ by rounding
    limits = (float(known.min(initial=1.0)), 1.0)
    counts, edges = np.histogram(known, bins=40)
    section.plots(
        [
            pictures.block_matrix("CC", "CC", found.cc, names, order, limits),
            pictures.tree("Tree of 1 - CC", "1 - CC", found.cc_tree.linkage, names, _groups(analysis)),
            bars("CC of all pairs", "CC", "pairs", edges[:-1], edges[1:], counts),
        ]
    )
    section.add(_branches(analysis.branches["correlation"]))
    return section


def _cosines(analysis: Analysis) -> Section:
    section = Section("cosines", "Cosines of angles")
    found, names = analysis.found, analysis.names
    order = pictures.leaf_order(found.cos_tree.linkage, len(names))
    limits = (float(found.cos.min()), 1.0)
    section.plots(
        [
            pictures.block_matrix("cos", "cos", found.cos, names, order, limits),
            pictures.tree("Tree of 1 - cos", "1 - cos", found.cos_tree.linkage, names, _groups(analysis)),
        ]
    )
    section.add(_branches(analysis.branches["cos_angle"]))
    return section


def _coordinates(analysis: Analysis) -> Section:
    section = Section("coordinates", "Coordinates")
    found = analysis.found
    dimension = np.arange(1, len(found.functional) + 1, dtype=float)
    section.plots(
        [
            lines("Dimensions", "dimensions", "target", [("target", dimension, found.functional)], markers=True),
            *pictures.coordinates("Coordinates", found.coordinates, analysis.names, _groups(analysis)),
        ]
    )
    return section


def _branches(rows: list[dict[str, Any]]) -> str:
    body = [
        [r["cluster"], r["n_crystals"], f"{r['height']:.4f}", f"{r['completeness']:.1f}", f"{r['multiplicity']:.2f}",
         ", ".join(r["crystals"][:40]) + ("…" if len(r["crystals"]) > 40 else "")]
        for r in reversed(rows[-60:])
    ]  # fmt: skip
    return table(["cluster", "crystals", "height", "completeness (%)", "multiplicity", "who"], body)
