"""``mxdask STEP files... name=value``: one step from the command line."""

from __future__ import annotations

from mxdask.cli.dispatch import Words
from mxdask.cli.inputs import read_inputs
from mxdask.cli.logs import step_log
from mxdask.cli.parameters import parameters_of
from mxdask.cli.process import complain_of_bad_input
from mxdask.errors import ParameterError
from mxdask.flow import Flow
from mxdask.params import parse
from mxdask.pipeline import run_step
from mxdask.rundir import RunDirectory


def run_one(command: str, words: Words) -> None:
    """Read the files, run the step, write its files into the output folder.

    Raises
    ------
    ParameterError : no input files, or a parameter that does not exist.
    """
    model = parameters_of(command)
    assert model is not None
    assignments, images = words.assignments, words.files
    params = parse(model, assignments)
    wrong = [f for f in images if command == "import" and f.endswith((".expt", ".refl", ".mtz"))]
    if wrong:
        raise ParameterError(f"{wrong[0]}: import takes image files; the steps after it take .expt and .refl files")
    run = RunDirectory(words.output_dir)
    with (
        step_log(run.path, command),
        Flow(words.scheduler, n_workers=words.workers, progress=True, run_dir=run.path) as flow,
    ):
        if command == "import":
            complain_of_bad_input({command: run_step(command, run, params, flow, files=images)})
            return
        experiments, reflections = read_inputs(command, words, reflections=command != "find_spots")
        summary = run_step(command, run, params, flow, experiments=experiments, reflections=reflections)
        complain_of_bad_input({command: summary})
