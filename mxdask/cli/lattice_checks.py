"""``mxdask check_indexing_symmetry`` and ``mxdask compare_orientation_matrices``."""

from __future__ import annotations

import logging
from dataclasses import replace

from mxdask.bravais import indexing_symmetry, orientations
from mxdask.bravais.plan import crystals_of
from mxdask.cli.dispatch import Words
from mxdask.cli.inputs import read_inputs
from mxdask.cli.logs import step_log
from mxdask.lattice.space_groups import parse_space_group
from mxdask.models.crystal import hall_of
from mxdask.params import parse

log = logging.getLogger(__name__)


def run_check_symmetry(command: str, words: Words) -> None:
    """Print, for every experiment, the correlation of mates and of offset indices."""
    params = parse(indexing_symmetry.Params, words.assignments)
    assert isinstance(params, indexing_symmetry.Params)
    experiments, reflections = read_inputs(command, words)
    assert reflections is not None
    by_experiment = reflections.split_by("id")
    with step_log(words.output_dir, command):
        for row, experiment in enumerate(experiments):
            if experiment.crystal is None or row not in by_experiment:
                log.info("experiment %d (%s): no indexed reflections\n", row, experiment.name)
                continue
            table = indexing_symmetry.within(by_experiment[row], experiment.crystal, params.d_min, params.d_max)
            log.info("experiment %d (%s): %d indexed reflections\n", row, experiment.name, len(table))
            reach = indexing_symmetry.reach_of(params)
            if any(reach):
                tests = indexing_symmetry.offset_tests(table, reach)
                log.info("Origin of the indices:\n%s\n", indexing_symmetry.offset_table(tests, params.symop_threshold))
            operators = indexing_symmetry.operators_of(experiment.crystal, params)
            found = indexing_symmetry.operator_tests(table, operators)
            log.info("Operators:\n%s\n", indexing_symmetry.operator_table(found, params.symop_threshold))


def run_compare(command: str, words: Words) -> None:
    """Print the rotation between every two crystals."""
    params = parse(orientations.Params, words.assignments)
    assert isinstance(params, orientations.Params)
    experiments, _ = read_inputs(command, words, reflections=False)
    crystals = [crystal for crystal, _ in crystals_of(experiments)]
    if params.space_group is not None:
        hall = hall_of(parse_space_group(params.space_group))
        crystals = [replace(crystal, space_group_hall=hall) for crystal in crystals]
    operators = [orientations.symmetry_operators(crystal, params) for crystal in crystals]
    with step_log(words.output_dir, command):
        pairs = list(orientations.misorientations(crystals, operators, params.comparison))
        log.info("%s", orientations.report(crystals, pairs, params.hkl) or "one crystal only: nothing to compare")
