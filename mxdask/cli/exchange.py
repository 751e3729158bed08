"""``merge`` and ``export``: reflections in the formats of other programs; ``import_reflections``: theirs in ours."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from mxdask.cli.dispatch import Words
from mxdask.cli.inputs import read_inputs
from mxdask.cli.logs import step_log
from mxdask.errors import ParameterError
from mxdask.exchange import params as exchange_params
from mxdask.exchange.files import read_processed
from mxdask.io.atomic import replacing
from mxdask.io.expt import write_expt
from mxdask.io.refl import write_refl
from mxdask.merge import export_params
from mxdask.merge import params as merge_params
from mxdask.merge.export_files import export
from mxdask.merge.merge_files import write_merge
from mxdask.merge.step import merge
from mxdask.params import parse
from mxdask.rundir import RunDirectory
from mxdask.text import text_table

log = logging.getLogger(__name__)


def run_import(command: str, words: Words) -> None:
    """Write ``integrated.expt`` and ``integrated.refl`` from files that other programs wrote.

    Raises
    ------
    FileError : none of the files could be read.
    """
    params = parse(exchange_params.Params, words.assignments)
    assert isinstance(params, exchange_params.Params)
    if not words.files:
        raise ParameterError(f"no files given; `mxdask {command} --help` tells what is needed")
    with step_log(words.output_dir, command):
        processed = read_processed(words.files, params.d_min)
        shown = [r for r in processed.rows if r["status"] == "ok"]
        header = ("file", "images", "reflections", "d_min", "cell", "space group")
        rows = [
            (Path(r["file"]).parent.name + "/" + Path(r["file"]).name, r["images"], r["n_reflections"], r["d_min"],
             " ".join(f"{v:.2f}" for v in r["cell"]), r["space_group"])
            for r in shown
        ]  # fmt: skip
        log.info("%s", text_table(header, rows))
        experiments = words.output_dir / params.output.experiments
        write_expt(experiments, processed.experiments, program=f"mxdask.{command}", flags="integrated")
        reflections = words.output_dir / params.output.reflections
        write_refl(reflections, processed.reflections)
        RunDirectory(words.output_dir).save_summary(command, {"step": command, "rows": processed.rows})
        log.info("wrote %s: %d experiments", experiments, len(processed.experiments))
        log.info("wrote %s: %d reflections", reflections, len(processed.reflections))


def run_merge(command: str, words: Words) -> None:
    """Write ``merged.mtz``, with ``output.mmcif`` that file too, and ``merge.json``.

    Raises
    ------
    MxdaskError : nothing is fit for merging, or a reference file is not what it should be.
    """
    params = parse(merge_params.Params, words.assignments)
    assert isinstance(params, merge_params.Params)
    run = RunDirectory(words.output_dir)
    with step_log(run.path, command):
        experiments, reflections = read_inputs(command, words)
        summary = write_merge(merge(experiments, reflections, params), params, run.path, params.output.mtz)
        if params.output.html is not None:
            with replacing(run / params.output.html) as temporary:
                temporary.write_text(_merge_page(summary, " ".join(words.files)), encoding="utf-8")
            summary["files"].append(params.output.html)
        run.save_summary(command, summary)
        for name in summary["files"]:
            log.info("wrote %s", run / name)


def _merge_page(summary: dict[str, Any], files: str) -> str:
    from mxdask.report.page import page_of
    from mxdask.report.sections import assessment, merging, overview

    sections = [overview.build({"merge": summary}, []), merging.merging(summary), assessment.assessment(summary)]
    return page_of(sections, title="Merged data", subtitle=files)


def run_export(command: str, words: Words) -> None:
    """Write the files of the format asked for, and ``export.json``.

    Raises
    ------
    MxdaskError : nothing is fit for export, or the format cannot hold it.
    """
    params = parse(export_params.Params, words.assignments)
    assert isinstance(params, export_params.Params)
    run = RunDirectory(words.output_dir)
    with step_log(run.path, command):
        # Spots, which have no resolution yet, can be written as JSON.
        experiments, reflections = read_inputs(command, words, check=params.format != "json")
        files, summary = export(experiments, reflections, params, run.path)
        run.save_summary(command, summary)
        for path in files:
            log.info("wrote %s", path)
