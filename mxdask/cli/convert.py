"""``mxdask convert``: the images of every sweep as a Zarr store."""

from __future__ import annotations

import logging
from typing import Literal

from pydantic import Field

from mxdask.cli.dispatch import Words
from mxdask.cli.logs import step_log
from mxdask.errors import FileError, MxdaskError, ParameterError
from mxdask.flow import Flow
from mxdask.images.zarr_store import convert
from mxdask.io.expt import read_expt, write_expt
from mxdask.params import StepParams, parse

log = logging.getLogger(__name__)


class Params(StepParams):
    """Parameters of convert."""

    block: int = Field(20, ge=1, description="Frames per shard, and per task.")
    codec: Literal["zstd", "lz4"] = Field("zstd", description="zstd for data to keep, lz4 for scratch.")


def run_convert(command: str, words: Words) -> None:
    """Write ``SWEEP.zarr`` for every sweep of an imported.expt, and ``converted.expt`` that points at them.

    Raises
    ------
    MxdaskError : a sweep could not be copied; the others are done and a rerun goes on with what is missing.
    """
    if len(words.files) != 1 or not words.files[0].endswith(".expt"):
        raise ParameterError("one .expt file is needed, as written by import")
    params = parse(Params, words.assignments)
    assert isinstance(params, Params)
    folder = words.output_dir
    experiments = read_expt(words.files[0])
    done, failed = [], []
    with (
        step_log(folder, command),
        Flow(words.scheduler, n_workers=words.workers, progress=True, run_dir=folder) as flow,
    ):
        for experiment in experiments:
            path = folder / f"{experiment.name}.zarr"
            try:
                done.append(convert(experiment, path, flow=flow, block=params.block, codec=params.codec))
                log.info("wrote %s", path)
            except FileError as error:
                failed.append(str(error))
        if done:
            write_expt(folder / "converted.expt", experiments.with_experiments(done), program="mxdask.convert")
            log.info("wrote %s", folder / "converted.expt")
    if failed:
        raise MxdaskError("\n".join(failed))
