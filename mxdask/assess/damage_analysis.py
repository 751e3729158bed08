"""``damage_analysis``: parameters, doses, what is told."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from mxdask.assess.observations import ScaledObservations
from mxdask.assess.svg import Plot, Series, page
from mxdask.errors import ParameterError
from mxdask.intensity.damage import DamageStatistics, damage_statistics
from mxdask.params import StepParams
from mxdask.text import text_table


class ExperimentDoses(StepParams):
    """What every sweep was given."""

    dose_per_image: tuple[float, ...] = Field((1.0,), description="one for all sweeps, or one for each")
    starting_doses: tuple[float, ...] | None = Field(None, description="dose before each sweep; None: 0")
    shared_crystal: bool = Field(False, description="all sweeps are of one crystal, in this order: doses add up")


class Dose(StepParams):
    """Doses, in any unit."""

    experiments: ExperimentDoses = ExperimentDoses()


class Range(StepParams):
    """Steps of dose."""

    width: float = Field(1.0, gt=0, description="width of a step")
    min: float | None = Field(None, description="least dose")
    max: float | None = Field(None, description="largest dose")


class Output(StepParams):
    """Files; None for none."""

    html: str | None = Field("damage_analysis.html", description="curves")
    json_file: str | None = Field("damage_analysis.json", description="all numbers")


class Params(StepParams):
    """Parameters of damage_analysis."""

    dose: Dose = Dose()
    range: Range = Range()
    resolution_bins: int = Field(8, ge=1, description="shells, equal in 1/d²")
    anomalous: bool = Field(False, description="compare observations of one hand only")
    d_min: float | None = Field(None, gt=0, description="high-resolution limit", json_schema_extra={"unit": "Å"})
    d_max: float | None = Field(None, gt=0, description="low-resolution limit", json_schema_extra={"unit": "Å"})
    output: Output = Output()


def analyse(observations: ScaledObservations, params: Params) -> DamageStatistics:
    """Statistics of observations against dose.

    Raises
    ------
    ParameterError : not one dose per sweep, or no observation within the range of doses.
    """
    data = observations.within(params.d_min, params.d_max)
    dose = doses(data, params.dose.experiments)
    low, high = params.range.min, params.range.max
    keep = (dose >= (-np.inf if low is None else low)) & (dose <= (np.inf if high is None else high))
    if not keep.any():
        raise ParameterError(f"no observation has a dose in this range; doses are {dose.min():g} to {dose.max():g}")
    return damage_statistics(
        data.select(keep).unmerged(), dose[keep], params.resolution_bins, params.range.width,
        anomalous=params.anomalous,
    )  # fmt: skip


def doses(data: ScaledObservations, given: ExperimentDoses) -> np.ndarray:
    """(n,) dose at the end of the image of each observation: images × dose per image + what came before."""
    n, image = len(data.names), np.maximum(np.ceil(data.z), 1.0)
    each = np.array(given.dose_per_image * n if len(given.dose_per_image) == 1 else given.dose_per_image)
    if len(each) != n:
        raise ParameterError(f"dose_per_image: {len(each)} values for {n} sweeps; give one, or one for each")
    before = np.zeros(n)
    if given.shared_crystal:
        images = np.zeros(n)
        np.maximum.at(images, data.sweep, image)
        before = np.concatenate([[0.0], np.cumsum(images * each)[:-1]])
    elif given.starting_doses is not None:
        if len(given.starting_doses) != n:
            raise ParameterError(f"starting_doses: {len(given.starting_doses)} values for {n} sweeps")
        before = np.array(given.starting_doses)
    return np.asarray(image * each[data.sweep] + before[data.sweep])


def log_text(found: DamageStatistics, n_rows: int = 12) -> str:
    """Some steps of dose, evenly spread."""
    rows = [
        (f"{found.dose[i]:g}", *(f"{v[i]:.3f}" for v in (found.completeness, found.completeness_both)),
         *(f"{v[i]:.4f}" for v in (found.rcp, found.scp)), f"{found.dose[i] - found.dose[0]:g}", f"{found.rd[i]:.4f}")
        for i in np.unique(np.linspace(0, len(found.dose) - 1, n_rows).astype(int))
    ]  # fmt: skip
    header = ("dose", "completeness", "both hands", "Rcp", "Scp", "difference", "Rd")
    return text_table(header, rows, title="Up to each dose; Rd: pairs this difference of dose apart")


def as_data(found: DamageStatistics) -> dict[str, Any]:
    """Everything as plain data."""
    return {name: getattr(found, name).tolist() for name in found.__dataclass_fields__}


def damage_page(found: DamageStatistics) -> str:
    """Rcp, Scp, Rd and completeness against dose."""
    shells = [f"{a:.2f}–{b:.2f} Å" for a, b in zip(found.d_edges[:-1], found.d_edges[1:], strict=True)]

    def plot(title: str, y: str, whole: list[tuple[str, np.ndarray]], parts: np.ndarray | None) -> Plot:
        curves = [Series(name, found.dose, values) for name, values in whole]
        if parts is not None:
            curves += [Series(n, found.dose, v, dashed=True) for n, v in zip(shells, parts, strict=True)]
        return Plot(title, "dose", y, curves)

    hands = [("either", found.completeness), ("both", found.completeness_both),
             ("I+", found.completeness_plus), ("I−", found.completeness_minus)]  # fmt: skip
    plots = [
        plot("Completeness", "fraction", hands, None),
        plot("Completeness in shells", "fraction", [("all", found.completeness)], found.completeness_shells),
        plot("Rcp: R of pairs up to this dose", "Rcp", [("all", found.rcp)], found.rcp_shells),
        plot("Scp: Rcp over what the errors make one expect", "Scp", [("all", found.scp)], found.scp_shells),
        Plot("Rd: R of pairs by difference of dose", "difference of dose", "Rd",
             [Series("Rd", found.dose - found.dose[0], found.rd)]),
    ]  # fmt: skip
    return page("Radiation damage", plots, log_text(found))
