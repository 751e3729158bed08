"""``mxdask show_mask`` and ``mxdask shadow_plot``: what is masked, why, and when."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from mxdask.cli.dispatch import Words
from mxdask.cli.logs import step_log
from mxdask.errors import FileError, ParameterError
from mxdask.images import open_stack
from mxdask.images.mask_reasons import mask_reasons
from mxdask.images.shadows import sweep_shadow
from mxdask.io.expt import read_expt
from mxdask.io.json_files import write_json
from mxdask.masks.assign import numbered
from mxdask.masks.picture import draw_mask, panel_offsets
from mxdask.models import Experiment, ExperimentList
from mxdask.params import StepParams, parse
from mxdask.text import text_table

log = logging.getLogger(__name__)


class ShowOutput(StepParams):
    """Files that show_mask writes."""

    picture: str = Field("mask.png", description="Picture of the detector, pixels coloured by reason; numbered")
    json_file: str | None = Field("mask.json", description="Number of pixels per reason")


class ShowParams(StepParams):
    """Parameters of show_mask."""

    image: int | None = Field(None, description="Number of the image that is shown; None is the first of the sweep")
    values: bool = Field(True, description="Read the image: pixels outside the trusted range, and counts in grey")
    output: ShowOutput = ShowOutput()


class PlotOutput(StepParams):
    """Files that shadow_plot writes."""

    plot: str | None = Field("scan_shadow_plot.html", description="Shadowed fraction of every sweep against its angle")
    json_file: str | None = Field("scan_shadow_plot.json", description="The numbers of the curves")


class PlotParams(StepParams):
    """Parameters of shadow_plot; names as in DIALS."""

    oscillation_range: tuple[float, float] | None = Field(
        None, description="First and last scan angle; None is the sweep's", json_schema_extra={"unit": "deg"}
    )
    step_size: float | None = Field(
        None, gt=0, description="Step; None is the width of an image", json_schema_extra={"unit": "deg"}
    )
    y_max: float | None = Field(
        None, gt=0, le=100, description="Upper end of the axis", json_schema_extra={"unit": "%"}
    )
    output: PlotOutput = PlotOutput()

    @field_validator("oscillation_range")
    @classmethod
    def _rising(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[0] >= value[1]:
            raise ValueError("the second angle must be above the first")
        return value


def run_show_mask(command: str, words: Words) -> None:
    """Draw and count the masked pixels of every sweep by reason; sweeps with the same reasons are drawn once."""
    params = parse(ShowParams, words.assignments)
    assert isinstance(params, ShowParams)
    experiments, folder = _experiments(command, words), words.output_dir
    with step_log(folder, command):
        rows = _different(experiments)
        summary = []
        for row, name in zip(rows, numbered(params.output.picture, len(rows)), strict=True):
            summary.append(_show(experiments[row], params, folder / name))
        if params.output.json_file:
            _write_json(folder / params.output.json_file, {"sweeps": summary})


def _different(experiments: ExperimentList) -> list[int]:
    """The first row of each group of sweeps that have the same masks, detector, and no shadow of their own."""
    seen: set[Any] = set()
    rows = []
    for row, experiment in enumerate(experiments):
        stack = open_stack(experiment)
        limits = tuple(p.trusted_range for p in experiment.detector.panels) if experiment.detector else ()
        own = stack.name if stack.shadow is not None else None
        key = tuple(map(id, stack.mask())), stack.mask_file, stack.untrusted, limits, own
        if key not in seen:
            seen.add(key)
            rows.append(row)
    return rows


def _show(experiment: Experiment, params: ShowParams, path: Path) -> dict[str, Any]:
    """One picture, one table; what both say as plain data."""
    stack, detector = open_stack(experiment), experiment.detector
    assert detector is not None
    first, end = stack.array_range
    z = first if params.image is None else params.image - 1
    if not first <= z < end:
        raise ParameterError(f"image={params.image}: {experiment.name} has images {first + 1} to {end}")
    frames = None
    if params.values:
        try:
            with stack.reader() as reader:
                frames = tuple(frame.copy() for frame in reader.read(z))
        except FileError as error:
            log.info("The image itself is left out: %s", error)
    reasons = mask_reasons(stack, detector, z, frames)
    offsets = panel_offsets(stack.shapes, [window.offset for window in stack.windows])
    draw_mask(path, reasons, offsets, f"{experiment.name}, image {z + 1}", frames)
    n_masked = sum(n for _, n, _ in reasons.rows())
    rows = [[name, n, f"{100 * n / reasons.n_pixels:.3f}", total] for name, n, total in reasons.rows()]
    rows.append(["all", n_masked, f"{100 * n_masked / reasons.n_pixels:.3f}", n_masked])
    title = f"{experiment.name}, image {z + 1}"
    log.info("%s", text_table(["reason", "pixels", "%", "with those above"], rows, title=title))
    log.info("wrote %s", path)
    return {
        "sweep": experiment.name,
        "image": z + 1,
        "n_pixels": reasons.n_pixels,
        "n_masked": n_masked,
        "reasons": [{"reason": name, "first": n, "all": total} for name, n, total in reasons.rows()],
    }


def run_shadow_plot(command: str, words: Words) -> None:
    """Fraction of the detector in the goniometer's shadow against the scan angle, for every sweep."""
    params = parse(PlotParams, words.assignments)
    assert isinstance(params, PlotParams)
    experiments, folder = _experiments(command, words), words.output_dir
    from mxdask.masks.shadow_curve import shadow_curve, write_plot

    with step_log(folder, command):
        curves, axis = {}, "scan angle"
        for experiment in experiments:
            shadow = sweep_shadow(experiment)
            if shadow is None or experiment.scan is None:
                continue
            start, end = params.oscillation_range or sorted(experiment.scan.oscillation_range)
            step = params.step_size or abs(shadow.width) or 1.0
            curves[experiment.name] = shadow_curve(shadow.shadow, start, end, step)
            goniometer = shadow.shadow.goniometer
            axis = goniometer.names[goniometer.scan_axis] if goniometer.names else axis
        if not curves:
            raise ParameterError(
                "no sweep has a goniometer whose shadow is known; import with format.dynamic_shadowing=smargon, "
                "mini_kappa, i23_kappa or diamond_anvil if it is one of these"
            )
        for name, (angles, fractions) in curves.items():
            k = int(fractions.argmax())
            log.info("%s: at most %.2f%% in the shadow, at %.2f°", name, 100 * fractions[k], angles[k])
        if params.output.json_file:
            content = {n: {"scan_points": a.tolist(), "fraction_shadowed": f.tolist()} for n, (a, f) in curves.items()}
            _write_json(
                folder / params.output.json_file, next(iter(content.values())) if len(content) == 1 else content
            )
        if params.output.plot:
            write_plot(folder / params.output.plot, curves, axis, params.y_max)
            log.info("wrote %s", folder / params.output.plot)


def _write_json(path: Path, content: Any) -> None:
    write_json(path, content)
    log.info("wrote %s", path)


def _experiments(command: str, words: Words) -> ExperimentList:
    if len(words.files) != 1 or not words.files[0].endswith((".expt", ".json")):
        raise ParameterError(f"one .expt file is needed; `mxdask {command} --help` tells more")
    return read_expt(words.files[0])
