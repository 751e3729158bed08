"""One sweep from its images to integrated reflections, in two stages: by itself, then with the calibration."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mxdask.errors import FileError, MxdaskError
from mxdask.flow import Flow
from mxdask.flow.failed import Failed
from mxdask.index.known_symmetry import match_cell
from mxdask.integrate.step import run as integrate
from mxdask.integrate.widths import MANY_SPOTS, measure_widths
from mxdask.io.experiments import load
from mxdask.lattice.cells import minimum_cell, real_space
from mxdask.models import Experiment, ExperimentList
from mxdask.pipeline import Chain, run_step
from mxdask.pipeline_params import Params, step_params
from mxdask.rundir import RunDirectory
from mxdask.table import ReflectionTable
from mxdask.watching.calibration import Calibration, instrument_of
from mxdask.watching.records import Record, key_of

# As in index.two_pass: cells farther from the common one than this are odd.
_LENGTH, _ANGLE = 0.05, 1.5


@dataclass(frozen=True)
class Job:
    """A sweep to process.

    Attributes
    ----------
    name, files, stamp : as in :class:`mxdask.watching.folder.Sweep`. folder : where its results go.
    """

    name: str
    files: tuple[str, ...]
    stamp: str
    folder: str

    @property
    def first(self) -> Path:
        """Folder of the first stage."""
        return Path(self.folder) / "alone"

    def key_of_first(self, params: Params) -> str:
        return key_of(self.name, self.files, self.stamp, params.model_dump_json())

    def key_of_second(self, params: Params, calibration: Calibration | None) -> str:
        """Depends on the sweep itself, the parameters and the calibration, on nothing else."""
        return key_of(self.key_of_first(params), calibration.fingerprint if calibration else "")


def find_lattice(job: Job, params: Params, flow: Flow | None = None) -> Record:
    """First stage: import, spots, lattice, as if there were no other sweep.

    ``flow`` : default: in this thread.
    """

    def work(flow: Flow) -> dict[str, Any]:
        run = RunDirectory(job.first)
        chain = Chain(params, run, flow)
        chain.step("import", files=job.files)
        imported, _ = run.load("import")
        assert imported is not None
        numbers: dict[str, Any] = {
            "instrument": instrument_of(imported[0]), "n_images": sum(e.scan.n_images for e in imported if e.scan),
        }  # fmt: skip
        chain.step("find_spots", "import")
        numbers["n_spots"] = run.summary("find_spots")["n_spots"]
        try:
            chain.step("index", "import", "find_spots")
        except FileError:
            raise
        except MxdaskError as error:  # the cell of other sweeps may help
            return numbers | {"no_lattice": _said(run, "index", error)}
        return numbers | _lattice(run)

    return _recorded(job.first / "record.json", job.key_of_first(params), work, job.first, flow)


def integrate_sweep(job: Job, params: Params, calibration: Calibration | None, flow: Flow | None = None) -> Record:
    """Second stage: refined with the calibrated geometry, integrated."""
    folder = Path(job.folder)

    def work(flow: Flow) -> dict[str, Any]:
        run, first = RunDirectory(folder), RunDirectory(job.first)
        chain = Chain(params, run, flow)
        before = Record.read(job.first / "record.json")
        assert before is not None
        source = _better_lattice(chain, first, before.numbers, calibration, params)
        if calibration is not None and calibration.shared:
            chain.step("refine", "index", source=source, models=calibration, **{"refinement.sharing.detector": "fixed"})
        else:
            chain.step("refine", "index", source=source)
        _integrate(run, params, calibration, flow)
        return before.numbers | _lattice(source) | _intensities(run)

    return _recorded(folder / "record.json", job.key_of_second(params, calibration), work, folder, flow)


def failure(job: Job, key: str, stage: Path, failed: Failed) -> Record:
    """What is recorded when a stage broke (a defect of ours, a worker lost)."""
    record = Record(key, False, failed.reason)
    record.write(stage / "record.json")
    return record


def _recorded(path: Path, key: str, work: Callable[[Flow], dict[str, Any]], run_dir: Path, flow: Flow | None) -> Record:
    begin = time.perf_counter()
    try:
        if flow is None:
            with Flow("sync", run_dir=run_dir) as own:
                numbers = work(own)
        else:
            numbers = work(flow)
        record = Record(key, True, "", numbers, round(time.perf_counter() - begin, 2))
    except MxdaskError as error:
        record = Record(key, False, str(error), seconds=round(time.perf_counter() - begin, 2))
    record.write(path)
    return record


def _better_lattice(
    chain: Chain, first: RunDirectory, alone: dict[str, Any], calibration: Calibration | None, params: Params
) -> RunDirectory:
    """The run with the lattice to use: that of the first stage, or one found with the cell the others agree on.

    Raises
    ------
    MxdaskError : there is none.
    """
    failed = alone.get("no_lattice")
    cell = calibration.cell if calibration is not None else None
    if cell is None or params.unit_cell is not None or (not failed and _is_like(alone, cell)):
        if failed:
            raise MxdaskError(str(failed))
        return first
    common: dict[str, Any] = {"indexing.known_symmetry.unit_cell": cell}
    try:
        chain.step("index", "import", "find_spots", source=first, models=calibration, **common)
    except MxdaskError as error:
        if failed:
            raise MxdaskError(f"{failed}; with the cell of the others: {error}") from error
        return first
    again = _lattice(chain.run)["n_indexed"]
    return chain.run if failed or again >= alone["n_indexed"] else first


def _is_like(alone: dict[str, Any], cell: tuple[float, ...]) -> bool:
    """Whether a sweep's cell is the common (reduced) one as far as indexing alone can tell."""
    own = minimum_cell(np.array(alone["cell"]), alone["centring"])[1]
    return match_cell(real_space(own), real_space(np.array(cell)), _LENGTH, _ANGLE) is not None


def _integrate(run: RunDirectory, params: Params, calibration: Calibration | None, flow: Flow) -> None:
    """Integrate; a sweep too weak to learn profiles from borrows those of the calibration's sweeps."""
    experiments, spots = run.load("refine")
    assert experiments is not None and spots is not None
    own = step_params(params, "integrate")
    if calibration is None or _is_rich(experiments, spots, own):
        run_step("integrate", run, own, flow, experiments=experiments, reflections=spots)
        return
    known = RunDirectory(calibration.folder)
    everyone, rows = load(
        [known / "refined.expt", run / "refined.expt"], [known / "refined.refl", run / "refined.refl"]
    )
    mine = set(experiments.identifiers)
    chosen = [e for e in everyone if e.identifier in mine or (e.identifier in calibration.lenders)]
    with Flow("sync", run_dir=known.path) as lending:  # keeps what the lenders' integration gave
        done, table, summary = integrate(everyone.with_experiments(chosen), rows, own, flow=lending)  # type: ignore[arg-type]
    kept = [e for e in done if e.identifier in mine]
    summary["rows"] = [row for row in summary["rows"] if row["identifier"] in mine]
    if not kept:
        reasons = "; ".join(row["reason"] for row in summary["rows"])
        raise MxdaskError(f"integrate: {reasons}")
    run.save("integrate", experiments.with_experiments(kept), _rows_of(table, done, mine), summary)


def _rows_of(table: ReflectionTable, experiments: ExperimentList, mine: set[str]) -> ReflectionTable:
    """Rows of some experiments, numbered anew."""
    rows = [i for i, e in enumerate(experiments) if e.identifier in mine]
    number = np.full(len(experiments), -1, dtype=np.int32)
    number[rows] = np.arange(len(rows))
    out = table.select(np.isin(table["id"], rows))
    out["id"] = number[out["id"]]
    out["imageset_id"] = np.zeros(len(out), dtype=np.int32)
    out.identifiers = {int(number[i]): experiments[i].identifier for i in rows}
    return out


def _is_rich(experiments: ExperimentList, spots: ReflectionTable, params: Any) -> bool:
    """Whether every lattice teaches itself its widths and profiles."""
    parts = spots.split_by("id")
    for number, experiment in enumerate(experiments):
        if number not in parts:
            return False
        try:
            widths = measure_widths(experiment, parts[number], params)
        except MxdaskError:
            return False
        if not widths.enough or widths.n_spots < MANY_SPOTS:
            return False
    return True


def _lattice(run: RunDirectory) -> dict[str, Any]:
    """What indexing found."""
    summary = run.summary("index")
    row = next(r for r in summary["rows"] if r["status"] == "ok")
    experiments, _ = run.load("index")
    assert experiments is not None
    first: Experiment = experiments[0]
    assert first.crystal is not None
    return {
        "n_indexed": summary["n_indexed"], "percent_indexed": summary["percent_indexed"], "cell": row["cell"],
        "centring": first.crystal.space_group.centring_type(), "n_lattices": len(experiments),
    }  # fmt: skip


def _intensities(run: RunDirectory) -> dict[str, Any]:
    rows = [r for r in run.summary("integrate")["rows"] if r["status"] == "ok"]
    return {
        "identifiers": [r["identifier"] for r in rows],
        "n_integrated": sum(r["n_integrated_sum"] for r in rows),
        "i_over_sigma": rows[0]["mean_i_over_sigma_prf"] or rows[0]["mean_i_over_sigma_sum"],
        "own_widths": all(r["own_widths"] for r in rows),
        "note": "; ".join(r["reason"] for r in rows if r["reason"]),
    }


def _said(run: RunDirectory, step: str, error: MxdaskError) -> str:
    """The sweep's own reason, if the step left one."""
    try:
        reasons = [r.get("reason", "") for r in run.summary(step)["rows"]]
    except FileError:
        return str(error)
    return f"{step}: {'; '.join(r for r in reasons if r)}" if any(reasons) else str(error)
