"""``mxdask refine_bravais_settings``: a table per crystal, one file per setting."""

from __future__ import annotations

import logging

from mxdask.bravais.params import Params
from mxdask.bravais.step import GroupResult, run
from mxdask.cli.dispatch import Words
from mxdask.cli.inputs import read_inputs
from mxdask.cli.logs import step_log
from mxdask.flow import Flow
from mxdask.io.expt import write_expt
from mxdask.io.json_files import write_json
from mxdask.params import parse

log = logging.getLogger(__name__)


def run_bravais(command: str, words: Words) -> None:
    """Write ``bravais_setting_N.expt`` and ``bravais_summary.json``; further lattices get ``lattice_K_`` in front."""
    params = parse(Params, words.assignments)
    assert isinstance(params, Params)
    folder = words.output_dir
    experiments, reflections = read_inputs(command, words)
    assert reflections is not None
    with (
        step_log(folder, "refine_bravais_settings"),
        Flow(words.scheduler, n_workers=words.workers, progress=True, run_dir=folder) as flow,
    ):
        results, _ = run(experiments, reflections, params, flow=flow)
        for k, result in enumerate(results, start=1):
            _write(words, result, "" if k == 1 else f"lattice_{k}_")
        flow.forget_unused()


def _write(words: Words, result: GroupResult, prefix: str) -> None:
    folder = words.output_dir
    path = folder / f"{prefix}bravais_summary.json"
    write_json(path, result.summary(), indent=2)
    for number, experiments in result.experiments.items():
        write_expt(
            folder / f"{prefix}bravais_setting_{number}.expt", experiments, program="mxdask.refine_bravais_settings"
        )
    settings = ", ".join(str(n) for n in sorted(result.experiments))
    log.info("wrote %s and %sbravais_setting_N.expt, N = %s", path, prefix, settings)
