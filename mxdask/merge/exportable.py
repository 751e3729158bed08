"""The observations that an unmerged file holds, whatever its format (back.md 15.2)."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import gemmi

from mxdask.errors import MxdaskError
from mxdask.intensity.cells import common_space_group, median_cell
from mxdask.intensity.observations import Choice, Filters, Observations, best_choice, select_observations
from mxdask.merge.export_params import MtzParams
from mxdask.models import ExperimentList
from mxdask.table import ReflectionTable, match_to_experiments

_log = logging.getLogger(__name__)

_KINDS: dict[str, Choice] = {"scale": "scale", "profile": "prf", "sum": "sum", "profile+sum": "prf+sum"}


@dataclass(frozen=True)
class Exportable:
    """Observations of all experiments, corrected and filtered.

    Attributes
    ----------
    table : the reflections they were chosen from, ``id`` matched to the experiments.
    choice : which intensities. space_group, cell : of all crystals.
    """

    experiments: ExperimentList
    table: ReflectionTable
    observations: Observations
    choice: Choice
    space_group: gemmi.SpaceGroup
    cell: gemmi.UnitCell


def exportable(
    experiments: ExperimentList,
    reflections: ReflectionTable | None,
    params: MtzParams,
    intensity: str = "auto",
    *,
    unscaled: bool = False,
) -> Exportable:
    """Choose what to export.

    Parameters
    ----------
    intensity : auto, scale, profile, sum or profile+sum.
    unscaled : auto means profile-fitted (else summed) intensities even where there are scaled ones.

    Raises
    ------
    MxdaskError : nothing to export, or no common space group.
    """
    if reflections is None or len(reflections) == 0:
        raise MxdaskError("there are no reflections to export; give a scaled or integrated .refl file")
    table = match_to_experiments(reflections, experiments.identifiers)
    choice = _choice(table, intensity, unscaled)
    space_group = common_space_group(experiments)
    best = params.best_unit_cell
    filters = Filters(
        params.d_min, None, params.partiality_threshold, params.min_isigi, params.combine_partials,
        params.filter_ice_rings,
    )  # fmt: skip
    observations = select_observations(table, choice, filters)
    if len(observations) == 0:
        raise MxdaskError(f"no reflection is fit for export of {choice} intensities (flags, partiality, resolution)")
    _log.info("Exporting %d of %d reflections (%s intensities)", len(observations), len(table), choice)
    return Exportable(
        experiments, table, observations, choice, space_group,
        gemmi.UnitCell(*best) if best else median_cell(experiments),
    )  # fmt: skip


def with_partials_apart(params: MtzParams) -> MtzParams:
    """The same choice, but every recorded piece of a reflection for itself, however small."""
    return params.model_copy(update={"combine_partials": False, "partiality_threshold": 0.0})


def _choice(table: ReflectionTable, intensity: str, unscaled: bool) -> Choice:
    if intensity != "auto":
        return _KINDS[intensity]
    if unscaled:
        return "prf" if "intensity.prf.value" in table else "sum"
    choice = best_choice(table)
    if choice == "prf+sum" and "intensity.sum.value" not in table:
        return "prf"  # data processed elsewhere
    return choice
