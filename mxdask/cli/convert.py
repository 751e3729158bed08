"""``mxdask convert``: the images of every sweep as a Zarr store; ``mxdask verify``: stores against their sources."""

from __future__ import annotations

import logging
from typing import Literal

from pydantic import Field

from mxdask.cli.dispatch import Words
from mxdask.cli.logs import step_log
from mxdask.errors import FileError, MxdaskError, ParameterError
from mxdask.flow import Flow
from mxdask.images.zarr_convert import Verified, convert, verify
from mxdask.images.zarr_store import store_names
from mxdask.io.expt import read_expt, write_expt
from mxdask.models import Experiment, ExperimentList
from mxdask.params import StepParams, parse
from mxdask.step_input import check_input

log = logging.getLogger(__name__)


class Params(StepParams):
    """Parameters of convert."""

    block: int = Field(20, ge=1, description="Frames per shard, and per task.")
    codec: Literal["zstd", "lz4"] = Field("zstd", description="zstd for data to keep, lz4 for scratch.")


class VerifyParams(StepParams):
    """Parameters of verify."""

    block: int = Field(20, ge=1, description="Frames per task.")


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
    check_input(command, experiments, None)
    copied: dict[str, Experiment] = {}
    done, failed = [], []
    with (
        step_log(folder, command),
        Flow(words.scheduler, n_workers=words.workers, progress=True, run_dir=folder) as flow,
    ):
        for experiment, name in zip(experiments, store_names(experiments), strict=True):
            try:
                if name not in copied:  # lattices of one sweep share its images
                    path = folder / name
                    copied[name] = convert(experiment, path, flow=flow, block=params.block, codec=params.codec)
                    log.info("wrote %s", path)
                done.append(experiment.evolve(imageset=copied[name].imageset))
            except FileError as error:
                failed.append(str(error))
        if done:
            write_expt(folder / "converted.expt", experiments.with_experiments(done), program="mxdask.convert")
            log.info("wrote %s", folder / "converted.expt")
    if failed:
        raise MxdaskError("\n".join(failed))


def run_verify(command: str, words: Words) -> None:
    """Compare the stores of a converted.expt with their checksums and, given the .expt they were made from, with the
    images themselves.

    Raises
    ------
    MxdaskError : an image differs, or cannot be read.
    """
    if not 1 <= len(words.files) <= 2 or not all(f.endswith(".expt") for f in words.files):
        raise ParameterError("converted.expt is needed, and imported.expt if the images are still there")
    params = parse(VerifyParams, words.assignments)
    assert isinstance(params, VerifyParams)
    converted = read_expt(words.files[0])
    sources = _sources(converted, words)
    problems = 0
    with (
        step_log(words.output_dir, command),
        Flow(words.scheduler, n_workers=words.workers, progress=True, run_dir=words.output_dir) as flow,
    ):
        for experiment, source in zip(converted, sources, strict=True):
            try:
                found = verify(experiment, source, flow=flow, block=params.block)
            except FileError as error:
                log.error("%s", error)
                problems += 1
                continue
            _report(found)
            problems += len(found.problems)
    if problems:
        raise MxdaskError(f"{problems} problems found; remove those stores and convert the images again")


def _sources(converted: ExperimentList, words: Words) -> list[Experiment | None]:
    """The experiment with the original images for each one of the stores; None where no file was given."""
    if len(words.files) == 1:
        return [None] * len(converted)
    originals = {e.identifier: e for e in read_expt(words.files[1])}
    absent = [e.name for e in converted if e.identifier not in originals]
    if absent:
        raise FileError(f"{words.files[1]}: {absent[0]} is not in there; give the .expt file that was converted")
    return [originals[e.identifier] for e in converted]


def _report(found: Verified) -> None:
    against = "its source" if found.with_source else "its checksums"
    missing = f", {found.n_missing} were left out when it was made" if found.n_missing else ""
    if not found.problems:
        log.info("%s: %d images equal %s%s", found.name, found.n_images, against, missing)
    for problem in found.problems:
        log.error("%s: %s", found.name, problem)
