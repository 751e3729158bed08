"""``mxdask two_theta_refine``: cells with esds from scattering angles."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from mxdask.cli.dispatch import Words
from mxdask.cli.inputs import read_inputs
from mxdask.cli.logs import step_log
from mxdask.errors import ParameterError
from mxdask.flow import Flow
from mxdask.io.atomic import replacing
from mxdask.io.expt import write_expt
from mxdask.params import parse
from mxdask.twotheta.cell_files import cif_text, mmcif_text, p4p_text
from mxdask.twotheta.params import Output, Params
from mxdask.twotheta.step import run

log = logging.getLogger(__name__)


def run_two_theta_refine(command: str, words: Words) -> None:
    """Write ``refined_cell.expt``, ``two_theta_refine.json`` and the cell files asked for.

    Raises
    ------
    ParameterError : a cell file is asked for where there is no single cell to write.
    """
    params = parse(Params, words.assignments)
    assert isinstance(params, Params)
    folder, output = words.output_dir, params.output
    with (
        step_log(folder, command),
        Flow(words.scheduler, n_workers=words.workers, progress=True, run_dir=folder) as flow,
    ):
        experiments, reflections = read_inputs(command, words)
        refined, _, summary = run(experiments, reflections, params, flow=flow)
        write_expt(folder / output.experiments, refined, program=f"mxdask.{command}")
        log.info("wrote %s", folder / output.experiments)
        _write(folder / f"{command}.json", json.dumps(summary, indent=1))
        beam = refined[0].beam
        assert beam is not None
        _cell_files(folder, output, summary, float(beam.wavelength))


def _cell_files(folder: Path, output: Output, summary: dict[str, Any], wavelength: float) -> None:
    good = [row for row in summary["rows"] if row["status"] == "ok"]
    numbers = summary if summary["combined"] else good[0] if len(good) == 1 else None
    wanted = [name for name in (output.cif, output.mmcif, output.p4p) if name is not None]
    if not wanted:
        return
    if numbers is None:
        raise ParameterError(f"{wanted[0]}: a cell file holds one cell; leave combine_crystal_models=True")
    if output.cif is not None:
        _write(folder / output.cif, cif_text(numbers))
    if output.mmcif is not None:
        _write(folder / output.mmcif, mmcif_text(numbers))
    if output.p4p is not None:
        _write(folder / output.p4p, p4p_text(numbers, wavelength))


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)
    log.info("wrote %s", path)
