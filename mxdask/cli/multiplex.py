"""``mxdask multiplex`` and ``mxdask correlation_matrix``."""

from __future__ import annotations

import logging

from mxdask.cli.dispatch import Words
from mxdask.cli.inputs import read_inputs
from mxdask.cli.lists import save, save_table
from mxdask.cli.logs import step_log
from mxdask.flow import Flow
from mxdask.io.json_files import write_json
from mxdask.multiplex import correlation_params
from mxdask.multiplex.correlation_run import analyse, report_text
from mxdask.multiplex.params import Params
from mxdask.multiplex.reading import read_all
from mxdask.multiplex.run import multiplex
from mxdask.params import parse

log = logging.getLogger(__name__)


def run_multiplex(command: str, words: Words) -> None:
    """Sort crystals into data sets, merge each, and say what became of every crystal."""
    params = parse(Params, words.assignments)
    assert isinstance(params, Params)
    out = words.output_dir
    with (
        step_log(out, command),
        Flow(words.scheduler, n_workers=words.workers, progress=True, run_dir=out) as flow,
        flow.stage(command),
    ):
        experiments, reflections, unreadable = read_all(words.files)
        result = multiplex(experiments, reflections, params, out, flow, unreadable)
        if params.output.html is not None:
            from mxdask.multiplex.report import write_page

            write_page(out / params.output.html, result)
            log.info("wrote %s", out / params.output.html)


def run_correlation(command: str, words: Words) -> None:
    """Write matrices, trees and groups as a page and as data, and with ``significant_clusters.output`` the groups."""
    params = parse(correlation_params.Params, words.assignments)
    assert isinstance(params, correlation_params.Params)
    experiments, reflections = read_inputs(command, words)
    assert reflections is not None
    with step_log(words.output_dir, command):
        analysis = analyse(experiments, reflections, params)
        log.info("%s", report_text(analysis))
        if params.output.json_file is not None:
            write_json(words.output_dir / params.output.json_file, analysis.to_dict(), indent=None)
            log.info("wrote %s", words.output_dir / params.output.json_file)
        if params.output.html is not None:
            from mxdask.multiplex.correlation_page import write_page

            write_page(words.output_dir / params.output.html, analysis)
            log.info("wrote %s", words.output_dir / params.output.html)
        for group in range(1, max(analysis.grouping.labels) + 1) if params.significant_clusters.output else ():
            part, table = analysis.cluster(group)
            if len(part) >= params.significant_clusters.min_points:
                save(command, words, part, f"cluster_{group}.expt")
                save_table(words, table, f"cluster_{group}.refl")
