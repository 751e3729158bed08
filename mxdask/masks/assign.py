"""Which sweep gets which mask: one file per distinct mask, not one per sweep (DIALS #1151)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mxdask.errors import FileError, ParameterError
from mxdask.io.mask import read_mask
from mxdask.masks.generate import generate_mask
from mxdask.masks.params import MaskParams
from mxdask.models import Detector, Experiment, ExperimentList, ImageSet

Mask = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Assigned:
    """A mask and the rows of the experiments it is for."""

    mask: Mask
    rows: tuple[int, ...]


def generate_for(
    experiments: ExperimentList,
    params_of: Callable[[Detector], MaskParams],
    existing: Callable[[Experiment], Mask | None],
) -> list[Assigned]:
    """Distinct masks of an experiment list, in order of first use.

    Parameters
    ----------
    params_of : the parameters for a detector. existing : a mask to AND with, or None.

    Raises
    ------
    ParameterError : see :func:`mxdask.masks.generate.generate_mask`; or an experiment without detector.
    """
    made: dict[object, Mask] = {}
    masks = []
    for experiment in experiments:
        detector, beam = experiment.detector, experiment.beam
        if detector is None:
            raise ParameterError(f"{experiment.name}: experiment without detector; give the .expt written by import")
        params = params_of(detector)
        key = id(detector), params, None if beam is None or not params.needs_resolution else tuple(beam.s0)
        if key not in made:
            made[key] = generate_mask(detector, beam, params)
        masks.append(combined(made[key], existing(experiment)))
    return distinct(masks)


def combined(mask: Mask, other: Mask | None) -> Mask:
    """AND of two masks of the same detector."""
    return mask if other is None else tuple(a & b for a, b in zip(mask, other, strict=True))


def distinct(masks: Iterable[Mask]) -> list[Assigned]:
    """Equal masks are one, in order of first use."""
    groups: dict[bytes, tuple[Mask, list[int]]] = {}
    seen: dict[int, bytes] = {}
    kept = list(masks)  # alive as long as ids are compared
    for row, mask in enumerate(kept):
        key = seen.get(id(mask)) or _digest(mask)
        seen[id(mask)] = key
        groups.setdefault(key, (mask, []))[1].append(row)
    return [Assigned(mask, tuple(rows)) for mask, rows in groups.values()]


def _digest(mask: Mask) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for panel in mask:
        digest.update(f"{panel.shape}".encode())
        digest.update(np.packbits(panel).tobytes())
    return digest.digest()


def read_fitting(path: str | Path, experiment: Experiment) -> Mask:
    """The mask of a file, for the detector of an experiment.

    Raises
    ------
    FileError : it cannot be read, or is for another detector.
    """
    assert experiment.detector is not None
    masks = read_mask(path)
    found, wanted = [m.shape for m in masks], [p.image_size[::-1] for p in experiment.detector.panels]
    if found != wanted:
        raise FileError(
            f"{path}: mask of {_words(found)}, but {experiment.name} has {_words(wanted)} (slow × fast); "
            "give a mask made for this detector"
        )
    return masks


def _words(shapes: Sequence[tuple[int, ...]]) -> str:
    sizes = sorted({f"{slow} × {fast}" for slow, fast in shapes})
    return f"{len(shapes)} panel{'s' if len(shapes) != 1 else ''} of {', '.join(sizes[:3])} pixels"


def with_mask_files(experiments: ExperimentList, files: Mapping[int, str]) -> ExperimentList:
    """The experiments with look-up masks by row; rows that shared an image set and get the same file go on sharing."""
    made: dict[tuple[int, str], ImageSet] = {}
    out = []
    for row, experiment in enumerate(experiments):
        if row in files and experiment.imageset is not None:
            key = id(experiment.imageset), files[row]
            made.setdefault(key, replace(experiment.imageset, mask=files[row]))
            experiment = experiment.evolve(imageset=made[key])
        out.append(experiment)
    return experiments.with_experiments(out)


def numbered(name: str, n: int) -> list[str]:
    """``pixels.mask``, or ``pixels_1.mask`` … ``pixels_n.mask`` with as many digits as n has, as DIALS names them."""
    if n == 1:
        return [name]
    path = Path(name)
    return [str(path.with_name(f"{path.stem}_{k:0{len(str(n))}d}{path.suffix}")) for k in range(1, n + 1)]
