"""Merging statistics against resolution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mxdask.report.figure import Figure
from mxdask.report.markup import Raw, label, table
from mxdask.report.plots import against_resolution
from mxdask.report.reading import array, mapping
from mxdask.report.section import Section

_COLUMNS = (
    ("d_max", ".2f"), ("d_min", ".2f"), ("n_obs", "d"), ("n_unique", "d"), ("multiplicity", ".2f"),
    ("completeness", ".1f"), ("mean_I", ".1f"), ("I_over_sigma", ".1f"), ("Rmerge", ".3f"), ("Rmeas", ".3f"),
    ("Rpim", ".3f"), ("CC_half", ".3f"), ("CC_anom", ".3f"),
)  # fmt: skip


def merging(summary: Mapping[str, Any]) -> Section:
    """CC½, I/σ, completeness, multiplicity and R values in shells, drawn and as a table."""
    section = Section("merging", "Merging statistics")
    shells = {k: array(v) for k, v in mapping(summary.get("shells")).items()}
    n = max((len(v) for v in shells.values()), default=0)
    if n == 0:
        return section
    empty = np.full(n, np.nan)
    held = {k: v for k, v in shells.items() if len(v) == n}
    low, high = held.get("d_max", empty), held.get("d_min", empty)
    with np.errstate(invalid="ignore", divide="ignore"):
        d = np.where(np.isfinite(low), 1 / np.sqrt((1 / low**2 + 1 / high**2) / 2), high)

    def drawn(title: str, y: str, wanted: Mapping[str, str]) -> Figure | None:
        return against_resolution(title, y, d, {name: held[key] for name, key in wanted.items() if key in held})

    half = drawn("Correlation", "CC", {"CC½": "CC_half", "CC anomalous": "CC_anom"})
    r_values = drawn("R values", "R", {"Rmerge": "Rmerge", "Rmeas": "Rmeas", "Rpim": "Rpim"})
    completeness = drawn("Completeness", "%", {"all": "completeness", "anomalous": "anomalous_completeness"})
    if half is not None:
        half.y.limits = (float(np.nanmin(held.get("CC_anom", np.zeros(1)), initial=0.0)) - 0.05, 1.05)
    if completeness is not None:
        completeness.y.limits = (0, 105)
    if r_values is not None:
        r_values.y.limits = (0, min(2.0, 1.05 * _largest(held, ("Rmerge", "Rmeas", "Rpim"))))
    section.plots(
        [
            half, drawn("Strength", "⟨I/σ⟩", {"I/σ": "I_over_sigma"}), completeness,
            drawn("Multiplicity", "observations", {"all": "multiplicity", "anomalous": "anomalous_multiplicity"}),
            r_values,
        ]
    )  # fmt: skip
    columns = [(k, f) for k, f in _COLUMNS if k in held]
    body = [[_shown(held[k][i], f) for k, f in columns] for i in range(n)]
    section.add("<h3>Shells of resolution</h3>" + table([label(k) for k, _ in columns], body, kind="numbers"))
    return section


def _largest(held: Mapping[str, np.ndarray], keys: tuple[str, ...]) -> float:
    values = np.concatenate([held[k] for k in keys if k in held] or [np.ones(1)])
    values = values[np.isfinite(values)]
    return float(values.max()) if len(values) and values.max() > 0 else 1.0


def _shown(value: float, form: str) -> Raw:
    if not np.isfinite(value):
        return Raw("–")
    return Raw(format(int(value) if form == "d" else float(value), form))
