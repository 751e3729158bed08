"""``estimate_gain``, ``find_hot_pixels``, ``find_bad_pixels``, ``image_average``: what the pixels say."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import numpy as np

from mxdask.cli.dispatch import Words
from mxdask.cli.inputs import read_inputs
from mxdask.cli.logs import step_log
from mxdask.errors import MxdaskError
from mxdask.flow import Failed, Flow
from mxdask.images.average import sum_images
from mxdask.io.atomic import replacing
from mxdask.io.mask import write_mask
from mxdask.models import Experiment, ExperimentList
from mxdask.params import parse
from mxdask.spots.bad_pixels import bad_pixels, common
from mxdask.spots.gain import sweep_gains
from mxdask.spots.hot_masks import HotPixels, hot_from_spots, mask_without
from mxdask.spots.tool_params import AverageParams, BadParams, GainParams, HotParams
from mxdask.text import text_table

__all__ = [
    "AverageParams", "BadParams", "GainParams", "HotParams", "run_average", "run_bad", "run_gain", "run_hot",
]  # fmt: skip

log = logging.getLogger(__name__)


def _flow(words: Words) -> Flow:
    return Flow(words.scheduler, n_workers=words.workers, progress=True, run_dir=words.output_dir)


def _sweeps(experiments: ExperimentList) -> list[Experiment]:
    """One experiment per set of images."""
    return [experiments[rows[0]] for rows in experiments.groups(lambda e: id(e.imageset)).values()]


def run_gain(command: str, words: Words) -> None:
    """Print the gain of every sweep.

    Raises
    ------
    MxdaskError : no sweep gave an estimate.
    """
    params = parse(GainParams, words.assignments)
    assert isinstance(params, GainParams)
    experiments, _ = read_inputs(command, words, reflections=False)
    sweeps = _sweeps(experiments)
    lines: list[list[object]] = []
    everything: list[float] = []
    with step_log(words.output_dir, command), _flow(words) as flow:
        items = [(e, params.kernel_size, params.max_images) for e in sweeps]
        for experiment, result in zip(sweeps, flow.map(sweep_gains, items, name="gain"), strict=True):
            if isinstance(result, Failed):
                lines.append([experiment.name, "-", "-", "-", result.reason])
                continue
            gains = [gain for _, _, gain in result]
            everything += gains
            n_images = len({image for image, _, _ in result})
            lines.append([experiment.name, n_images, f"{np.mean(gains):.3f}", f"{np.std(gains):.3f}", ""])
        log.info("%s", text_table(["sweep", "images", "gain", "scatter", ""], lines, title="Detector gain"))
        if not everything:
            raise MxdaskError(f"the gain could not be estimated: {lines[0][-1]}")
        log.info("Estimated gain: %.2f", float(np.median(everything)))


def run_hot(command: str, words: Words) -> None:
    """Write a mask per sweep that is False at the pixels that are strong on every image."""
    params = parse(HotParams, words.assignments)
    assert isinstance(params, HotParams)
    experiments, reflections = read_inputs(command, words)
    assert reflections is not None
    sweeps = _sweeps(experiments)
    with step_log(words.output_dir, command):
        for number, (experiment, path) in enumerate(zip(sweeps, _paths(words, params.mask, len(sweeps)), strict=True)):
            rows = [i for i, e in enumerate(experiments) if e.imageset is sweeps[number].imageset]
            hot = hot_from_spots(experiment, reflections.select(np.isin(reflections["id"], rows)))
            log.info("%s: found %d hot pixels", experiment.name, len(hot))
            _write_mask(experiment, hot, path)


def run_bad(command: str, words: Words) -> None:
    """Print and mask the pixels that are strong on many images of every sweep of a detector."""
    params = parse(BadParams, words.assignments)
    assert isinstance(params, BadParams)
    experiments, _ = read_inputs(command, words, reflections=False)
    sweeps = _sweeps(experiments)
    groups = list(ExperimentList(sweeps).groups(_detector_kind).values())
    with step_log(words.output_dir, command), _flow(words) as flow:
        paths = _paths(words, params.mask or "", len(groups))
        for rows, path in zip(groups, paths, strict=True):
            bad = common([bad_pixels(sweeps[row], params, flow=flow) for row in rows])
            panels = len(sweeps[rows[0]].detector.panels) if sweeps[rows[0]].detector is not None else 1  # type: ignore[union-attr]
            for panel, y, x in bad:
                log.info("mask: %s%d %d 16", f"{panel} " if panels > 1 else "", y, x)
            log.info("%d bad pixels in %s", len(bad), ", ".join(sweeps[row].name for row in rows))
            if params.mask is not None:
                _write_mask(sweeps[rows[0]], bad, path)


def _detector_kind(experiment: Experiment) -> tuple[tuple[int, int], ...]:
    """Sweeps with panels of the same sizes are taken for sweeps of the same detector, wherever it stands."""
    assert experiment.detector is not None
    return tuple(p.image_size for p in experiment.detector.panels)


def _paths(words: Words, name: str, n: int) -> list[Path]:
    """``name``, or ``name`` numbered before its suffix if there are several."""
    path = words.output_dir / name
    return [path] if n == 1 else [path.with_name(f"{path.stem}_{i}{path.suffix}") for i in range(n)]


def _write_mask(experiment: Experiment, pixels: HotPixels, path: Path) -> None:
    assert experiment.detector is not None
    write_mask(path, mask_without(experiment.detector, pixels))
    log.info("wrote %s", path)


def run_average(command: str, words: Words) -> None:
    """Write mean, standard deviation, maximum and number of usable values of every pixel, per sweep, as .npz."""
    params = parse(AverageParams, words.assignments)
    assert isinstance(params, AverageParams)
    experiments, _ = read_inputs(command, words, reflections=False)
    names = Counter[str]()
    with step_log(words.output_dir, command), _flow(words) as flow:
        for experiment in _sweeps(experiments):
            sums = sum_images(experiment, flow=flow, block=params.block_size, image_range=params.image_range)
            names[experiment.name] += 1
            again = f"-{names[experiment.name]}" if names[experiment.name] > 1 else ""
            path = words.output_dir / f"{experiment.name}{again}_average.npz"
            arrays: dict[str, np.ndarray] = {}
            for number, s in enumerate(sums):
                arrays |= {
                    f"mean_{number}": s.mean.astype(np.float32), f"sigma_{number}": s.sigma.astype(np.float32),
                    f"max_{number}": s.largest, f"count_{number}": s.count.astype(np.int32),
                }  # fmt: skip
            with replacing(path) as temporary, open(temporary, "wb") as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
            log.info("wrote %s", path)
