"""``mxdask demo``: simulate, process, compare with the truth."""

from __future__ import annotations

import logging
from pathlib import Path

from mxdask.cli.dispatch import Words
from mxdask.cli.logs import step_log
from mxdask.errors import ParameterError
from mxdask.flow import Flow
from mxdask.io.expt import read_expt
from mxdask.params import parse
from mxdask.pipeline import process
from mxdask.pipeline_params import Params
from mxdask.rundir import RunDirectory
from mxdask.simulate.compare import crystals_against_truth, crystals_table, merged_against_truth
from mxdask.simulate.params import Params as DemoParams
from mxdask.simulate.step import make

log = logging.getLogger(__name__)


def run_demo(command: str, words: Words) -> None:
    """Make a small data set with known truth, run the whole chain on it, and say how near the result comes."""
    if len(words.files) > 1:
        raise ParameterError(f"{words.files[1]}: name one folder; `mxdask demo --help` tells what else can be said")
    folder = Path(words.files[0]) if words.files else words.output_dir / "mxdask-demo"
    params = parse(DemoParams, words.assignments)
    assert isinstance(params, DemoParams)
    run = RunDirectory(folder)
    with (
        step_log(run.path, "demo"),
        Flow(words.scheduler, n_workers=words.workers, progress=True, run_dir=run.path) as flow,
    ):
        made = make(params, folder / "images", flow)
        process(made.masters, Params(), run, flow, logging_to=step_log)
        log.info("\n%s", crystals_table(crystals_against_truth(read_expt(run / "refined.expt"), made.truth)))
        log.info("\n%s", merged_against_truth(run / "merged.mtz", made.truth).table())
        log.info("\nOpen %s in a browser to see how it went.", run / "report.html")
