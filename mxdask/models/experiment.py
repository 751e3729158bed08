"""Experiments: which models belong together, and where the images are."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from mxdask.models.beam import Beam
from mxdask.models.crystal import Crystal
from mxdask.models.detector import Detector
from mxdask.models.goniometer import Goniometer
from mxdask.models.scan import Scan

_NAMESPACE = uuid.UUID("6d78a55b-0000-5000-8000-6d7864617368")


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Where the images of a sweep (or stills) are; holds no pixels.

    Attributes
    ----------
    template : file name with ``#`` for the image number, or the master file; "" for a list of stills.
    paths : the files of stills, or () for a sequence.
    single_file_indices : 0-based frame of each image in a multi-image container; None for one file per image.
    mask, gain, pedestal, dx, dy : names of look-up files, or None.
    params : arguments of the format (``dynamic_shadowing``, ``multi_panel``).
    kind : ``ImageSequence``, ``ImageSet`` or ``ImageGrid``.
    extra : other keys of the file, verbatim.
    """

    template: str
    single_file_indices: tuple[int, ...] | None = None
    paths: tuple[str, ...] = ()
    mask: str | None = None
    gain: str | None = None
    pedestal: str | None = None
    dx: str | None = None
    dy: str | None = None
    params: dict[str, Any] = field(default_factory=lambda: {"dynamic_shadowing": "Auto", "multi_panel": False})
    kind: str = "ImageSequence"
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """A short name for logs and tables: the file's name without folder, digits' template and suffixes."""
        base = (self.template or (self.paths[0] if self.paths else "?")).replace("\\", "/").rsplit("/", 1)[-1]
        for suffix in (".gz", ".bz2", ".nxs", ".h5", ".cbf", ".img", ".zarr"):
            base = base.removesuffix(suffix)
        return base.rstrip("#").rstrip("_-") or base


@dataclass(frozen=True, eq=False)
class Experiment:
    """One lattice on one sweep. Models that two experiments share are the same object (``is``).

    ``profile`` and ``scaling_model`` are plain dictionaries as in the file; steps read and write them through
    their own typed views.
    """

    identifier: str
    imageset: ImageSet | None = None
    beam: Beam | None = None
    detector: Detector | None = None
    goniometer: Goniometer | None = None
    scan: Scan | None = None
    crystal: Crystal | None = None
    profile: dict[str, Any] | None = None
    scaling_model: dict[str, Any] | None = None

    def evolve(self, **changes: Any) -> Experiment:
        """A copy with some fields replaced; the untouched models stay shared."""
        return replace(self, **changes)

    @property
    def name(self) -> str:
        """Short name of the sweep, for people."""
        return self.imageset.name if self.imageset is not None else self.identifier[:8]

    @property
    def lacks_for_rotation(self) -> str:
        """What keeps it from being rotation data, for people (``beam and no scan``); "" if nothing does."""
        missing = [name for name in ("beam", "detector", "goniometer", "scan") if getattr(self, name) is None]
        if not missing and self.scan is not None and self.scan.is_still:
            return "rotation between images"
        return " and no ".join(missing)


def new_identifier() -> str:
    """A fresh random experiment identifier (8-4-4-4-12 hexadecimal digits)."""
    return str(uuid.uuid4())


def derived_identifier(*parts: object) -> str:
    """The identifier that these parts (a sweep's file and images, an identifier and a number …) always give.

    A rerun then names the same experiment alike, and what was computed from it is found again.
    """
    return str(uuid.uuid5(_NAMESPACE, "|".join(map(str, parts))))


@dataclass(frozen=True, eq=False)
class ExperimentList:
    """Experiments in a fixed order, with the history of the programs that made them."""

    experiments: tuple[Experiment, ...] = ()
    history: tuple[str, ...] = ()

    def __init__(self, experiments: Iterable[Experiment] = (), history: Iterable[str] = ()) -> None:
        object.__setattr__(self, "experiments", tuple(experiments))
        object.__setattr__(self, "history", tuple(history))

    def __len__(self) -> int:
        return len(self.experiments)

    def __iter__(self) -> Iterator[Experiment]:
        return iter(self.experiments)

    def __getitem__(self, index: int) -> Experiment:
        return self.experiments[index]

    @property
    def identifiers(self) -> list[str]:
        """Identifiers in order."""
        return [e.identifier for e in self.experiments]

    def with_experiments(self, experiments: Iterable[Experiment]) -> ExperimentList:
        """Other experiments, same history."""
        return ExperimentList(experiments, self.history)

    def unique(self, model: str) -> list[Any]:
        """Distinct objects of one kind ("beam", "detector" …) in order of first use; None left out."""
        seen: dict[int, Any] = {}
        for experiment in self.experiments:
            value = getattr(experiment, model)
            if value is not None:
                seen.setdefault(id(value), value)
        return list(seen.values())

    def groups(self, key: Callable[[Experiment], Any]) -> dict[Any, list[int]]:
        """Rows grouped by ``key(experiment)``, in order of first use."""
        out: dict[Any, list[int]] = {}
        for row, experiment in enumerate(self.experiments):
            out.setdefault(key(experiment), []).append(row)
        return out
