"""Data sets side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mxdask.multiplex.dataset import DataSet
from mxdask.text import text_table

_NUMBERS = (
    ("d_min", "d_min", ".2f"), ("completeness", "%comp", ".1f"), ("multiplicity", "mult.", ".1f"),
    ("I_over_sigma", "I/sigma", ".1f"), ("Rmeas", "Rmeas", ".3f"), ("Rpim", "Rpim", ".3f"),
    ("CC_half", "CC1/2", ".4f"), ("CC_anom", "CCanom", ".3f"), ("n_obs", "#obs", "d"), ("n_unique", "#uniq", "d"),
)  # fmt: skip


def comparison_rows(datasets: Sequence[DataSet]) -> list[dict[str, Any]]:
    """One row per data set: who is in it and how good it is."""
    rows = []
    for d in datasets:
        used = len(d.crystals) - len(d.filtered) - len(d.unscaled)
        table1 = (d.merge or d.scale).get("table1") or {}
        rows.append(
            {
                "name": d.name, "form": d.form, "group": d.group, "n_crystals": used, "merged": d.merged,
                "reason": d.reason, "space_group": d.scale.get("space_group"), "cell": d.scale.get("cell"),
                "crystals": [c for c in d.crystals if c not in d.filtered and c not in d.unscaled],
                **{name: d.overall.get(name) for name, _, _ in _NUMBERS}, "table1": table1,
            }
        )  # fmt: skip
    return rows


def comparison_table(datasets: Sequence[DataSet]) -> str:
    """The same as text."""
    rows = [
        [r["name"], str(r["n_crystals"]), r["space_group"] or "-", *(_shown(r[n], f) for n, _, f in _NUMBERS)]
        for r in comparison_rows(datasets)
    ]
    return text_table(("Data set", "crystals", "group", *(h for _, h, _ in _NUMBERS)), rows, title="Data sets")


def _shown(value: Any, form: str) -> str:
    return "-" if value is None else format(value, form)
