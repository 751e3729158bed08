"""``merging_statistics``: Table 1 and all that is known per resolution shell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from mxdask.assess.observations import ScaledObservations
from mxdask.assess.svg import Plot, Series, page
from mxdask.intensity.further_statistics import FurtherStatistics, further_statistics
from mxdask.intensity.statistics import MergingStatistics, merging_statistics, shell_edges
from mxdask.intensity.tables import shell_table, summary_table, table1
from mxdask.params import StepParams
from mxdask.text import text_table


class Output(StepParams):
    """Files; None for none."""

    html: str | None = Field("merging_statistics.html", description="curves")
    json_file: str | None = Field("merging_statistics.json", description="all numbers")


class Params(StepParams):
    """Parameters of merging_statistics."""

    n_bins: int = Field(20, ge=1, description="resolution shells of equal volume")
    d_min: float | None = Field(None, gt=0, description="high-resolution limit", json_schema_extra={"unit": "Å"})
    d_max: float | None = Field(None, gt=0, description="low-resolution limit", json_schema_extra={"unit": "Å"})
    space_group: str | None = Field(None, description="merge in this space group; None: that of the data")
    partiality_threshold: float = Field(0.4, ge=0, le=1, description="least recorded fraction of a reflection")
    seed: int = Field(42, ge=0, description="seed of the half sets")
    output: Output = Output()


@dataclass(frozen=True)
class Statistics:
    """Per shell and overall."""

    shells: MergingStatistics
    overall: MergingStatistics
    more: FurtherStatistics
    more_overall: FurtherStatistics


def statistics(observations: ScaledObservations, params: Params) -> Statistics:
    """All statistics of the observations between the resolution limits."""
    data = observations.within(params.d_min, params.d_max).unmerged()
    edges = shell_edges(data, params.n_bins)
    return Statistics(*merging_statistics(data, edges, params.seed), *further_statistics(data, edges, params.seed))


_MORE = ("Rsplit", "unmerged_I_over_sigma", "CC_half_sigma_tau", "CC_half_weighted", "anomalous_completeness",
         "anomalous_multiplicity", "dF_over_F", "delta_I_over_sigma", "anomalous_slope")  # fmt: skip
_HEADER = ("d_min", "Rsplit", "I/sI obs", "cc1/2 st", "cc1/2 w", "anom comp", "anom mult", "dF/F", "dI/s(dI)", "slope")


def log_text(found: Statistics) -> str:
    """The two tables of shells, and Table 1."""
    everything = [{**found.shells.as_lists(), **found.more.as_lists()}]
    everything.append({**found.overall.as_lists(), **found.more_overall.as_lists()})
    rows = []
    for part in everything:
        for i, d_min in enumerate(part["d_min"]):
            cells = ["-" if part[k][i] is None else f"{part[k][i]:.3f}" for k in _MORE]
            rows.append([f"{d_min:.2f}", *cells])
    return "\n\n".join(
        [
            shell_table(found.shells, found.overall),
            text_table(_HEADER, rows, title="More (st: by σ-τ, w: weighted; slope 1: no anomalous signal)"),
            summary_table(table1(found.shells, found.overall)),
        ]
    )  # fmt: skip


def as_data(found: Statistics) -> dict[str, Any]:
    """Everything as plain data."""
    whole = {k: v[0] for k, v in {**found.overall.as_lists(), **found.more_overall.as_lists()}.items()}
    return {
        "overall": whole,
        "shells": {**found.shells.as_lists(), **found.more.as_lists()},
        "table1": table1(found.shells, found.overall),
    }


def statistics_page(found: Statistics) -> str:
    """Curves against resolution."""
    shells, more = found.shells, found.more
    s = 1.0 / shells.d_min**2
    groups: list[tuple[str, str, list[tuple[str, np.ndarray]]]] = [
        ("Correlations", "correlation", [
            ("CC½", shells.CC_half), ("CC½ by σ-τ", shells.CC_half_sigma_tau), ("CC½ weighted", more.CC_half_weighted),
            ("CC anom", shells.CC_anom)]),
        ("R values", "R", [
            ("Rmerge", shells.Rmerge), ("Rmeas", shells.Rmeas), ("Rpim", shells.Rpim), ("Rsplit", more.Rsplit)]),
        ("Signal", "I/σ", [("merged", shells.I_over_sigma), ("unmerged", more.unmerged_I_over_sigma)]),
        ("Completeness", "%", [("all", shells.completeness), ("anomalous", shells.anomalous_completeness)]),
        ("Multiplicity", "n", [("all", shells.multiplicity), ("anomalous", shells.anomalous_multiplicity)]),
        ("Anomalous signal", "", [
            ("ΔF/F", more.dF_over_F), ("ΔI/σ(ΔI)", shells.delta_I_over_sigma), ("slope", more.anomalous_slope)]),
    ]  # fmt: skip
    plots = [
        Plot(title, "resolution / Å", unit, [Series(name, s, values) for name, values in curves], resolution=True)
        for title, unit, curves in groups
    ]
    return page("Merging statistics", plots, log_text(found))
