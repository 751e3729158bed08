"""``mxdask predict`` and ``mxdask create_profile_model``: what integration starts from, as files."""

from __future__ import annotations

import logging

from mxdask.cli.dispatch import Words
from mxdask.cli.inputs import read_inputs
from mxdask.cli.logs import step_log
from mxdask.flow import Flow
from mxdask.io.expt import write_expt
from mxdask.io.refl import write_refl
from mxdask.params import parse

log = logging.getLogger(__name__)


def run_predict(command: str, words: Words) -> None:
    """Write ``predicted.refl``: every reflection of an .expt file that meets the detector."""
    from mxdask.integrate.predict_params import Params
    from mxdask.integrate.predictions import predict

    params = parse(Params, words.assignments)
    assert isinstance(params, Params)
    experiments, _ = read_inputs(command, words, reflections=False)
    path = words.output_dir / "predicted.refl"
    with step_log(words.output_dir, command):
        table = predict(experiments, params)
        write_refl(path, table)
        log.info("wrote %s: %d reflections of %d experiments", path, len(table), len(experiments))


def run_create_profile_model(command: str, words: Words) -> None:
    """Write ``models_with_profiles.expt``: the experiments with the widths of their reflections."""
    from mxdask.integrate.params import Params
    from mxdask.integrate.step import create_profile_model

    params = parse(Params, words.assignments)
    assert isinstance(params, Params)
    experiments, reflections = read_inputs(command, words)
    assert reflections is not None
    path = words.output_dir / "models_with_profiles.expt"
    with step_log(words.output_dir, command), Flow(words.scheduler, n_workers=words.workers, progress=True) as flow:
        modelled = create_profile_model(experiments, reflections, params, flow=flow)
        write_expt(path, modelled, program="mxdask.create_profile_model")
        log.info("wrote %s", path)
