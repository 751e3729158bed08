"""``mxdask search_beam_position``: where the direct beam meets the detector."""

from __future__ import annotations

import logging
from typing import Any

from mxdask.beamposition.params import Params
from mxdask.beamposition.step import run
from mxdask.cli.dispatch import Words
from mxdask.cli.inputs import read_inputs
from mxdask.cli.logs import step_log
from mxdask.flow import Flow
from mxdask.io.expt import write_expt
from mxdask.io.json_files import write_json
from mxdask.params import parse
from mxdask.text import text_table

log = logging.getLogger(__name__)


def run_search(command: str, words: Words) -> None:
    """Write ``optimised.expt`` and ``beam_positions.json``; the log says how sure the answer is."""
    params = parse(Params, words.assignments)
    assert isinstance(params, Params)
    folder = words.output_dir
    with (
        step_log(folder, command),
        Flow(words.scheduler, n_workers=words.workers, progress=True, run_dir=folder) as flow,
    ):
        experiments, reflections = read_inputs(command, words, reflections=params.method == "default")
        moved, summary = run(experiments, reflections, params, flow=flow)
        _tell(summary)
        write_expt(folder / "optimised.expt", moved, program=f"mxdask.{command}")
        write_json(folder / "beam_positions.json", summary)
        log.info("wrote %s and %s", folder / "optimised.expt", folder / "beam_positions.json")


def _tell(summary: dict[str, Any]) -> None:
    rows = summary["rows"]
    if summary["method"] == "default":
        lines = [
            [r["sweep"], r["n_spots"], r["n_vectors"], f"{r['agreement']:.3f}", f"{r['own_agreement']:.3f}",
             "{:.2f}, {:.2f}".format(*r["own_offset_px"])]
            if "own_offset_px" in r else [r["sweep"], r["n_spots"], "-", "-", "-", r.get("reason", "no best place")]
            for r in rows
        ]  # fmt: skip
        header = ["sweep", "spots", "vectors", "agreement", "alone", "its own best, px away"]
        log.info("%s", text_table(header, lines, title="Agreement of the sweeps (1: every spot on the lattice)"))
    for name in ("old", "new"):
        px, mm = summary.get(f"{name}_centre_px"), summary.get(f"{name}_centre_mm")
        if px:
            in_mm = "" if mm is None else f"{mm[0]:.2f}, {mm[1]:.2f} mm ("
            log.info("%s beam centre: %s%.1f, %.1f px%s", name.title(), in_mm, *px, ")" if in_mm else "")
    if summary.get("shift_px"):
        log.info("Shift: %.2f, %.2f px", *summary["shift_px"])
    for (first, second), relative in summary.get("rivals_mm", ()):
        log.warning(
            "ambiguous: a shift by %.2f, %.2f mm more is %.0f %% as good; `mxdask index` tells which is right",
            first, second, 100 * relative,
        )  # fmt: skip
