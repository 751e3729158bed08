"""Read and write DIALS experiment lists (.expt), old and new form (front.md 2)."""

from __future__ import annotations

import datetime
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mxdask import __version__
from mxdask.errors import FileError, MxdaskError
from mxdask.io.atomic import replacing
from mxdask.io.expt_models import (
    beam_from_dict,
    beam_to_dict,
    crystal_from_dict,
    crystal_to_dict,
    detector_from_dict,
    detector_to_dict,
    goniometer_from_dict,
    goniometer_to_dict,
    imageset_from_dict,
    imageset_to_dict,
    scan_from_dict,
    scan_to_dict,
)
from mxdask.models import Experiment, ExperimentList

_log = logging.getLogger(__name__)

MODELS = ("beam", "detector", "goniometer", "scan", "crystal", "profile", "scaling_model", "imageset")


def read_expt(path: str | Path, *, trusted_range_convention: str = "auto") -> ExperimentList:
    """Read an .expt file; no image is opened and none needs to exist.

    An experiment with a model that cannot be (numbers that are NaN, vectors that span no cell) is left out and the log
    says so: the others go on.

    Parameters
    ----------
    trusted_range_convention : files of DIALS before 3.13 mean both ends of the trusted range to be excluded.
        ``auto`` takes a file as such when it has no history and its lower end is a negative integer (front.md 0.2);
        ``inclusive`` and ``exclusive`` decide by hand. In memory both ends are included.

    Raises
    ------
    FileError : missing, not JSON, not an experiment list, or no experiment of it is sound.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}); give an existing .expt file") from error
    except ValueError as error:
        raise FileError(f"{path}: not a complete JSON file ({error}); make it again") from error
    if not isinstance(content, dict) or content.get("__id__") != "ExperimentList":
        raise FileError(f"{path}: not an experiment list (.expt)")
    try:
        reader = _Reader(content, path.resolve().parent, trusted_range_convention)
        found = reader.experiments()
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise FileError(f"{path}: damaged experiment list ({type(error).__name__}: {error})") from error
    except MxdaskError as error:
        raise FileError(f"{path}: {error}") from error
    if not found or (reader.flaws and "" in found.identifiers):  # without identifiers, reflections go by position
        flaws = [*reader.flaws, "it holds no experiment; give one that an earlier step wrote"]
        raise FileError(f"{path}: {flaws[0]}")
    for flaw in reader.flaws:
        _log.warning("%s: %s; it is left out", path, flaw)
    return found


@dataclass(frozen=True)
class _Unusable:
    """Stands for a model that cannot be, and says why."""

    reason: str


class _Reader:
    """Builds every model once per index, so that sharing survives.

    Attributes
    ----------
    flaws : which experiments are left out, and why.
    """

    def __init__(self, content: dict[str, Any], folder: Path, convention: str) -> None:
        self.content, self.folder = content, folder
        self.convention = convention
        self.models: dict[tuple[str, Any], Any] = {}
        self.flaws: list[str] = []

    def experiments(self) -> ExperimentList:
        rows = []
        for number, entry in enumerate(self.content["experiment"]):
            models = {kind: self._model(kind, entry[kind]) for kind in MODELS if kind in entry}
            sound = {kind: model for kind, model in models.items() if not isinstance(model, _Unusable)}
            experiment = Experiment(identifier=entry.get("identifier", ""), **sound)
            if len(sound) == len(models):
                rows.append(experiment)
            else:
                reason = next(model.reason for model in models.values() if isinstance(model, _Unusable))
                self.flaws.append(f"experiment {number} ({experiment.name}): {reason}")
        return ExperimentList(rows, self.content.get("history", []))

    def _model(self, kind: str, index: Any) -> Any:
        key = (kind, index)
        if key not in self.models:
            if isinstance(index, str):  # old files may name a file that holds the model
                value = json.loads((self.folder / index).read_text())
            else:
                value = self.content[kind][index]
            try:
                self.models[key] = self._build(kind, value)
            except MxdaskError as error:
                self.models[key] = _Unusable(str(error))
        return self.models[key]

    def _build(self, kind: str, value: Any) -> Any:
        if value is None or kind in ("profile", "scaling_model"):
            return value
        builders: dict[str, Callable[[dict[str, Any]], Any]] = {
            "beam": beam_from_dict,
            "detector": lambda d: detector_from_dict(d, exclusive=self._is_exclusive(d)),
            "goniometer": goniometer_from_dict,
            "scan": scan_from_dict,
            "crystal": crystal_from_dict,
            "imageset": lambda d: imageset_from_dict(d, self.folder),
        }
        return builders[kind](value)

    def _is_exclusive(self, detector: dict[str, Any]) -> bool:
        if self.convention != "auto":
            return self.convention == "exclusive"
        low = detector["panels"][0].get("trusted_range", [0, 0])[0]
        return "history" not in self.content and low < 0 and float(low).is_integer()


def write_expt(path: str | Path, experiments: ExperimentList, *, program: str = "mxdask", flags: str = "") -> None:
    """Write an .expt file that old and new DIALS read; one line of history is added.

    Parameters
    ----------
    program : name of the step, for the history.
    flags : ``integrated`` or ``scaled`` for the history, or nothing.
    """
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    entry = f"{stamp}|{program}|v{__version__}" + (f"|{flags}" if flags else "")
    content = to_dict(experiments)
    content["history"] = [*experiments.history, entry]
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2))


def to_dict(experiments: ExperimentList) -> dict[str, Any]:
    """The file's content as plain data; models are written once per object, in order of first use."""
    writers: dict[str, Callable[[Any], Any]] = {
        "imageset": imageset_to_dict, "beam": beam_to_dict, "detector": detector_to_dict,
        "goniometer": goniometer_to_dict, "scan": scan_to_dict, "crystal": crystal_to_dict,
        "profile": dict, "scaling_model": dict,
    }  # fmt: skip
    out: dict[str, Any] = {"__id__": "ExperimentList", "experiment": [], "history": list(experiments.history)}
    index: dict[str, dict[int, int]] = {}
    for kind, writer in writers.items():
        unique = experiments.unique(kind)
        index[kind] = {id(model): i for i, model in enumerate(unique)}
        out[kind] = [writer(model) for model in unique]
    for experiment in experiments:
        row: dict[str, Any] = {"__id__": "Experiment", "identifier": experiment.identifier}
        for kind in MODELS:
            model = getattr(experiment, kind)
            if model is not None:
                row[kind] = index[kind][id(model)]
        out["experiment"].append(row)
    return out
