"""``spot_counts_per_image`` and ``detect_blanks``: what the spots say of the images."""

from __future__ import annotations

import logging
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from mxdask.cli.dispatch import Words
from mxdask.cli.inputs import read_inputs
from mxdask.cli.logs import step_log
from mxdask.errors import ParameterError
from mxdask.io.atomic import replacing
from mxdask.io.json_files import write_json
from mxdask.models import Experiment, ExperimentList
from mxdask.params import parse
from mxdask.spots.blanks import analyse
from mxdask.spots.per_image import Counts, SpotData, count, counts_per_image, spot_data
from mxdask.spots.tool_params import BlanksParams, CountsParams
from mxdask.table import ReflectionTable
from mxdask.text import text_table

__all__ = ["BlanksParams", "CountsParams", "run_blanks", "run_counts"]

log = logging.getLogger(__name__)


def run_counts(command: str, words: Words) -> None:
    """Print the table of images; write the numbers as JSON and, if asked for, as a page with plots."""
    params = parse(CountsParams, words.assignments)
    assert isinstance(params, CountsParams)
    experiments, reflections = read_inputs(command, words)
    assert reflections is not None
    rows, parts = [], []
    sweeps: list[tuple[str, int, Counts]] = []
    for number, experiment in enumerate(experiments):
        if params.id not in (None, number):
            continue
        data = spot_data(experiment, reflections.select(reflections["id"] == number))
        z_range = experiment.scan.array_range if experiment.scan is not None else (0, 1)
        parts.append(data)
        for k, one in enumerate(counts_per_image(data, z_range, resolution_analysis=params.resolution_analysis)):
            sweeps.append((experiment.name, z_range[0] + k + 1, one))
            rows.append([experiment.name, z_range[0] + k + 1, *_cells(one)])
    if not parts:
        raise ParameterError(f"id={params.id}: there are {len(experiments)} experiments")
    overall = count(SpotData.concat(parts), resolution_analysis=params.resolution_analysis)
    header = ["sweep", "image", "spots", "no ice", "to 4 Å", "intensity", "d_min", "distl 1", "distl 2"]
    with step_log(words.output_dir, command):
        log.info("%s", text_table(header, [*rows, ["all", "", *_cells(overall)]], title="Spots per image"))
        if params.output is not None:
            _write_json(words.output_dir / params.output, _as_lists(sweeps))
        if params.plot is not None:
            _write_page(words.output_dir / params.plot, sweeps)


def _cells(one: Counts) -> list[Any]:
    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.2f}"

    return [
        one.n_spots_total, one.n_spots_no_ice, one.n_spots_4A, f"{one.total_intensity:.0f}",
        shown(one.estimated_d_min), shown(one.d_min_distl_method_1), shown(one.d_min_distl_method_2),
    ]  # fmt: skip


def _as_lists(sweeps: list[tuple[str, int, Counts]]) -> dict[str, list[Any]]:
    """Keys as in DIALS' joint JSON, where -1 stands for no estimate; image and sweep besides."""
    numbers = {f.name: [-1.0 if (v := getattr(c, f.name)) is None else v for _, _, c in sweeps] for f in fields(Counts)}
    return {"sweep": [s for s, _, _ in sweeps], "image": [i for _, i, _ in sweeps], **numbers}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_json(path, content)
    log.info("wrote %s", path)


def _write_page(path: Path, sweeps: list[tuple[str, int, Counts]]) -> None:
    from mxdask.report.page import page_of
    from mxdask.report.plots import per_image
    from mxdask.report.section import Section

    names = list(dict.fromkeys(name for name, _, _ in sweeps))
    table = [asdict(c) | {"sweep": n, "image": i} for n, i, c in sweeps]
    first = [float(min(r["image"] for r in table if r["sweep"] == n)) for n in names]
    section = Section("images", "Images")
    figures = []
    for title, unit, key in (
        ("Spots per image", "spots", "n_spots_total"),
        ("Spots off ice rings", "spots", "n_spots_no_ice"),
        ("Total intensity", "counts", "total_intensity"),
        ("Estimated resolution", "Å", "estimated_d_min"),
    ):
        values = [np.array([np.nan if r[key] is None else r[key] for r in table if r["sweep"] == n]) for n in names]
        figures.append(per_image(title, unit, names, values, first, {}))
    section.plots(figures)
    with replacing(path) as temporary:
        temporary.write_text(page_of([section], title="Spots per image", subtitle=", ".join(names)), encoding="utf-8")
    log.info("wrote %s", path)


def run_blanks(command: str, words: Words) -> None:
    """Tell the blank images of every sweep; write the numbers as JSON, keyed by sweep."""
    params = parse(BlanksParams, words.assignments)
    assert isinstance(params, BlanksParams)
    experiments, reflections = read_inputs(command, words)
    assert reflections is not None
    content, lines = {}, []
    for first, table in _sweeps(experiments, reflections):
        if first.scan is None or first.scan.is_still:
            raise ParameterError(f"{first.name}: blanks are looked for in rotation data; use spot_counts_per_image")
        found = analyse(
            table, first.scan, phi_step=params.phi_step, counts_fractional_loss=params.counts_fractional_loss,
            misigma_fractional_loss=params.misigma_fractional_loss,
        )  # fmt: skip
        key = first.name if first.name not in content else f"{first.name} {first.identifier}"
        content[key] = {name: a.as_dict() for name, a in found.items()}
        for name, a in found.items():
            regions = ", ".join(f"{low}-{high}" for low, high in a.regions) or "none"
            lines.append([first.name, name, len(a.values), f"{a.values.max():.4g}", regions])
    with step_log(words.output_dir, command):
        header = ["sweep", "judged by", "bins", "best bin", "potential blank images"]
        log.info("%s", text_table(header, lines, title="Parts of the sweeps without diffraction"))
        _write_json(words.output_dir / params.output, content)


def _sweeps(experiments: ExperimentList, reflections: ReflectionTable) -> list[tuple[Experiment, ReflectionTable]]:
    """One experiment per set of images, and the reflections of all lattices on them, indexed or not."""
    groups = list(experiments.groups(lambda e: id(e.imageset) if e.imageset is not None else e.identifier).values())
    out = []
    for number, rows in enumerate(groups):
        chosen = np.isin(reflections["id"], rows)
        if "imageset_id" in reflections:
            chosen |= (reflections["id"] < 0) & (reflections["imageset_id"] == number)
        out.append((experiments[rows[0]], reflections.select(chosen)))
    return out
