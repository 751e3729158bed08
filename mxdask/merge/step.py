"""Merge scaled observations into unique intensities and amplitudes."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Sequence
from typing import Any

import gemmi
import numpy as np

from mxdask import __version__
from mxdask.errors import MxdaskError
from mxdask.flow import Flow
from mxdask.intensity.cells import common_space_group, median_cell
from mxdask.intensity.information import barely_measured
from mxdask.intensity.merging import Merged, Unmerged
from mxdask.intensity.merging import merge as merge_unmerged
from mxdask.intensity.observations import Filters, Observations, best_choice, select_observations
from mxdask.intensity.order import canonical_order
from mxdask.intensity.statistics import merging_statistics, shell_edges
from mxdask.intensity.tables import shell_table, summary_table, table1
from mxdask.merge.assessment import absences, assessment
from mxdask.merge.columns import amplitude_columns, half_columns, intensity_columns
from mxdask.merge.free_flags import free_flags
from mxdask.merge.params import Params
from mxdask.merge.result import Column, Dataset, MergedResult
from mxdask.models import ExperimentList
from mxdask.table import ReflectionTable, match_to_experiments

_log = logging.getLogger(__name__)


def run(
    experiments: ExperimentList, reflections: ReflectionTable | None, params: Params, *, flow: Flow
) -> tuple[ExperimentList, ReflectionTable, dict[str, Any]]:
    """Merge; the data themselves come from :func:`merge`. Experiments and reflections are handed through."""
    (result,) = flow.map(merge, [(experiments, reflections, params)], name="merge")
    if not isinstance(result, MergedResult):
        raise MxdaskError(result.reason)
    assert reflections is not None
    return experiments, reflections, result.summary


def merge(experiments: ExperimentList, reflections: ReflectionTable | None, params: Params) -> MergedResult:
    """Merged intensities (and amplitudes) of all experiments; one data set per wavelength.

    Raises
    ------
    MxdaskError : no reflections, no common space group, or nothing usable.
    """
    if reflections is None or len(reflections) == 0:
        raise MxdaskError("there are no reflections to merge; give a scaled .refl file")
    table = match_to_experiments(reflections, experiments.identifiers)
    space_group = common_space_group(experiments)
    cell = gemmi.UnitCell(*params.best_unit_cell) if params.best_unit_cell else median_cell(experiments)
    choice = best_choice(table)
    if choice != "scale":
        _log.warning("The reflections are not scaled (run `mxdask scale` first): %s intensities are merged", choice)
    filters = Filters(params.d_min, params.d_max, params.partiality_threshold, None, params.combine_partials)
    observations = select_observations(table, choice, filters)
    rank = np.argsort(canonical_order(experiments.experiments))  # sums are made in it, however the crystals are listed
    observations = observations.select(np.argsort(rank[observations.experiment], kind="stable"))
    if len(observations) == 0:
        raise MxdaskError("no reflection is fit for merging (flags, partiality, resolution); was scaling successful?")
    _log.info("Merging %d of %d reflections in %s", len(observations), len(table), space_group.short_name())
    waves = wavelength_groups([e.beam.wavelength if e.beam else 0.0 for e in experiments], params.wavelength_tolerance)
    parts = []
    for wavelength, members in waves:
        mine = observations if len(waves) == 1 else observations.select(np.isin(observations.experiment, members))
        if len(mine):
            parts.append((wavelength, _merge_one(mine, cell, space_group, params, [e.name for e in experiments])))
    hkl, columns = _join([p[1][:2] for p in parts])
    if params.r_free_flags.generate or params.r_free_flags.reference is not None:
        columns.append(Column("FreeR_flag", "I", free_flags(hkl, cell, space_group, params.r_free_flags)))
    names = params.output
    datasets = tuple(
        Dataset(
            names.project_name, _name(names.crystal_names, i, len(parts)), _name(names.dataset_names, i, len(parts)), w
        )
        for i, (w, _) in enumerate(parts)
    )  # fmt: skip
    summary: dict[str, Any] = {
        "step": "merge", "space_group": space_group.short_name(), "cell": list(cell.parameters), "intensity": choice,
        "wavelengths": [w for w, _ in parts], "n_observations": len(observations), "n_unique": len(hkl),
        "rows": [{"wavelength": w, "status": "ok", "reason": "", **p[2]["overall"]} for w, p in parts],
        **parts[0][1][2],
    }  # fmt: skip
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    history = (f"From mxdask {__version__}, merge, {stamp}", *experiments.history[-8:])
    return MergedResult(
        hkl, tuple(columns), datasets, cell, space_group, f"From mxdask {__version__}", history, summary
    )


def wavelength_groups(wavelengths: Sequence[float], tolerance: float) -> list[tuple[float, list[int]]]:
    """Mean wavelength and members of each group; a group ends where the gap to the next is above the tolerance."""
    order = np.argsort(wavelengths, kind="stable")
    groups: list[list[int]] = []
    for i in order:
        if groups and wavelengths[i] - wavelengths[groups[-1][-1]] <= tolerance:
            groups[-1].append(int(i))
        else:
            groups.append([int(i)])
    return [(float(np.mean([wavelengths[i] for i in g])), sorted(g)) for g in groups]


def _merge_one(
    observations: Observations,
    cell: gemmi.UnitCell,
    space_group: gemmi.SpaceGroup,
    params: Params,
    names: Sequence[str],
) -> tuple[Merged, list[Column], dict[str, Any]]:
    """One wavelength: merged data, columns, statistics (also printed); ``names`` of all experiments."""
    data = Unmerged.of(observations.hkl, observations.intensity, observations.variance, cell, space_group)
    if params.max_relative_sigma is not None:
        observations = observations.select(_well_measured(data, params.max_relative_sigma))
        data = Unmerged.of(observations.hkl, observations.intensity, observations.variance, cell, space_group)
    merged = merge_unmerged(data)
    if params.assess_space_group:
        _log.info(absences(data, merged))
    columns = intensity_columns(merged, params.anomalous)
    if params.output.additional_stats:
        columns += half_columns(data, params.seed)
    told: dict[str, Any] = {}
    if params.truncate:
        more, told = amplitude_columns(merged, params.anomalous, params.french_wilson)
        columns += more
        _log.info(
            "French-Wilson amplitudes: %d, rejected as too negative: %d", told["n_amplitudes"], told["n_rejected"]
        )
    shells, overall = merging_statistics(data, shell_edges(data, params.merging.n_bins), params.seed)
    columns1 = table1(shells, overall)
    _log.info(shell_table(shells, overall))
    _log.info(summary_table(columns1))
    return merged, columns, {
        "shells": shells.as_lists(), "overall": overall.row(0), "table1": columns1, "french_wilson": told,
        **assessment(data, merged, observations.experiment, observations.xyz[:, 2], names, params.n_residues),
    }  # fmt: skip


def _well_measured(data: Unmerged, max_relative_sigma: float) -> np.ndarray:
    """(n,) bool: not of a reflection whose error is far above what its resolution makes one expect."""
    bad = barely_measured(data, max_relative_sigma)
    if bad.any():
        _log.info(
            "Left out %d of %d unique reflections that are hardly measured (σ above %g × mean intensity around them)",
            int(bad.sum()), len(bad), max_relative_sigma,
        )  # fmt: skip
    return ~bad[data.asu.group]


def _join(parts: Sequence[tuple[Merged, list[Column]]]) -> tuple[np.ndarray, list[Column]]:
    """Columns of several wavelengths side by side on the union of their reflections: ``I_WAVE1(+)``, as in DIALS."""
    if len(parts) == 1:
        return parts[0][0].hkl, list(parts[0][1])
    hkl, inverse = np.unique(np.concatenate([m.hkl for m, _ in parts]), axis=0, return_inverse=True)
    out, at = [], 0
    for i, (merged, columns) in enumerate(parts):
        rows = inverse[at : at + len(merged.hkl)]
        at += len(merged.hkl)
        for column in columns:
            values = np.full(len(hkl), np.nan)
            values[rows] = column.values
            name, bracket, hand = column.label.partition("(")
            out.append(Column(f"{name}{_suffix(i, len(parts))}{bracket}{hand}", column.type, values, i))
    return hkl.astype(np.int32), out


def _name(given: Sequence[str], index: int, n: int) -> str:
    """Of a crystal or data set: one name for each wavelength, or the first with a suffix."""
    return given[index] if len(given) == n else given[0] + _suffix(index, n)


def _suffix(index: int, n: int) -> str:
    return "" if n == 1 else f"_WAVE{index + 1}"
