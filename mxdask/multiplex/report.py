"""``multiplex.html``: data sets compared, every crystal's fate, forms, matrix, tree, coordinates, filtering."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from mxdask.io.atomic import replacing
from mxdask.multiplex import pictures
from mxdask.multiplex.comparison import comparison_rows
from mxdask.multiplex.dataset import DataSet
from mxdask.multiplex.decisions import HINT
from mxdask.multiplex.form_groups import FormGroups
from mxdask.multiplex.run import DECISIONS, Result
from mxdask.report.figure import Figure
from mxdask.report.markup import badge, cards, table
from mxdask.report.page import page_of
from mxdask.report.plots import against_resolution, lines, per_crystal, scatter
from mxdask.report.section import Section

_COMPARED = (
    ("d_min", "d<sub>min</sub> (Å)", ".2f"), ("completeness", "completeness (%)", ".1f"),
    ("multiplicity", "multiplicity", ".1f"), ("I_over_sigma", "⟨I/σ⟩", ".1f"), ("Rmeas", "R<sub>meas</sub>", ".3f"),
    ("Rpim", "R<sub>pim</sub>", ".3f"), ("CC_half", "CC<sub>½</sub>", ".4f"), ("n_obs", "observations", "d"),
)  # fmt: skip
_TABLE1 = (
    ("d_max", "low resolution (Å)", ".2f"), ("d_min", "high resolution (Å)", ".2f"),
    ("completeness", "completeness (%)", ".1f"), ("multiplicity", "multiplicity", ".1f"),
    ("I_over_sigma", "⟨I/σ⟩", ".1f"), ("Rmerge", "R<sub>merge</sub>", ".3f"), ("Rmeas", "R<sub>meas</sub>", ".3f"),
    ("Rpim", "R<sub>pim</sub>", ".3f"), ("CC_half", "CC<sub>½</sub>", ".3f"),
    ("anomalous_completeness", "anomalous completeness (%)", ".1f"),
    ("anomalous_multiplicity", "anomalous multiplicity", ".1f"), ("CC_anom", "CC<sub>anom</sub>", ".3f"),
    ("n_obs", "observations", "d"), ("n_unique", "unique", "d"),
)  # fmt: skip
_GOOD = {"kept": "ok", "filtered": "skipped", "weak": "skipped", "outlier": "skipped", "dropped": "skipped"}


def write_page(path: Path, result: Result) -> None:
    """The report of a run."""
    sections = [_data_sets(result), _crystals(result), _forms(result)]
    for number, found in result.sorted.items():
        sections += [_groups(number, found, result.groups[number]), _setting(number, found)]
    sections += [_table_one(result), _filtering(result.datasets)]
    kept = sum(d.fate == "kept" for d in result.decisions)
    subtitle = f"{len(result.decisions)} crystals, {kept} in {len(result.datasets)} data sets"
    html = page_of(sections, title=path.resolve().parent.name or "multiplex", subtitle=subtitle)
    with replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8")


def _data_sets(result: Result) -> Section:
    section = Section("datasets", "Data sets")
    n_forms = len(result.forms.forms) if result.forms else 0
    kept = sum(d.fate == "kept" for d in result.decisions)
    section.add(
        cards(
            {"crystals": len(result.decisions), "in a group": kept, "crystal forms": n_forms,
             "data sets": len(result.datasets)}
        )
    )  # fmt: skip
    together = [*result.mixtures.values(), *result.datasets]
    header = ["data set", "form", "crystals", "space group", *(h for _, h, _ in _COMPARED), "note"]
    rows = [
        [r["name"], str(r["form"]), r["n_crystals"], r["space_group"], *(_shown(r[n], f) for n, _, f in _COMPARED),
         r["reason"] or ("all crystals of the form" if not r["group"] else "")]
        for r in comparison_rows(together)
    ]  # fmt: skip
    if rows:
        section.add(table(header, rows, kind="numbers"))
    section.plots([_against(together, k, t, y) for k, t, y in (
        ("CC_half", "CC½", "CC½"), ("I_over_sigma", "Strength", "⟨I/σ⟩"), ("completeness", "Completeness", "%"),
        ("Rpim", "Rpim", "Rpim"),
    )])  # fmt: skip
    return section


def _against(datasets: Sequence[DataSet], key: str, title: str, y: str) -> Figure | None:
    """One quantity of all data sets against resolution."""
    series = []
    for d in datasets:
        shells = (d.merge or d.scale).get("shells") or {}
        low, high = (np.array(shells.get(k, []), dtype=float) for k in ("d_max", "d_min"))
        values = np.array(shells.get(key, []), dtype=float)
        if len(values):
            series.append((d.name, 0.5 * (low**-2 + high**-2), values))
    if not series:
        return None
    own = {name: values for name, _, values in series}
    first = series[0][1]
    if all(len(s) == len(first) and np.allclose(s, first) for _, s, _ in series):
        return against_resolution(title, y, 1 / np.sqrt(first), own)
    return lines(title, "1/d² (Å⁻²)", y, series, markers=True)


def _crystals(result: Result) -> Section:
    section = Section("crystals", "Crystals")
    section.lead = (
        f"To decide otherwise, write into the last column of {DECISIONS} ({HINT}) and run the same command again."
    )
    header = ["crystal", "fate", "form", "group", "reason", "user"]
    rows = [
        [d.crystal, _fate(d.fate), d.form or None, d.group or None, d.reason or None, d.user or None]
        for d in result.decisions
    ]
    classes = [_GOOD.get(d.fate, "failed") for d in result.decisions]
    section.add(table(header, rows, classes=classes))
    return section


def _fate(fate: str) -> Any:
    html = badge(_GOOD.get(fate, "failed")).html
    start, end = html.index(">") + 1, html.rindex("<")
    return type(badge("ok"))(html[:start] + escape(fate) + html[end:])


def _forms(result: Result) -> Section:
    section = Section("forms", "Crystal forms")
    if result.forms is None:
        return section
    forms = result.forms
    names = [result.crystals[place].name for place in result.usable]
    of: list[str] = [""] * len(names)
    for number, form in enumerate(forms.forms, start=1):
        for member in form.members:
            of[member] = str(number)
    header = ["form", "crystals", "lattice", "a (Å)", "b (Å)", "c (Å)", "α (°)", "β (°)", "γ (°)"]
    rows = [
        [str(i), len(f.members), f.lattice, *(f"{x:.2f}" for x in f.conventional)]
        for i, f in enumerate(forms.forms, start=1)
    ]
    section.add(table(header, rows, kind="numbers"))
    axis = "largest relative difference of a length" if forms.unit == "relative" else "distance (Å²)"
    section.plots([pictures.tree(f"Cells; cut at {forms.height:.4g}", axis, forms.tree, names, of)])
    return section


def _groups(number: int, found: FormGroups, groups: Sequence[str]) -> Section:
    """Block matrix, tree and coordinates of one form."""
    section = Section(f"groups-{number}", f"Groups of form {number}")
    grouping, names = found.grouping, [c.name for c in found.crystals]
    chosen = sorted({g for g in groups if g}, key=lambda g: (len(g), g))
    counts = ", ".join(f"group {g}: {groups.count(g)}" for g in chosen)
    alone = groups.count("")
    section.lead = f"{counts or 'no group'}" + (f"; {alone} in none" if alone else "") + "."
    order = pictures.leaf_order(grouping.linkage, len(names))
    order.sort(key=lambda i: chosen.index(groups[i]) if groups[i] in chosen else len(chosen))
    figures: list[Figure | None] = []
    if grouping.similarity is not None and len(names) > 1:
        off = grouping.similarity[~np.eye(len(names), dtype=bool)]
        limits = (float(np.quantile(off, 0.01)), float(np.quantile(off, 0.99)))
        title = "Correlation of deviations from the mean"
        figures.append(pictures.block_matrix(title, "r", grouping.similarity, names, order, limits))
    figures.append(pictures.tree("Tree of the coordinates", "distance", grouping.linkage, names, groups))
    section.plots([*figures, *pictures.coordinates("Coordinates", grouping.coordinates, names, groups)])
    if grouping.similarity is not None and len(chosen) > 1:
        section.add("<h3>Mean correlation with each group</h3>" + _with_groups(found, groups, chosen, order))
    return section


def _with_groups(found: FormGroups, groups: Sequence[str], chosen: Sequence[str], order: Sequence[int]) -> str:
    """Table: how like each group every crystal is, itself left out."""
    assert found.grouping.similarity is not None
    of = np.array(groups)
    rows, classes = [], []
    for i in order:
        values = []
        for group in chosen:
            members = np.flatnonzero(of == group)
            members = members[members != i]
            values.append(f"{found.grouping.similarity[i, members].mean():.3f}" if len(members) else None)
        rows.append([found.crystals[i].name, groups[i] or None, *values, found.grouping.reasons[i] or None])
        classes.append("ok" if groups[i] else "skipped")
    return table(["crystal", "group", *(f"with {g}" for g in chosen), "reason"], rows, classes=classes)


def _setting(number: int, found: FormGroups) -> Section:
    """What cosym found, and the scales of the crystals."""
    section = Section(f"setting-{number}", f"Setting and scale of form {number}")
    cosym = found.cosym
    probability = cosym.get("probability")
    section.add(
        cards(
            {
                "space group": cosym.get("space_group"),
                "probability of the Laue group": None if probability is None else f"{probability:.3f}",
                "cell (Å, °)": " ".join(f"{x:.2f}" for x in cosym.get("unit_cell") or []),
                "crystals reindexed": sum(r.get("class", 0) not in (0, None, -1) for r in cosym.get("rows", [])),
            }
        )
    )
    drawn = []
    held = cosym.get("coordinates") or {}
    points = np.array(held.get("points", []), dtype=float)
    if points.ndim == 3 and points.shape[2] > 1:
        flat, n = points.reshape(-1, points.shape[2]), points.shape[1]
        known = {c.identifier: c.name for c in found.crystals}
        who = [known.get(str(c), str(c)) for c in held["crystals"]] * points.shape[0]
        setting = [f"setting {s}" for s in held["settings"] for _ in range(n)]
        if len(who) == len(flat) <= 5000:
            drawn.append(scatter("cosym", "axis 1", "axis 2", flat[:, 0], flat[:, 1], who, setting, equal=True))
    rows = [r for r in found.scale.get("rows", []) if r.get("status") == "ok"]
    names = [str(r["sweep"]) for r in rows]
    for title, key in (("Scale", "scale"), ("B (Å²)", "B"), ("⟨I/σ⟩", "I_over_sigma"), ("Rmerge", "Rmerge")):
        values = np.array([np.nan if r.get(key) is None else r[key] for r in rows], dtype=float)
        drawn.append(per_crystal(title, title, names, {title: values}))
    section.plots(drawn)
    return section


def _table_one(result: Result) -> Section:
    """Table 1 of every data set: overall (outermost shell)."""
    section = Section("table1", "Table 1")
    rows = comparison_rows([*result.mixtures.values(), *result.datasets])
    held = [r for r in rows if r["table1"]]
    if not held:
        return section
    section.lead = "All data, and the outermost shell in brackets."
    body = [
        [
            _raw(label),
            *(
                f"{_shown(r['table1']['overall'].get(k), f)} ({_shown(r['table1']['high'].get(k), f)})"
                for r in held
            ),
        ]
        for k, label, f in _TABLE1
    ]  # fmt: skip
    section.add(table(["", *(escape(r["name"]) for r in held)], body))
    return section


def _filtering(datasets: Sequence[DataSet]) -> Section:
    """ΔCC½ of every image group (or crystal) in the last cycle that looked at them, and what was taken."""
    section = Section("filtering", "Filtering by ΔCC½")
    figures = []
    for d in datasets:
        for cycle in d.filtering:
            delta = np.array([np.nan if v is None else v for v in cycle["delta"]], dtype=float)
            who = [
                f"{c} images {a}-{b}" for c, a, b in zip(cycle["crystal"], cycle["first"], cycle["last"], strict=True)
            ]
            title = f"{d.name}, cycle {cycle['cycle']}: CC½ {cycle['cc_half']:.4f}, {cycle['removed']} left out"
            figures.append(
                scatter(title, "group of images", "ΔCC½ (%)", np.arange(len(delta)) + 1.0, 100 * delta, who,
                        ["below the cutoff" if v < cycle["cutoff"] else "kept" for v in delta])
            )  # fmt: skip
    section.plots(figures[:24])
    return section


def _raw(html: str) -> Any:
    return type(badge("ok"))(html)


def _shown(value: Any, form: str) -> str:
    return "–" if value is None else format(value, form)
