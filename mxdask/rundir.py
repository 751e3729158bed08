"""A run directory: the files of each step, their summaries, and what they were made from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mxdask.errors import FileError
from mxdask.flow.fingerprint import code_fingerprint, content_fingerprint
from mxdask.io.expt import read_expt, write_expt
from mxdask.io.json_files import write_json
from mxdask.io.refl import read_refl, write_refl
from mxdask.models import ExperimentList
from mxdask.table import ReflectionTable


@dataclass(frozen=True)
class StepFiles:
    """Names of what a step leaves, as in DIALS. ``flags`` go into the history of the .expt file.

    A step without ``experiments`` leaves some where its summary names an ``experiments_file``.
    """

    experiments: str | None
    reflections: str | None
    others: tuple[str, ...] = ()
    flags: str = ""


FILES: dict[str, StepFiles] = {
    "import": StepFiles("imported.expt", None),
    "find_spots": StepFiles(None, "strong.refl"),
    "index": StepFiles("indexed.expt", "indexed.refl"),
    "refine": StepFiles("refined.expt", "refined.refl"),
    "integrate": StepFiles("integrated.expt", "integrated.refl", flags="integrated"),
    "symmetry": StepFiles("symmetrized.expt", "symmetrized.refl", flags="integrated"),
    "cosym": StepFiles("symmetrized.expt", "symmetrized.refl", flags="integrated"),
    "scale": StepFiles("scaled.expt", "scaled.refl", flags="scaled"),
    "merge": StepFiles(None, None, ("merged.mtz",)),
    "export": StepFiles(None, None, ("scaled.mtz",)),
}


class RunDirectory:
    """Reads and writes the files of the steps; a step is *complete* when its outputs match its manifest entry."""

    def __init__(self, path: str | Path = ".") -> None:
        self.path = Path(path)
        self._manifest = self.path / ".mxdask" / "manifest.json"

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def outputs(self, step: str) -> list[Path]:
        """The files a step leaves, its summary last."""
        files = FILES[step]
        experiments = files.experiments or self._experiments_file(step)
        names = [n for n in (experiments, files.reflections, *files.others) if n] + [f"{step}.json"]
        return [self.path / n for n in names]

    def key(self, *parts: str) -> str:
        """What a step's result depends on: the program and ``parts`` (fingerprints of inputs and parameters)."""
        return "|".join((code_fingerprint(), *parts))

    def is_complete(self, step: str, key: str) -> bool:
        """Whether the step's files are all there, unchanged, and were made with this key."""
        entry = self._read_manifest().get(step)
        outputs = self.outputs(step)
        if entry is None or entry["key"] != key or not all(p.exists() for p in outputs):
            return False
        return bool(entry["outputs"] == content_fingerprint(outputs))

    def mark_complete(self, step: str, key: str) -> None:
        """Enter into the manifest that a step is done, with what it was made from and what it left."""
        manifest = self._read_manifest()
        manifest[step] = {"key": key, "outputs": content_fingerprint(self.outputs(step))}
        self._manifest.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._manifest, manifest)

    def _read_manifest(self) -> dict[str, Any]:
        try:
            content = json.loads(self._manifest.read_text())
        except (OSError, ValueError):
            return {}
        # A damaged manifest only costs time: what it does not vouch for is done again.
        entries = content.items() if isinstance(content, dict) else ()
        return {k: v for k, v in entries if isinstance(v, dict) and v.keys() >= {"key", "outputs"}}

    def save(
        self,
        step: str,
        experiments: ExperimentList | None,
        reflections: ReflectionTable | None,
        summary: dict[str, Any],
    ) -> None:
        """Write a step's .expt, .refl and summary JSON; each appears whole or not at all."""
        files = FILES[step]
        self.path.mkdir(parents=True, exist_ok=True)
        name = files.experiments or summary.get("experiments_file")
        if name and experiments is not None:
            write_expt(self.path / name, experiments, program=f"mxdask.{step}", flags=files.flags)
        if files.reflections and reflections is not None:
            write_refl(self.path / files.reflections, reflections)
        self.save_summary(step, summary)

    def save_summary(self, step: str, summary: dict[str, Any]) -> None:
        """Write ``STEP.json``."""
        write_json(self.path / f"{step}.json", summary)

    def load_experiments(self, step: str) -> ExperimentList | None:
        """Only the experiments: reflections take much longer to read."""
        name = FILES[step].experiments or self._experiments_file(step)
        return read_expt(self.path / name) if name else None

    def load_reflections(self, step: str) -> ReflectionTable | None:
        """What a step left, or None where it writes no reflections."""
        name = FILES[step].reflections
        return read_refl(self.path / name) if name else None

    def load(self, step: str) -> tuple[ExperimentList | None, ReflectionTable | None]:
        """Experiments and reflections that a step left."""
        return self.load_experiments(step), self.load_reflections(step)

    def _experiments_file(self, step: str) -> str | None:
        """What the summary of find_spots names, if it changed the experiments."""
        if step != "find_spots" or not (self.path / f"{step}.json").exists():
            return None
        name = self.summary(step).get("experiments_file")
        return None if name is None else str(name)

    def summary(self, step: str) -> dict[str, Any]:
        """What a step told.

        Raises
        ------
        FileError : ``STEP.json`` is missing or damaged.
        """
        path = self.path / f"{step}.json"
        try:
            return dict(json.loads(path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise FileError(f"{path}: not a readable summary ({error}); run `mxdask {step}` again") from error

    def summaries(self) -> dict[str, dict[str, Any]]:
        """Summaries of all steps that left one, in the order data walks through them."""
        return {step: self.summary(step) for step in FILES if (self.path / f"{step}.json").exists()}
