"""Symmetry scores as tables for logs and as plain data for reports."""

from __future__ import annotations

from typing import Any

from mxdask.intensity.symmetry_scores import GroupScore, OperatorScore, stars
from mxdask.text import text_table


def operator_rows(operators: list[OperatorScore]) -> list[dict[str, Any]]:
    """Plain data, one dictionary per operator."""
    return [
        {
            "operator": o.name,
            "likelihood": o.likelihood,
            "z_cc": o.z,
            "cc": o.cc,
            "n": o.n,
            "stars": stars(o.likelihood),
        }
        for o in operators
    ]


def group_rows(groups: list[GroupScore]) -> list[dict[str, Any]]:
    """Plain data, one dictionary per Laue group, the likeliest first."""
    return [
        {
            "patterson_group": g.setting.patterson_symbol,
            "likelihood": g.likelihood,
            "confidence": g.confidence,
            "z_cc_net": g.z_net,
            "z_cc_for": g.z_for,
            "z_cc_against": g.z_against,
            "cc_for": g.cc_for,
            "cc_against": g.cc_against,
            "max_angular_difference": g.setting.delta,
            "cb_op": g.setting.cb_op,
            "stars": stars(g.likelihood),
        }
        for g in groups
    ]


def operator_table(operators: list[OperatorScore], *, with_counts: bool) -> str:
    """Likelihood, Z and CC of every operator."""
    header = ["likelihood", "Z-CC", "CC", *(["N"] if with_counts else []), "", "Operator"]
    rows = [
        [
            f"{o.likelihood:.3f}", f"{o.z:.2f}", f"{o.cc:.2f}", *([str(o.n)] if with_counts else []),
            stars(o.likelihood), o.name,
        ]
        for o in operators
    ]  # fmt: skip
    return text_table(header, rows, title="Scoring individual symmetry elements")


def group_table(groups: list[GroupScore]) -> str:
    """Likelihood and Z of every Laue group, the likeliest first."""
    header = ["Patterson group", "", "Likelihood", "NetZcc", "Zcc+", "Zcc-", "CC", "CC-", "delta", "Reindex operator"]
    rows = [
        [
            g.setting.patterson_symbol, stars(g.likelihood), f"{g.likelihood:.3f}", f"{g.z_net:.2f}", f"{g.z_for:.2f}",
            f"{g.z_against:.2f}", f"{g.cc_for:.2f}", f"{g.cc_against:.2f}", f"{g.setting.delta:.2f}", g.setting.cb_op,
        ]
        for g in groups
    ]  # fmt: skip
    return text_table(header, rows, title="Scoring all possible sub-groups")
