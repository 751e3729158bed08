"""Which copy of the images is read: the files they came in, or the Zarr stores made of them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from mxdask.errors import FileError, MxdaskError
from mxdask.io.expt import read_expt
from mxdask.models import Experiment, ExperimentList, ImageSet

log = logging.getLogger(__name__)

CONVERTED, IMPORTED = "converted.expt", "imported.expt"


def with_images_from(
    experiments: ExperimentList, choice: Literal["auto", "images", "zarr"], folder: Path | None
) -> ExperimentList:
    """The experiments with the image sets to read.

    Parameters
    ----------
    choice : ``auto``: the stores of ``converted.expt`` where it has the sweep and the store is still there, else what
        the experiment names. ``zarr``, ``images``: these, or an error.
    folder : of the run, where ``converted.expt`` and ``imported.expt`` are looked for.

    Raises
    ------
    MxdaskError : the copy asked for is not known.
    """
    wanted = {"auto": True, "zarr": True, "images": False}[choice]
    if all(_is_store(e.imageset) == wanted for e in experiments):
        return experiments
    others = _image_sets(folder, CONVERTED if wanted else IMPORTED)
    replaced: dict[int, ImageSet] = {}  # lattices of one sweep go on sharing one image set
    out = []
    for experiment in experiments:
        own = experiment.imageset
        other = others.get(experiment.identifier)
        usable = other is not None and _is_store(other) == wanted
        if own is None or _is_store(own) == wanted or (choice == "auto" and not (usable and _exists(other))):
            out.append(experiment)
            continue
        if not usable or other is None:
            name = CONVERTED if wanted else IMPORTED
            raise MxdaskError(
                f"images_from={choice}: {experiment.name} is not in {name} of the output folder; "
                f"{'run mxdask convert there' if wanted else 'give the .expt made from the images'}"
            )
        out.append(experiment.evolve(imageset=replaced.setdefault(id(own), other)))
    if replaced:
        log.info("reading %d sweeps from %s", len(replaced), "Zarr stores" if wanted else "the original images")
    return experiments.with_experiments(out)


def _image_sets(folder: Path | None, name: str) -> dict[str, ImageSet]:
    """Identifier → image set of an .expt file of the run; none where there is no such file."""
    if folder is None or not (folder / name).exists():
        return {}
    return {e.identifier: e.imageset for e in _readable(folder / name) if e.imageset is not None}


def _readable(path: Path) -> list[Experiment]:
    try:
        return list(read_expt(path))
    except FileError as error:
        log.warning("%s cannot be read, the images are taken from where they were: %s", path, error)
        return []


def _is_store(imageset: ImageSet | None) -> bool:
    return imageset is not None and imageset.template.endswith(".zarr")


def _exists(imageset: ImageSet | None) -> bool:
    return imageset is not None and Path(imageset.template, "zarr.json").exists()
