"""Merging statistics as people read them."""

from __future__ import annotations

from typing import Any

from mxdask.intensity.statistics import MergingStatistics
from mxdask.text import text_table

_HEADER = (
    "d_max", "d_min", "#obs", "#uniq", "mult.", "%comp", "<I>", "<I/sI>", "r_mrg", "r_meas", "r_pim", "r_anom", "cc1/2",
    "cc_ano",
)  # fmt: skip

_SUMMARY = (
    ("High resolution limit", "d_min", ".2f"),
    ("Low resolution limit", "d_max", ".2f"),
    ("Completeness", "completeness", ".1f"),
    ("Multiplicity", "multiplicity", ".1f"),
    ("I/sigma", "I_over_sigma", ".1f"),
    ("Rmerge(I)", "Rmerge", ".3f"),
    ("Rmeas(I)", "Rmeas", ".3f"),
    ("Rpim(I)", "Rpim", ".3f"),
    ("CC half", "CC_half", ".3f"),
    ("Anomalous completeness", "anomalous_completeness", ".1f"),
    ("Anomalous multiplicity", "anomalous_multiplicity", ".1f"),
    ("Anomalous correlation", "CC_anom", ".3f"),
    ("dI/s(dI)", "delta_I_over_sigma", ".3f"),
    ("Total observations", "n_obs", "d"),
    ("Total unique", "n_unique", "d"),
)


def shell_table(shells: MergingStatistics, overall: MergingStatistics) -> str:
    """One line per resolution shell and one for all; a star marks a correlation better than chance."""
    rows = [_shell_row(shells.row(i)) for i in range(len(shells.d_min))] + [_shell_row(overall.row(0))]
    return text_table(_HEADER, rows, title="Merging statistics by resolution shell")


def summary_table(table1: dict[str, dict[str, Any]]) -> str:
    """Table 1: a column for each of the given sets of numbers (overall, low, high, or names of data sets)."""
    rows = [[label, *(_number(column[name], form) for column in table1.values())] for label, name, form in _SUMMARY]
    heads = [name.capitalize() if name in ("overall", "low", "high") else name for name in table1]
    return text_table(["", *heads], rows, title="Summary of merging statistics")


def table1(shells: MergingStatistics, overall: MergingStatistics) -> dict[str, dict[str, Any]]:
    """Overall, innermost and outermost shell as plain numbers."""
    return {"overall": overall.row(0), "low": shells.row(0), "high": shells.row(len(shells.d_min) - 1)}


def _shell_row(r: dict[str, Any]) -> list[str]:
    return [
        _number(r["d_max"], ".2f"), _number(r["d_min"], ".2f"), str(r["n_obs"]), str(r["n_unique"]),
        _number(r["multiplicity"], ".2f"), _number(r["completeness"], ".2f"), _number(r["mean_I"], ".1f"),
        _number(r["I_over_sigma"], ".1f"), *(_number(r[k], ".3f") for k in ("Rmerge", "Rmeas", "Rpim", "Ranom")),
        _number(r["CC_half"], ".3f") + ("*" if r["CC_half_significant"] else ""),
        _number(r["CC_anom"], ".3f") + ("*" if r["CC_anom_significant"] else ""),
    ]  # fmt: skip


def _number(value: Any, form: str) -> str:
    return "-" if value is None else format(value, form)
