"""``compare_merging_stats``: Table 1 of several data sets side by side, and their curves in common shells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from mxdask.assess.observations import ScaledObservations
from mxdask.assess.svg import Plot, Series, page
from mxdask.errors import MxdaskError
from mxdask.intensity.merging import Unmerged
from mxdask.intensity.statistics import MergingStatistics, merging_statistics, shell_edges
from mxdask.intensity.tables import summary_table
from mxdask.params import StepParams


class Output(StepParams):
    """Files; None for none."""

    html: str | None = Field("compare_merging_stats.html", description="curves")
    json_file: str | None = Field("compare_merging_stats.json", description="all numbers")


class Params(StepParams):
    """Parameters of compare_merging_stats."""

    plot_labels: tuple[str, ...] = Field((), description="names of the data sets; else those of their files")
    n_bins: int = Field(20, ge=1, description="resolution shells of equal volume, over the range of all data sets")
    d_min: float | None = Field(None, gt=0, description="high-resolution limit", json_schema_extra={"unit": "Å"})
    d_max: float | None = Field(None, gt=0, description="low-resolution limit", json_schema_extra={"unit": "Å"})
    seed: int = Field(42, ge=0, description="seed of the half sets")
    output: Output = Output()


@dataclass(frozen=True)
class Comparison:
    """Per data set: shells (the same for all), everything, and everything within the range that all have (Å)."""

    common: tuple[float, float]
    shells: dict[str, MergingStatistics]
    overall: dict[str, MergingStatistics]
    in_common: dict[str, MergingStatistics]


def compare(sets: Mapping[str, ScaledObservations], params: Params) -> Comparison:
    """Statistics of data sets by name.

    Raises
    ------
    MxdaskError : fewer than two, or no resolution that all have.
    """
    if len(sets) < 2:
        raise MxdaskError("there is only one data set; give several .mtz files, or several pairs of .expt and .refl")
    data = {name: observed.within(params.d_min, params.d_max).unmerged() for name, observed in sets.items()}
    ranges = [(1 / np.sqrt(d.inverse_d_squared.min()), 1 / np.sqrt(d.inverse_d_squared.max())) for d in data.values()]
    low, high = min(r[0] for r in ranges), max(r[1] for r in ranges)
    if low <= high:
        raise MxdaskError(f"the data sets share no resolution: one ends at {low:.2f} Å, another begins at {high:.2f} Å")
    edges = _edges(data, params.n_bins)
    shared = np.array([low * (1 + 1e-6), high * (1 - 1e-6)])
    found = {name: merging_statistics(d, edges, params.seed) for name, d in data.items()}
    return Comparison(
        (float(low), float(high)), {n: f[0] for n, f in found.items()}, {n: f[1] for n, f in found.items()},
        {name: merging_statistics(d, shared, params.seed)[1] for name, d in data.items()},
    )  # fmt: skip


def _edges(data: Mapping[str, Unmerged], n: int) -> np.ndarray:
    """Shells over the range of all data sets; those of the one that reaches farthest where all begin alike."""
    low = min(data.values(), key=lambda d: float(d.inverse_d_squared.min()))
    high = max(data.values(), key=lambda d: float(d.inverse_d_squared.max()))
    ends = [shell_edges(d, 1)[i] for i, d in enumerate((low, high))]
    return 1.0 / np.cbrt(np.linspace(ends[0] ** -3, ends[1] ** -3, n + 1))


def log_text(found: Comparison) -> str:
    """Two tables: all of every data set, and within the range that all have."""
    low, high = found.common
    return "\n\n".join(
        [
            summary_table({name: s.row(0) for name, s in found.overall.items()}),
            f"Between {low:.2f} and {high:.2f} Å, the range that all have:\n"
            + summary_table({name: s.row(0) for name, s in found.in_common.items()}),
        ]
    )


def as_data(found: Comparison) -> dict[str, Any]:
    """Everything as plain data."""
    sets = {
        name: {"overall": found.overall[name].row(0), "in_common": found.in_common[name].row(0), "shells": s.as_lists()}
        for name, s in found.shells.items()
    }
    return {"common_range": list(found.common), "data_sets": sets}


_CURVES = (
    ("CC½", "CC½", "CC_half"), ("I/σ", "merged I/σ", "I_over_sigma"), ("Completeness", "%", "completeness"),
    ("Multiplicity", "observations", "multiplicity"), ("Rmerge", "R", "Rmerge"), ("Rmeas", "R", "Rmeas"),
    ("Rpim", "R", "Rpim"), ("CC anomalous", "CC", "CC_anom"),
)  # fmt: skip


def comparison_page(found: Comparison) -> str:
    """A picture for each quantity, a curve for each data set."""
    plots = []
    for title, unit, key in _CURVES:
        curves = [
            Series(name, 0.5 * (s.d_min**-2 + s.d_max**-2), np.where(s.n_obs > 0, getattr(s, key), np.nan))
            for name, s in found.shells.items()
        ]
        plots.append(Plot(title, "resolution / Å", unit, curves, resolution=True))
    return page("Merging statistics compared", plots, log_text(found))
