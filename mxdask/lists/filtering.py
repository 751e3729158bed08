"""Rows of a reflection table by flags, resolution, experiment, panel, partiality, dead time, ice rings."""

from __future__ import annotations

import logging

import numpy as np
from pydantic import Field

from mxdask.errors import MxdaskError, ParameterError
from mxdask.intensity.observations import Filters, best_choice, select_observations
from mxdask.lattice.powder import ICE_CELL, near_lines, powder_lines
from mxdask.lattice.space_groups import parse_space_group
from mxdask.lists.flag_expression import evaluate
from mxdask.models import ExperimentList
from mxdask.params import StepParams
from mxdask.table import ReflectionTable

log = logging.getLogger(__name__)


class Partiality(StepParams):
    min: float | None = Field(None, ge=0, le=1, description="Smallest recorded fraction")
    max: float | None = Field(None, ge=0, le=1, description="Largest recorded fraction")


class DeadTime(StepParams):
    value: float = Field(0, ge=0, description="Dead time at the end of each image", json_schema_extra={"unit": "ms"})
    reject_fraction: float = Field(
        0, ge=0, le=1, description="Reject reflections that diffract for more than this fraction in the dead time"
    )


class IceRings(StepParams):
    filter: bool = Field(False, description="Reject reflections on ice rings")
    unit_cell: tuple[float, float, float, float, float, float] = Field(
        ICE_CELL, description="Of ice", json_schema_extra={"unit": "Å, °"}
    )
    space_group: str = Field("194", description="Of ice")
    width: float = Field(0.002, gt=0, description="Full width of a ring in 1/d²", json_schema_extra={"unit": "Å⁻²"})
    d_min: float | None = Field(None, gt=0, description="Rings up to here", json_schema_extra={"unit": "Å"})


class Output(StepParams):
    reflections: str = Field("filtered.refl", description="File of the reflections")


class Params(StepParams):
    """Parameters of filter_reflections."""

    flag_expression: str | None = Field(
        None, description="Flags joined by & (and), | (or), ~ (not), as 'integrated_sum & ~overloaded'"
    )
    id: tuple[int, ...] = Field((), description="Experiments to keep (rows of the experiment list)")
    panel: tuple[int, ...] = Field((), description="Panels to keep")
    d_min: float | None = Field(None, gt=0, description="Smallest d to keep", json_schema_extra={"unit": "Å"})
    d_max: float | None = Field(None, gt=0, description="Largest d to keep", json_schema_extra={"unit": "Å"})
    partiality: Partiality = Partiality()
    select_good_intensities: bool = Field(False, description="Only what scaling and merging would use")
    dead_time: DeadTime = DeadTime()
    ice_rings: IceRings = IceRings()
    output: Output = Output()


def filter_reflections(
    reflections: ReflectionTable, params: Params, experiments: ExperimentList | None = None
) -> ReflectionTable:
    """Rows that pass all filters; each filter's count is logged.

    Parameters
    ----------
    experiments : needed by d_min, d_max and ice rings where the table has no ``d``, and for dead time.

    Raises
    ------
    ParameterError : a filter needs experiments or columns that are not there.
    """
    table = reflections
    if params.flag_expression is not None:
        table = _keep(table, evaluate(params.flag_expression, table), "by flags")
    if params.id:
        table = _keep(table, np.isin(table["id"], params.id), "of the experiments chosen")
    if params.panel:
        table = _keep(table, np.isin(table["panel"], params.panel), "on the panels chosen")
    if params.d_min is not None or params.d_max is not None:
        d = resolution(table, experiments)
        if params.d_min is not None:
            keep = d >= params.d_min
            table, d = _keep(table, keep, f"with d >= {params.d_min:g} Å"), d[keep]
        if params.d_max is not None:
            table = _keep(table, d <= params.d_max, f"with d <= {params.d_max:g} Å")
    if params.partiality.min is not None:
        table = _keep(table, table["partiality"] >= params.partiality.min, "recorded enough")
    if params.partiality.max is not None:
        table = _keep(table, table["partiality"] <= params.partiality.max, "partial enough")
    if params.select_good_intensities:
        good = select_observations(table, best_choice(table), Filters(combine_partials=False))
        table = _keep(table, np.isin(np.arange(len(table)), good.row), "good to scale")
    if params.dead_time.value > 0:
        table = _keep(table, ~in_dead_time(table, experiments, params.dead_time), "outside the dead time")
    if params.ice_rings.filter:
        table = _keep(table, ~on_ice(resolution(table, experiments), params.ice_rings), "off ice rings")
    return table


def _keep(table: ReflectionTable, mask: np.ndarray, what: str) -> ReflectionTable:
    log.info("%d of %d reflections %s", np.count_nonzero(mask), len(table), what)
    return table.select(mask)


def resolution(table: ReflectionTable, experiments: ExperimentList | None) -> np.ndarray:
    """(n,) d in Å: the column ``d``, or from indices and cells; rows without either get infinity."""
    if "d" in table:
        return table["d"]
    if experiments is None or "miller_index" not in table:
        raise ParameterError("d_min, d_max and ice_rings need indexed reflections and their .expt file")
    q = np.zeros(len(table))
    for row, experiment in enumerate(experiments):
        mine = table["id"] == row
        if experiment.crystal is not None:
            q[mine] = np.linalg.norm(table["miller_index"][mine] @ experiment.crystal.A.T, axis=1)
    with np.errstate(divide="ignore"):
        return 1.0 / q


def on_ice(d: np.ndarray, ice: IceRings) -> np.ndarray:
    """(n,) resolutions (Å) within half a width of a powder line of ice, in 1/d²."""
    s = 1.0 / np.square(d)
    d_min = ice.d_min if ice.d_min is not None else 1.0 / np.sqrt(s.max(initial=1e-4))
    lines = powder_lines(ice.unit_cell, parse_space_group(ice.space_group), d_min * (1 - 1e-6))
    return near_lines(s, lines, ice.width / 2)


def in_dead_time(table: ReflectionTable, experiments: ExperimentList | None, dead: DeadTime) -> np.ndarray:
    """(n,) reflections that diffract (box along φ) for too large a fraction during dead times.

    The dead time is the last ``value`` ms of every image's exposure.
    """
    if experiments is None:
        raise ParameterError("dead_time needs the .expt file")
    out = np.zeros(len(table), dtype=bool)
    for row, experiment in enumerate(experiments):
        mine = np.flatnonzero(table["id"] == row)
        if not len(mine):
            continue
        if experiment.scan is None or not experiment.scan.exposure_times or experiment.profile is None:
            raise MxdaskError(f"{experiment.name}: dead_time needs exposure times and the profile model of integration")
        exposure = np.median(experiment.scan.exposure_times)
        if exposure <= 0:
            raise MxdaskError(f"{experiment.name}: its images have no exposure time")
        sigma_m = float(np.median(experiment.profile["sigma_m"]))
        zeta = np.maximum(np.abs(table["zeta"][mine]), 1e-6)
        half = experiment.profile.get("n_sigma", 3.0) * sigma_m / zeta / abs(experiment.scan.width)
        z = table["xyzcal.px"][mine, 2]
        fraction = min(dead.value / 1000.0 / float(exposure), 1.0)
        low, high = z - half, z + half
        out[mine] = (_dead_until(high, fraction) - _dead_until(low, fraction)) / (high - low) > dead.reject_fraction
    return out


def _dead_until(z: np.ndarray, fraction: float) -> np.ndarray:
    """Integral over frames, from 0 to z, of a function that is 1 in the last ``fraction`` of every frame."""
    whole = np.floor(z)
    return whole * fraction + np.maximum(z - whole - (1 - fraction), 0.0)
