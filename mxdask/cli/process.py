"""``mxdask process`` and ``mxdask report``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mxdask.cli.dispatch import Words
from mxdask.cli.logs import step_log
from mxdask.errors import MxdaskError, ParameterError
from mxdask.flow import Flow
from mxdask.params import parse
from mxdask.pipeline import process, write_run_report
from mxdask.rundir import RunDirectory


def run_process(command: str, words: Words) -> None:
    """Images to merged intensities, resuming what an earlier run in the same folder left."""
    from mxdask.pipeline_params import Params

    params = parse(Params, words.assignments)
    assert isinstance(params, Params)
    if not words.files and not (params.importing.input.template or params.importing.input.directory):
        raise ParameterError("no images given; `mxdask process --help` tells what is needed")
    run = RunDirectory(words.output_dir)
    with (
        step_log(run.path, "process"),
        Flow(words.scheduler, n_workers=words.workers, progress=True, run_dir=run.path) as flow,
    ):
        summaries = process(words.files, params, run, flow, logging_to=step_log)
    complain_of_bad_input(summaries)


def complain_of_bad_input(summaries: dict[str, dict[str, Any]]) -> None:
    """End with an error that names every file that was missing or damaged; the other crystals are done by now."""
    reasons = [row["reason"] for s in summaries.values() for row in s.get("rows", []) if row.get("bad_input")]
    reasons = [r for r in reasons if not any(other != r and other in r for other in reasons)]
    if reasons:
        raise MxdaskError("\n".join([*dict.fromkeys(reasons), "the other crystals are done; mend this and run again"]))


def run_report(command: str, words: Words) -> None:
    """Make the report of a run directory anew."""
    folder = Path(words.files[0]) if words.files else words.output_dir
    run = RunDirectory(folder)
    if not run.summaries():
        raise MxdaskError(f"{folder}: no step has left a summary here; give the folder of a run")
    print(f"wrote {write_run_report(run)}")
