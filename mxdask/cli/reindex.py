"""``mxdask reindex``."""

from __future__ import annotations

import logging

import numpy as np

from mxdask.cli.dispatch import Words
from mxdask.cli.inputs import read_inputs
from mxdask.cli.lists import save, save_table
from mxdask.cli.logs import step_log
from mxdask.errors import MxdaskError, ParameterError
from mxdask.io.experiments import load
from mxdask.lattice.operators import hkl_of, parse_change_of_basis
from mxdask.lattice.space_groups import parse_space_group
from mxdask.lists import to_reference
from mxdask.lists.reindexing import Params, reindex_list, reindex_table
from mxdask.models import ExperimentList
from mxdask.params import parse
from mxdask.table import ReflectionTable

log = logging.getLogger(__name__)


def run_reindex(command: str, words: Words) -> None:
    """Write ``reindexed.expt`` and ``reindexed.refl``."""
    params = parse(Params, words.assignments)
    assert isinstance(params, Params)
    experiments, table = read_inputs(command, words, reflections=False)
    group = None if params.space_group is None else parse_space_group(params.space_group)
    with step_log(words.output_dir, command):
        if params.reference.experiments is not None:
            changes = _against_reference(experiments, table, params)
        elif params.reference.reflections is not None:
            raise ParameterError("reference.reflections= needs reference.experiments= as well")
        elif params.change_of_basis_op is None:
            raise ParameterError("change_of_basis_op=Auto needs reference.experiments=")
        else:
            changes = [parse_change_of_basis(params.change_of_basis_op)] * len(experiments)
        save(command, words, reindex_list(experiments, changes, group), params.output.experiments)
        if table is not None:
            moved, lost = reindex_table(table, changes, params.hkl_offset)
            if lost:
                log.info("%d of %d reflections have no whole indices in the new axes: set to 0 0 0", lost, len(table))
            save_table(words, moved, params.output.reflections)


def _against_reference(experiments: ExperimentList, table: ReflectionTable | None, params: Params) -> list[np.ndarray]:
    assert params.reference.experiments is not None
    files = [params.reference.reflections] if params.reference.reflections else []
    others, other_table = load([params.reference.experiments], files)
    crystals = [e.crystal for e in others if e.crystal is not None]
    if not crystals:
        raise MxdaskError(f"{params.reference.experiments}: none of its experiments has a crystal")
    reference = crystals[0]
    by_intensity = None
    if other_table is not None:
        if table is None:
            raise ParameterError("reference.reflections= needs the reflections to reindex, too")
        by_intensity = to_reference.merged(list(other_table.split_by("id").values()), reference)
    parts = {} if table is None else table.split_by("id")
    changes = []
    for row, experiment in enumerate(experiments):
        crystal = experiment.crystal
        if crystal is None:
            changes.append(np.eye(3))
            continue
        try:
            if by_intensity is None:
                choices = to_reference.by_orientation(crystal, reference, params.lepage_max_delta)
            elif row in parts:
                choices = to_reference.by_intensities(
                    crystal, parts[row], reference, by_intensity, params.lepage_max_delta
                )
            else:
                raise MxdaskError("it has no reflections")
        except MxdaskError as error:
            raise MxdaskError(f"experiment {row} ({experiment.name}): {error}") from error
        _tell(row, experiment.name, choices, by_intensity is not None)
        changes.append(choices[0].P)
    return changes


def _tell(row: int, name: str, choices: list[to_reference.Choice], intensities: bool) -> None:
    best = choices[0]
    if intensities:
        other = f", next best {choices[1].score:.3f}" if len(choices) > 1 else ", no other choice"
        log.info(
            "experiment %d (%s): %s, cc %.3f over %d reflections%s",
            row,
            name,
            hkl_of(best.P),
            best.score,
            best.n,
            other,
        )
    else:
        log.info("experiment %d (%s): %s, %.3f° from the reference", row, name, hkl_of(best.P), -best.score)
