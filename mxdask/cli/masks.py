"""``mxdask generate_mask`` and ``mxdask apply_mask``: what of a detector is not to be used."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from mxdask.cli.dispatch import Words
from mxdask.cli.logs import step_log
from mxdask.errors import FileError, ParameterError
from mxdask.images import open_stack
from mxdask.io.expt import read_expt, write_expt
from mxdask.io.mask import write_mask
from mxdask.masks.assign import Mask, combined, distinct, generate_for, numbered, read_fitting, with_mask_files
from mxdask.masks.generate import layers
from mxdask.masks.params import MaskParams
from mxdask.masks.shape_file import SUFFIXES, with_shapes
from mxdask.models import Detector, Experiment, ExperimentList
from mxdask.params import StepParams, parse

log = logging.getLogger(__name__)


class GenerateOutput(StepParams):
    """Files that generate_mask writes."""

    mask: str = Field("pixels.mask", description="Mask file (DIALS' pickle, or .npz); numbered if there are several")
    experiments: str | None = Field(None, description="The experiments with this mask as their look-up mask")
    picture: str | None = Field(None, description="PNG of the generated mask, coloured by reason")


class GenerateParams(MaskParams):
    """Parameters of generate_mask."""

    shapes: tuple[str, ...] = Field((), description="Files with more of the same: .phil, .yaml or .json")
    merge: Literal["lookup", "all", "none"] = Field(
        "lookup",
        description="AND with the look-up masks the experiments have; all: with the pixel masks of image files and the "
        "untrusted rectangles, too; none: only what is generated",
    )
    output: GenerateOutput = GenerateOutput()


class ApplyInput(StepParams):
    """What apply_mask reads."""

    mask: tuple[str, ...] = Field((), description="Mask files, instead of or in addition to those among the words")


class ApplyOutput(StepParams):
    """Files that apply_mask writes."""

    experiments: str = Field("masked.expt", description="The experiments with their masks")
    mask: str = Field("combined.mask", description="Where a mask is combined with one that is there: the two ANDed")


class ApplyParams(StepParams):
    """Parameters of apply_mask."""

    input: ApplyInput = ApplyInput()
    merge: bool = Field(True, description="AND with the look-up masks that are there; False takes their place")
    output: ApplyOutput = ApplyOutput()


def run_generate_mask(command: str, words: Words) -> None:
    """Masks from shapes and resolution, for every distinct detector of an .expt."""
    shape_files = [f for f in words.files if f.endswith(SUFFIXES)]
    params = parse(GenerateParams, words.assignments)
    assert isinstance(params, GenerateParams)
    experiments = _experiments(command, [f for f in words.files if f not in shape_files])
    wanted = MaskParams.model_validate(params.model_dump(include=set(MaskParams.model_fields), exclude_unset=True))

    def params_of(detector: Detector) -> MaskParams:
        out = wanted
        for path in (*shape_files, *params.shapes):
            out = with_shapes(out, path, detector[0].identifier)
        return out

    def existing(experiment: Experiment) -> Mask | None:
        if params.merge == "all":
            return open_stack(experiment).mask()
        mask = experiment.imageset.mask if experiment.imageset else None
        return read_fitting(mask, experiment) if mask and params.merge == "lookup" else None

    folder = words.output_dir
    with step_log(folder, command):
        if any(r.panel is None and len(d) > 1 for d in experiments.unique("detector") for r in params_of(d).untrusted):
            log.info("Shapes without untrusted.panel are taken to be on panel 0")
        found = generate_for(experiments, params_of, existing)
        files = {}
        for assigned, name in zip(found, numbered(params.output.mask, len(found)), strict=True):
            path = folder / name
            write_mask(path, assigned.mask)
            n_masked, n = sum(int((~m).sum()) for m in assigned.mask), sum(m.size for m in assigned.mask)
            log.info("wrote %s: %d of %d pixels masked (%.2f%%)", path, n_masked, n, 100 * n_masked / n)
            files.update(dict.fromkeys(assigned.rows, str(path.resolve())))
        if params.output.experiments:
            path = folder / params.output.experiments
            write_expt(path, with_mask_files(experiments, files), program="mxdask.generate_mask")
            log.info("wrote %s", path)
        if params.output.picture:
            _picture(folder / params.output.picture, experiments[0], params_of)


def _picture(path: Path, experiment: Experiment, params_of: Callable[[Detector], MaskParams]) -> None:
    """The mask of the first experiment by reason."""
    from mxdask.masks.picture import draw_mask, panel_offsets
    from mxdask.masks.reasons import Reasons

    detector = experiment.detector
    assert detector is not None
    shapes = [p.image_size[::-1] for p in detector.panels]
    reasons = Reasons.none(shapes)
    for layer in layers(detector, experiment.beam, params_of(detector)):
        masks = [np.ones(shape, dtype=bool) for shape in shapes]
        for number, (panel, mask) in enumerate(zip(detector.panels, masks, strict=True)):
            layer.apply(mask, number, panel)
        reasons.add(layer.reason, masks)
    offsets = panel_offsets(shapes, [p.raw_image_offset[::-1] for p in detector.panels])
    draw_mask(path, reasons, offsets, experiment.name)
    log.info("wrote %s", path)


def run_apply_mask(command: str, words: Words) -> None:
    """Make mask files the look-up masks of an .expt: one for all sweeps, or one per image set, in their order."""
    params = parse(ApplyParams, words.assignments)
    assert isinstance(params, ApplyParams)
    names = [f for f in words.files if not f.endswith((".expt", ".json"))] + list(params.input.mask)
    experiments = _experiments(command, [f for f in words.files if f not in names])
    sets = experiments.unique("imageset")
    if not names:
        raise ParameterError("no mask file given: mxdask apply_mask imported.expt pixels.mask")
    if len(names) not in (1, len(sets)):
        raise ParameterError(f"{len(names)} mask files for {len(sets)} image sets: give one for all, or one for each")
    folder = words.output_dir
    with step_log(folder, command):
        files: dict[int, str] = {}
        merged: dict[int, Mask] = {}
        for row, experiment in enumerate(experiments):
            if experiment.imageset is None or experiment.detector is None:
                raise FileError(f"{experiment.name}: experiment without images or detector; a mask has no place there")
            place = next(k for k, s in enumerate(sets) if s is experiment.imageset)
            name = names[0 if len(names) == 1 else place]
            mask, old = read_fitting(name, experiment), experiment.imageset.mask
            files[row] = str(Path(name).resolve())
            if params.merge and old and Path(old).resolve() != Path(name).resolve():
                merged[row] = combined(mask, read_fitting(old, experiment))
        files.update(_write_merged(folder, params.output.mask, merged))
        path = folder / params.output.experiments
        write_expt(path, with_mask_files(experiments, files), program="mxdask.apply_mask")
        log.info("wrote %s", path)


def _write_merged(folder: Path, name: str, merged: dict[int, Mask]) -> dict[int, str]:
    """Write combined masks; their file by row of the experiments."""
    rows, groups = list(merged), distinct(merged.values())
    files = {}
    for group, file in zip(groups, numbered(name, len(groups)) if groups else [], strict=True):
        write_mask(folder / file, group.mask)
        log.info("wrote %s: the mask given and the one that was there, ANDed", folder / file)
        files.update({rows[k]: str((folder / file).resolve()) for k in group.rows})
    return files


def _experiments(command: str, files: list[str]) -> ExperimentList:
    if len(files) != 1 or not files[0].endswith((".expt", ".json")):
        raise ParameterError(f"one .expt file is needed; `mxdask {command} --help` tells more")
    return read_expt(files[0])
