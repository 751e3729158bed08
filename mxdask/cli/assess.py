"""Commands that judge scaled data."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import gemmi

from mxdask.assess import delta_cchalf
from mxdask.assess.observations import ScaledObservations, from_experiments, from_mtz
from mxdask.cli.dispatch import Words
from mxdask.cli.inputs import read_inputs
from mxdask.cli.logs import step_log
from mxdask.errors import ParameterError
from mxdask.intensity.cells import mean_cell
from mxdask.io.atomic import replacing
from mxdask.io.json_files import write_json
from mxdask.io.mtz_unmerged import read_intensities, read_unmerged
from mxdask.models import ExperimentList
from mxdask.params import parse
from mxdask.table import ReflectionTable

log = logging.getLogger(__name__)


def write_text(words: Words, name: str | None, text: str) -> None:
    """Write a text file into the output folder, unless its name is None."""
    if name is None:
        return
    path = words.output_dir / name
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    log.info("wrote %s", path)


def write_findings(words: Words, name: str | None, data: dict[str, Any]) -> None:
    """Write all numbers into the output folder, unless the name is None."""
    if name is None:
        return
    write_json(words.output_dir / name, data)
    log.info("wrote %s", words.output_dir / name)


def scaled_data(
    command: str, words: Words, partiality_threshold: float = 0.4
) -> tuple[ScaledObservations, ExperimentList | None, ReflectionTable | None]:
    """Observations of ``scaled.expt scaled.refl`` or of one unmerged MTZ file (which has no experiments)."""
    mtz = [f for f in words.files if f.lower().endswith(".mtz")]
    if mtz:
        if len(words.files) != 1:
            raise ParameterError("give either one unmerged .mtz file or .expt and .refl files")
        return from_mtz(read_unmerged(mtz[0])), None, None
    experiments, reflections = read_inputs(command, words)
    assert reflections is not None
    return from_experiments(experiments, reflections, partiality_threshold), experiments, reflections


def known_space_group(name: str) -> gemmi.SpaceGroup:
    """The space group of a name or number.

    Raises
    ------
    ParameterError : there is none.
    """
    found = gemmi.find_spacegroup_by_number(int(name)) if name.isdigit() else gemmi.find_spacegroup_by_name(name)
    if found is None:
        raise ParameterError(f"space_group={name}: there is no such space group")
    return found


def run_delta_cchalf(command: str, words: Words) -> None:
    """Write ``delta_cchalf.dat``, a picture, all numbers, and (not for MTZ) the data without what harms."""
    from mxdask.assess.delta_pictures import delta_page

    params = parse(delta_cchalf.Params, words.assignments)
    assert isinstance(params, delta_cchalf.Params)
    data, experiments, reflections = scaled_data(command, words, params.partiality_threshold)
    if experiments is not None:
        data = replace(data, cell=mean_cell(experiments))
    with step_log(words.output_dir, command):
        found = delta_cchalf.judge(data, params)
        log.info("%s", delta_cchalf.log_text(found))
        write_text(words, params.output.table, delta_cchalf.table_text(found))
        write_findings(words, params.output.json_file, delta_cchalf.as_data(found, params))
        if params.output.html:
            write_text(words, params.output.html, delta_page(found))
        if experiments is not None and reflections is not None:
            _write_filtered(command, words, params, found, experiments, reflections)


def _write_filtered(
    command: str,
    words: Words,
    params: delta_cchalf.Params,
    found: delta_cchalf.Judgement,
    experiments: ExperimentList,
    reflections: ReflectionTable,
) -> None:
    from mxdask.io.expt import write_expt
    from mxdask.io.refl import write_refl
    from mxdask.lists.selecting import select_experiments

    if params.mode == "image_group":
        experiments, reflections = delta_cchalf.without_images(found, experiments, reflections)
    gone = set(delta_cchalf.removed_sweeps(found))
    if gone:
        kept = [i for i in range(len(experiments)) if i not in gone]
        experiments, table = select_experiments(experiments, reflections, kept)
        assert table is not None
        reflections = table
    if params.output.experiments:
        write_expt(words.output_dir / params.output.experiments, experiments, program=f"mxdask.{command}")
        log.info("wrote %s: %d experiments", words.output_dir / params.output.experiments, len(experiments))
    if params.output.reflections:
        write_refl(words.output_dir / params.output.reflections, reflections)
        log.info("wrote %s: %d reflections", words.output_dir / params.output.reflections, len(reflections))


def run_resolution(command: str, words: Words) -> None:
    """Write curves and all numbers; print where each meets its limit."""
    from mxdask.assess import resolution
    from mxdask.assess.resolution_pictures import resolution_page

    params = parse(resolution.Params, words.assignments)
    assert isinstance(params, resolution.Params)
    data, _, _ = scaled_data(command, words)
    if params.space_group is not None:
        data = replace(data, space_group=known_space_group(params.space_group))
    reference = None
    if params.reference is not None:
        reference = resolution.Reference(*read_intensities(params.reference))
    with step_log(words.output_dir, command):
        found = resolution.estimate(data, params, reference)
        log.info("%s", resolution.log_text(found))
        write_findings(words, params.output.json_file, resolution.as_data(found))
        if params.output.html:
            write_text(words, params.output.html, resolution_page(found))


def run_statistics(command: str, words: Words) -> None:
    """Print the tables; write curves and all numbers."""
    from mxdask.assess import merging

    params = parse(merging.Params, words.assignments)
    assert isinstance(params, merging.Params)
    data, _, _ = scaled_data(command, words, params.partiality_threshold)
    if params.space_group is not None:
        data = replace(data, space_group=known_space_group(params.space_group))
    with step_log(words.output_dir, command):
        found = merging.statistics(data, params)
        log.info("%s", merging.log_text(found))
        write_findings(words, params.output.json_file, merging.as_data(found))
        if params.output.html:
            write_text(words, params.output.html, merging.statistics_page(found))


def run_damage(command: str, words: Words) -> None:
    """Print some steps of dose; write curves and all numbers."""
    from mxdask.assess import damage_analysis

    params = parse(damage_analysis.Params, words.assignments)
    assert isinstance(params, damage_analysis.Params)
    data, _, _ = scaled_data(command, words)
    with step_log(words.output_dir, command):
        found = damage_analysis.analyse(data, params)
        log.info("%s", damage_analysis.log_text(found))
        write_findings(words, params.output.json_file, damage_analysis.as_data(found))
        if params.output.html:
            write_text(words, params.output.html, damage_analysis.damage_page(found))


def run_wilson(command: str, words: Words) -> None:
    """Print scale and B; write the plot."""
    from mxdask.assess import distribution

    params = parse(distribution.WilsonParams, words.assignments)
    assert isinstance(params, distribution.WilsonParams)
    data, _, _ = scaled_data(command, words)
    with step_log(words.output_dir, command):
        found = distribution.wilson(data, params)
        log.info("%s", distribution.wilson_text(found))
        write_findings(words, params.output.json_file, distribution.wilson_data(found))
        if params.output.html:
            write_text(words, params.output.html, distribution.wilson_page(found))


def run_twinning(command: str, words: Words) -> None:
    """Print the tests; write the L-test's plot."""
    from mxdask.assess import distribution

    params = parse(distribution.TwinningParams, words.assignments)
    assert isinstance(params, distribution.TwinningParams)
    data, _, _ = scaled_data(command, words)
    with step_log(words.output_dir, command):
        found = distribution.twinning(data, params)
        log.info("%s", distribution.twinning_text(found))
        write_findings(words, params.output.json_file, distribution.twinning_data(found))
        if params.output.html:
            write_text(words, params.output.html, distribution.twinning_page(found))


def run_missing(command: str, words: Words) -> None:
    """Print regions that were not measured; write the numbers."""
    from mxdask.assess import missing

    params = parse(missing.Params, words.assignments)
    assert isinstance(params, missing.Params)
    data, _, _ = scaled_data(command, words)
    with step_log(words.output_dir, command):
        found = missing.missing_reflections(data, params)
        log.info("%s", missing.log_text(found))
        write_findings(words, params.json_file, missing.as_data(found))


def run_compare(command: str, words: Words) -> None:
    """Print the tables side by side; write curves and all numbers."""
    from mxdask.assess import comparing

    params = parse(comparing.Params, words.assignments)
    assert isinstance(params, comparing.Params)
    sets = _data_sets(command, words)
    if params.plot_labels:
        if len(params.plot_labels) != len(sets):
            raise ParameterError(f"plot_labels: {len(params.plot_labels)} names for {len(sets)} data sets")
        sets = dict(zip(params.plot_labels, sets.values(), strict=True))
    with step_log(words.output_dir, command):
        found = comparing.compare(sets, params)
        log.info("%s", comparing.log_text(found))
        write_findings(words, params.output.json_file, comparing.as_data(found))
        if params.output.html:
            write_text(words, params.output.html, comparing.comparison_page(found))


def _data_sets(command: str, words: Words) -> dict[str, ScaledObservations]:
    """One data set for each .mtz file, and for each .expt file with the .refl file at its place."""
    mtz, expt, refl = ([f for f in words.files if f.lower().endswith(end)] for end in (".mtz", ".expt", ".refl"))
    if len(expt) != len(refl):
        raise ParameterError(f"{len(expt)} .expt and {len(refl)} .refl files: give them in pairs")
    given = [[f] for f in mtz] + [[a, b] for a, b in zip(expt, refl, strict=True)]
    paths = [Path(files[0]).resolve() for files in given]
    ways = ([p.stem for p in paths], [f"{p.parent.name}/{p.stem}" for p in paths], [str(p) for p in paths])
    names = next((way for way in ways if len(set(way)) == len(way)), None)
    if names is None:
        raise ParameterError("a file is given twice")
    return {name: scaled_data(command, replace(words, files=f))[0] for name, f in zip(names, given, strict=True)}
