"""Beam and detector learnt from the first sweeps of an instrument setting, then held for all of them.

With them go the cell those sweeps agree on, and some of them that lend reflection profiles to weak ones. Everything a
sweep's intensities depend on is so its own files, the parameters, and the calibration: sweeps that come later change
nothing of those that are done (docs/decisions/0018).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.flow import Flow
from mxdask.io.experiments import load
from mxdask.io.expt import read_expt, write_expt
from mxdask.io.refl import write_refl
from mxdask.models import Experiment, ExperimentList
from mxdask.pipeline import Chain
from mxdask.pipeline_params import Params
from mxdask.rundir import RunDirectory
from mxdask.watching.records import Record, key_of

# With fewer sweeps there is no telling a displaced detector from a slipping crystal.
LEAST_SWEEPS = 3
_LENDERS = 5


@dataclass(frozen=True)
class Calibration:
    """What the sweeps of one instrument setting have in common.

    Attributes
    ----------
    folder : of the run that found it. fingerprint : of all that it was learnt from.
    shared : whether one geometry fits the sweeps; if not, every sweep keeps its own.
    cell : (6,) that most of them agree on (Å, degrees), or None.
    lenders : identifiers of the refined sweeps with most reflections, in the run's refined files.
    sweeps : names of those it was learnt from.
    """

    folder: str
    fingerprint: str
    shared: bool
    cell: tuple[float, ...] | None
    lenders: tuple[str, ...]
    sweeps: tuple[str, ...]

    def put_into(self, experiments: ExperimentList) -> ExperimentList:
        """The experiments with the calibrated beam and detector, one object each."""
        if not self.shared:
            return experiments
        known = read_expt(RunDirectory(self.folder) / "refined.expt")[0]
        return experiments.with_experiments([e.evolve(beam=known.beam, detector=known.detector) for e in experiments])


def instrument_of(experiment: Experiment) -> str:
    """Short name of an instrument setting: wavelength and detector as the header has them."""
    assert experiment.beam is not None and experiment.detector is not None
    digest = hashlib.sha256(f"{experiment.beam.wavelength:.5f}".encode())
    for panel in experiment.detector.panels:
        frame = np.concatenate([panel.fast_axis, panel.slow_axis, panel.origin / 1000.0, panel.pixel_size])
        digest.update(f"{panel.image_size} {np.round(frame, 5) + 0.0}".encode())
    return digest.hexdigest()[:10]


def how_many(candidates: int, wanted: int) -> int:
    """Of how many sweeps the geometry is learnt: three as soon as there are so many, later all that are wanted.

    It follows from the number alone, so that the same sweeps give the same answer whenever they came.
    """
    if candidates >= wanted >= LEAST_SWEEPS:
        return wanted
    return LEAST_SWEEPS if candidates >= LEAST_SWEEPS <= wanted else 0


def calibrate(folder: Path, sweeps: Sequence[tuple[str, Path, str]], params: Params, flow: Flow) -> Calibration | None:
    """Index and refine some sweeps together.

    Parameters
    ----------
    folder : for the files. sweeps : name, folder with imported.expt and strong.refl, and key of each.

    Returns
    -------
    None if they cannot be refined.
    """
    key = key_of([f"{name} {own}" for name, _, own in sweeps], params.model_dump_json())
    path = folder / "calibration.json"
    known = Record.read(path)
    if known is None or known.key != key:
        try:
            known = Record(key, True, numbers=_learn(folder, sweeps, params, flow))
        except MxdaskError as error:
            known = Record(key, False, str(error))
        known.write(path)
    if not known.ok:
        return None
    numbers: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in known.numbers.items()}
    return Calibration(folder=str(folder), fingerprint=key, **numbers)


def _learn(folder: Path, sweeps: Sequence[tuple[str, Path, str]], params: Params, flow: Flow) -> dict[str, Any]:
    run = RunDirectory(folder)
    found = [RunDirectory(own) for _, own, _ in sweeps]
    experiments, spots = load([r / "imported.expt" for r in found], [r / "strong.refl" for r in found])
    folder.mkdir(parents=True, exist_ok=True)
    write_expt(run / "imported.expt", _one_geometry(experiments), program="mxdask.watch")
    assert spots is not None
    write_refl(run / "strong.refl", spots)
    run.save_summary("import", {"step": "import", "rows": []})
    run.save_summary("find_spots", {"step": "find_spots", "rows": []})
    chain = Chain(params, run, flow)
    apart: dict[str, Any] = {"indexing.joint_indexing": False}
    chain.step("index", "import", "find_spots", **apart)
    chain.step("refine", "index")
    refined, _ = run.load("refine")
    assert refined is not None
    rows = run.summary("refine")["rows"]
    counts = {row["identifier"]: row.get("n_reflections") or 0 for row in rows}
    best = sorted(refined.identifiers, key=lambda i: (-counts.get(i, 0), i))[:_LENDERS]
    return {
        "shared": len(refined.unique("detector")) == 1 and len(refined.unique("beam")) == 1,
        "cell": run.summary("index").get("consensus_cell"),
        "lenders": [i for i in refined.identifiers if i in best],
        "sweeps": [name for name, _, _ in sweeps],
    }


def _one_geometry(experiments: ExperimentList) -> ExperimentList:
    """Sweeps of one instrument setting share the header's beam and detector."""
    first = experiments[0]
    return experiments.with_experiments([e.evolve(beam=first.beam, detector=first.detector) for e in experiments])
