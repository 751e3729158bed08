"""Commands on lists of experiments and tables of reflections: join, cut, filter, rename, override."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from mxdask.cli.dispatch import Words
from mxdask.cli.inputs import read_inputs
from mxdask.cli.logs import step_log
from mxdask.errors import ParameterError
from mxdask.io.expt import write_expt
from mxdask.io.refl import read_refl, write_refl
from mxdask.lists import combine, filtering, identifiers, modify, slicing, split, tables
from mxdask.lists.flag_expression import count_flags
from mxdask.models import ExperimentList
from mxdask.params import parse
from mxdask.table import ReflectionTable
from mxdask.text import text_table

log = logging.getLogger(__name__)


def save(command: str, words: Words, experiments: ExperimentList | None, name: str) -> None:
    """Write experiments into the output folder and say so."""
    if experiments is not None:
        path = words.output_dir / name
        write_expt(path, experiments, program=f"mxdask.{command}")
        log.info("wrote %s: %d experiments", path, len(experiments))


def save_table(words: Words, table: ReflectionTable | None, name: str) -> None:
    """Write reflections into the output folder and say so."""
    if table is not None:
        path = words.output_dir / name
        write_refl(path, table)
        log.info("wrote %s: %d reflections", path, len(table))


def _added(name: str, addition: str) -> str:
    path = Path(name)
    return str(path.with_name(path.stem + addition + path.suffix))


def run_combine(command: str, words: Words) -> None:
    """Write ``combined.expt`` and ``combined.refl`` (with clusters or batches: one pair each)."""
    params = parse(combine.Params, words.assignments)
    assert isinstance(params, combine.Params)
    experiments, reflections = read_inputs(command, words)
    assert reflections is not None
    with step_log(words.output_dir, command):
        for addition, part, table in combine.combine(experiments, reflections, params):
            counts = np.bincount(table["id"][table["id"] >= 0], minlength=len(part))
            rows = [(i, e.name, int(n)) for i, (e, n) in enumerate(zip(part, counts, strict=True))]
            log.info("%s", text_table(("experiment", "sweep", "reflections"), rows))
            save(command, words, part, _added(params.output.experiments_filename, addition))
            save_table(words, table, _added(params.output.reflections_filename, addition))


def run_split(command: str, words: Words) -> None:
    """Write ``split_N.expt`` and ``split_N.refl``."""
    params = parse(split.Params, words.assignments)
    assert isinstance(params, split.Params)
    experiments, reflections = read_inputs(command, words, reflections=False)
    with step_log(words.output_dir, command):
        for part in split.split(experiments, reflections, params):
            save(command, words, part.experiments, f"{params.output.experiments_prefix}_{part.label}.expt")
            save_table(words, part.reflections, f"{params.output.reflections_prefix}_{part.label}.refl")


def run_slice(command: str, words: Words) -> None:
    """Write ``NAME_FIRST_LAST.expt`` and ``.refl`` (one range for all) or ``NAME_sliced.*``."""
    params = parse(slicing.Params, words.assignments)
    assert isinstance(params, slicing.Params)
    experiments, reflections = read_inputs(command, words, reflections=False)
    with step_log(words.output_dir, command):
        sliced, table = slicing.slice_list(experiments, reflections, slicing.pieces(experiments, params))
        addition = "_sliced" if len(params.image_range) != 1 else "_{}_{}".format(*params.image_range[0])
        for suffix, given in (
            (".expt", params.output.experiments_filename),
            (".refl", params.output.reflections_filename),
        ):
            first = next((f for f in words.files if f.endswith(suffix)), None)
            name = given or f"{Path(first).stem if first else 'sliced'}{addition}{suffix}"
            if suffix == ".expt":
                save(command, words, sliced, name)
            else:
                save_table(words, table, name)


def run_filter(command: str, words: Words) -> None:
    """Write ``filtered.refl``; without any filter print the flags that occur."""
    params = parse(filtering.Params, words.assignments)
    assert isinstance(params, filtering.Params)
    refl = [f for f in words.files if not f.endswith((".expt", ".json"))]
    if len(refl) != 1:
        raise ParameterError("one .refl file is needed (and its .expt file for d_min, d_max, ice_rings, dead_time)")
    experiments, table = read_inputs(command, words) if len(words.files) > 1 else (None, read_refl(refl[0]))
    assert table is not None
    with step_log(words.output_dir, command):
        if not words.assignments:
            log.info("%s", text_table(("flag", "reflections"), count_flags(table)))
            log.info("give filters, for instance flag_expression=%s", "'integrated_prf & ~overloaded'")
            return
        save_table(words, filtering.filter_reflections(table, params, experiments), params.output.reflections)


def run_assign(command: str, words: Words) -> None:
    """Write ``assigned.expt`` and ``assigned.refl``."""
    params = parse(identifiers.Params, words.assignments)
    assert isinstance(params, identifiers.Params)
    experiments, reflections = read_inputs(command, words, reflections=False)
    with step_log(words.output_dir, command):
        new, table = identifiers.assign_identifiers(experiments, reflections, params.identifiers)
        save(command, words, new, params.output.experiments)
        save_table(words, table, params.output.reflections)


def run_modify(command: str, words: Words) -> None:
    """Write ``modified.expt``."""
    params = parse(modify.Params, words.assignments)
    assert isinstance(params, modify.Params)
    experiments, _ = read_inputs(command, words, reflections=False)
    with step_log(words.output_dir, command):
        save(command, words, modify.modify(experiments, params), params.output.experiments)


def _tables(words: Words, least: int) -> list[ReflectionTable]:
    wrong = [f for f in words.files if not f.endswith((".refl", ".pickle", ".h5"))]
    if wrong:
        raise ParameterError(f"{wrong[0]}: not a .refl file")
    if len(words.files) < least:
        raise ParameterError(f"at least {least} .refl file{'s are' if least > 1 else ' is'} needed")
    return [read_refl(f) for f in words.files]


def run_merge_lists(command: str, words: Words) -> None:
    """Write ``merged.refl``."""
    params = parse(tables.MergeParams, words.assignments)
    assert isinstance(params, tables.MergeParams)
    given = _tables(words, 2)
    with step_log(words.output_dir, command):
        save_table(words, tables.merge_tables(given, params.method), params.output)


def run_sort(command: str, words: Words) -> None:
    """Write ``sorted.refl``."""
    params = parse(tables.SortParams, words.assignments)
    assert isinstance(params, tables.SortParams)
    given = _tables(words, 1)[0]
    with step_log(words.output_dir, command):
        save_table(words, tables.sorted_table(given, params.key, reverse=params.reverse), params.output)
