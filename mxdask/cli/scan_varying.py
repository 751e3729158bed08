"""``mxdask plot_scan_varying_model``."""

from __future__ import annotations

import json
import logging

from mxdask.cli.dispatch import Words
from mxdask.cli.inputs import read_inputs
from mxdask.cli.logs import step_log
from mxdask.io.atomic import replacing
from mxdask.lists import scan_varying
from mxdask.lists.scan_varying import Course
from mxdask.params import parse
from mxdask.report.page import page_of
from mxdask.report.plots import lines
from mxdask.report.section import Section
from mxdask.text import text_table

log = logging.getLogger(__name__)


def run_plot(command: str, words: Words) -> None:
    """Print the range of every cell; write curves and all numbers."""
    params = parse(scan_varying.Params, words.assignments)
    assert isinstance(params, scan_varying.Params)
    experiments, _ = read_inputs(command, words, reflections=False)
    with step_log(words.output_dir, command):
        found = scan_varying.courses(experiments, params.orientation_decomposition)
        log.info("%s", _table(found))
        content = json.dumps([c.as_data() for c in found]) + "\n"
        for name, text in ((params.output.json_file, content), (params.output.html, _page(found))):
            if name is not None:
                path = words.output_dir / name
                with replacing(path) as temporary:
                    temporary.write_text(text, encoding="utf-8")
                log.info("wrote %s", path)


def _table(found: list[Course]) -> str:
    rows = [
        [c.name, *(f"{v.min():.3f}-{v.max():.3f}" for v in c.cell.T), *(f"{a.max() - a.min():.3f}" for a in c.angles.T)]
        for c in found
    ]
    header = ["sweep", *scan_varying.CELL, "phi1", "phi2", "phi3"]
    return text_table(header, rows, title="Range of the cell (Å, °) and extent of the rotations (°) along each sweep")


def _page(found: list[Course]) -> str:
    angle = "rotation angle (°)"
    cell, turns, beam = Section("cell", "Cell"), Section("orientation", "Orientation"), Section("beam", "Beam centre")
    units = ("length (Å)",) * 3 + ("angle (°)",) * 3
    cell.plots(
        [
            lines(name, angle, unit, [(c.name, c.phi, c.cell[:, i]) for c in found])
            for i, (name, unit) in enumerate(zip("abcαβγ", units, strict=True))
        ]
    )
    cell.plots([lines("Volume", angle, "volume (Å³)", [(c.name, c.phi, c.volume) for c in found])])
    turns.plots(
        [
            lines(f"Rotation about e{i + 1}", angle, "angle (°)", [(c.name, c.phi, c.angles[:, i]) for c in found])
            for i in range(3)
        ]
    )
    moving = [(c.name, c.phi, c.beam_centre) for c in found if c.beam_centre is not None]
    beam.plots(
        [
            lines(f"Beam centre, {axis}", angle, "px", [(name, phi, centre[:, i]) for name, phi, centre in moving])
            for i, axis in enumerate(("fast", "slow"))
        ]
    )
    return page_of([cell, turns, beam], title="Scan-varying models", subtitle=f"{len(found)} sweeps")
