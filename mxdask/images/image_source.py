"""Which copy of the images is read: the files they came in, or the Zarr stores made of them."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mxdask.errors import FileError, MxdaskError
from mxdask.io.expt import read_expt
from mxdask.io.expt_models import imageset_from_dict
from mxdask.models import Experiment, ExperimentList, ImageSet

log = logging.getLogger(__name__)

CONVERTED = "converted.expt"
_LOOKUPS = ("mask", "gain", "pedestal", "dx", "dy")


@dataclass(frozen=True)
class _Store:
    """A store, the images it was made of and their range; it may hold a part only of a file with several scans."""

    imageset: ImageSet
    original: ImageSet
    array_range: tuple[int, int]

    def holds(self, experiment: Experiment) -> bool:
        own, scan = experiment.imageset, experiment.scan
        if own is None or scan is None or own.template != self.original.template:
            return False
        first, end = scan.array_range
        return self.array_range[0] <= first and end <= self.array_range[1]


def with_images_from(
    experiments: ExperimentList, choice: Literal["auto", "images", "zarr"], folder: Path | None
) -> ExperimentList:
    """The experiments with the image sets to read.

    Sweep and store belong together when the store was made of the sweep's images: identifiers will not do, indexing
    gives new ones. Masks and maps stay those of the experiment.

    Parameters
    ----------
    choice : ``auto``: the stores of ``converted.expt`` where it has the sweep and the store is still there, else what
        the experiment names. ``zarr``, ``images``: these, or an error.
    folder : of the run, where ``converted.expt`` is looked for.

    Raises
    ------
    MxdaskError : the copy asked for is not known.
    """
    wanted = choice != "images"
    if all(_is_store(e.imageset) == wanted for e in experiments):
        return experiments
    stores = _stores(folder, must_be_good=choice == "zarr") if wanted else []
    replaced: dict[int, ImageSet] = {}  # lattices of one sweep go on sharing one image set
    out = []
    for experiment in experiments:
        own = experiment.imageset
        if own is None or _is_store(own) == wanted:
            out.append(experiment)
            continue
        if wanted:
            other = next((s.imageset for s in stores if s.holds(experiment)), None)
        else:
            other = _read(Path(own.template)).original
        if other is not None:
            kept = {name: value for name in _LOOKUPS if (value := getattr(own, name)) and Path(value).exists()}
            out.append(experiment.evolve(imageset=replaced.setdefault(id(own), replace(other, **kept))))
        elif choice == "zarr":
            raise MxdaskError(
                f"images_from=zarr: {experiment.name} is not in {CONVERTED} of the output folder; "
                "run mxdask convert there"
            )
        else:
            out.append(experiment)
    if replaced:
        log.info("reading %d sweeps from %s", len(replaced), "Zarr stores" if wanted else "the original images")
    return experiments.with_experiments(out)


def _stores(folder: Path | None, must_be_good: bool) -> list[_Store]:
    """The stores of the run; what cannot be read is an error, or left out with a line in the log."""
    path = None if folder is None else folder / CONVERTED
    if path is None or not path.exists():
        return []
    found: list[_Store] = []

    def or_images(error: FileError) -> None:
        if must_be_good:
            raise error
        log.warning("%s; the images are taken from where they were", error)

    try:
        sets = [e.imageset for e in read_expt(path) if e.imageset is not None]
    except FileError as error:
        or_images(error)
        return []
    for imageset in {s.template: s for s in sets}.values():
        try:
            found.append(replace(_read(Path(imageset.template)), imageset=imageset))
        except FileError as error:
            or_images(error)
    return found


def _read(path: Path) -> _Store:
    """What a store says of itself.

    Raises
    ------
    FileError : not there, or not written by this program.
    """
    try:
        attributes: dict[str, Any] = json.loads((path / "zarr.json").read_text())["attributes"]
        first, end = (int(z) for z in attributes["array_range"])
        original = imageset_from_dict(attributes["experiment"]["imageset"][0], path.parent)
    except OSError as error:
        raise FileError(f"{path}: no Zarr store there ({error.strerror or error}); run mxdask convert again") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise FileError(f"{path}: not a store of frames written by mxdask ({error}); convert again") from error
    if original is None:
        raise FileError(f"{path}: the store does not say which images it was made of; convert again")
    return _Store(original, original, (first, end))


def _is_store(imageset: ImageSet | None) -> bool:
    return imageset is not None and imageset.template.endswith(".zarr")
