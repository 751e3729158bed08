"""The steps chained: images of many crystals to one merged data set."""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mxdask.errors import FileError, MxdaskError
from mxdask.flow import Flow
from mxdask.flow.fingerprint import content_fingerprint, stat_fingerprint
from mxdask.models import ExperimentList
from mxdask.params import StepParams
from mxdask.rundir import FILES, RunDirectory
from mxdask.step_input import check_input, check_steps
from mxdask.table import ReflectionTable

if TYPE_CHECKING:  # the parameters of all steps are heavy; a single step does without them
    from mxdask.pipeline_params import Params

log = logging.getLogger(__name__)

_MODULES = {
    "find_spots": "mxdask.spots.step",
    "index": "mxdask.index.step",
    "refine": "mxdask.refine.step",
    "integrate": "mxdask.integrate.step",
    "cosym": "mxdask.cosym.step",
    "symmetry": "mxdask.symmetry.step",
    "scale": "mxdask.scale.step",
}
_READS_PIXELS = ("find_spots", "integrate")


class GivenModels(Protocol):
    """Models from elsewhere (a calibrated geometry …) for the experiments of a step."""

    @property
    def fingerprint(self) -> str:
        """Of what it gives."""

    def put_into(self, experiments: ExperimentList) -> ExperimentList: ...


LogContext = Callable[[Path, str], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def _no_log(folder: Path, step: str) -> Any:
    yield


def run_step(
    step: str,
    run: RunDirectory,
    params: StepParams,
    flow: Flow,
    *,
    experiments: ExperimentList | None = None,
    reflections: ReflectionTable | None = None,
    files: Sequence[str | Path] = (),
) -> dict[str, Any]:
    """Run one step on given input and write its files into the run directory.

    Returns
    -------
    The step's summary.

    Raises
    ------
    MxdaskError : nothing is left to go on with (the summary, with every crystal's reason, is written all the same).
    """
    check_input(step, experiments, reflections)
    with flow.stage(step) as event:
        if step == "import":
            from mxdask.importing.step import run as run_import

            experiments, summary = run_import(list(files), params, flow=flow)  # type: ignore[arg-type]
            run.save(step, experiments, None, summary)
        elif step in ("merge", "export"):
            assert experiments is not None and reflections is not None
            summary = _write_mtz(step, run, params, experiments, reflections)
        else:
            module = importlib.import_module(_MODULES[step])
            experiments, reflections, summary = module.run(experiments, reflections, params, flow=flow)
            if len(experiments) == 0:
                run.save_summary(step, summary)
                raise MxdaskError(f"{step}: no crystal is left. {_reasons(summary)}")
            run.save(step, experiments, reflections, summary)
        event["rows"] = summary.get("rows", [])
    for path in run.outputs(step)[:-1]:
        log.info("wrote %s", path)
    return summary


def _write_mtz(
    step: str, run: RunDirectory, params: StepParams, experiments: ExperimentList, reflections: ReflectionTable
) -> dict[str, Any]:
    from mxdask.io.mtz import write_unmerged
    from mxdask.merge.export import unmerged
    from mxdask.merge.merge_files import write_merge
    from mxdask.merge.step import merge

    if step == "merge":
        summary = write_merge(merge(experiments, reflections, params), params, run.path)  # type: ignore[arg-type]
    else:
        result = unmerged(experiments, reflections, params)  # type: ignore[arg-type]
        write_unmerged(run / FILES[step].others[0], result.content, result.batches)
        summary = result.content.summary
    run.save_summary(step, summary)
    return summary


def _reasons(summary: dict[str, Any]) -> str:
    lines = [f"{row.get('sweep', '?')}: {row.get('reason', '')}" for row in summary.get("rows", [])][:5]
    return "; ".join(lines)


class Chain:
    """Runs steps one after the other in a run directory; what is complete and unchanged is kept."""

    def __init__(self, params: Params, run: RunDirectory, flow: Flow, logging_to: LogContext = _no_log) -> None:
        self.params, self.run, self.flow, self.logging_to = params, run, flow, logging_to

    def step(
        self,
        name: str,
        *inputs: str,
        files: Sequence[str | Path] = (),
        source: RunDirectory | None = None,
        models: GivenModels | None = None,
        **computed: Any,
    ) -> None:
        """Run a step on the files of the steps ``inputs``; ``computed`` parameters fill in what the user left open.

        Parameters
        ----------
        source : where those files are, if not in this run. models : take the place of the experiments' own.
        """
        from mxdask.pipeline_params import step_params

        params = step_params(self.params, name, computed)
        source = source or self.run
        given = [p for step in inputs for p in source.outputs(step) if p.suffix != ".json"]
        parts = [content_fingerprint(given), params.model_dump_json(), stat_fingerprint(files)]
        experiments = self._last(source.load_experiments(step) for step in inputs)
        if models is not None and experiments is not None:
            experiments = models.put_into(experiments)
            parts.append(models.fingerprint)
        if name in _READS_PIXELS and experiments is not None:
            from mxdask.images import image_files

            parts.append(stat_fingerprint(image_files(experiments)))
        key = self.run.key(*parts)
        if self.run.is_complete(name, key):
            log.info("%s: nothing it depends on has changed, kept", name)
            self.flow.record(f"{name}.kept")
            return
        reflections = self._last(source.load_reflections(step) for step in inputs)
        log.info("\n=== %s ===", name)
        with self.logging_to(self.run.path, name):
            run_step(name, self.run, params, self.flow, experiments=experiments, reflections=reflections, files=files)
        self.run.mark_complete(name, key)

    @staticmethod
    def _last(found: Iterable[Any]) -> Any:
        """The last that there is; an empty table is a table, too."""
        return next((x for x in reversed(list(found)) if x is not None), None)


def process(
    files: Sequence[str | Path],
    params: Params,
    run: RunDirectory,
    flow: Flow,
    *,
    logging_to: LogContext = _no_log,
) -> dict[str, dict[str, Any]]:
    """The whole chain: import → find_spots → index → refine → integrate → cosym or symmetry → scale → merge, export.

    Parameters
    ----------
    files : image files or masters, as for ``mxdask import``.
    run : where the files of every step go; a rerun does again only what its inputs or parameters changed.
    logging_to : context manager (folder, step) that directs a step's log.

    Returns
    -------
    step → summary. The report is written even when a step ends the run.

    Raises
    ------
    MxdaskError : a step left no crystal.
    """
    check_steps(params)
    chain = Chain(params, run, flow, logging_to)
    try:
        chain.step("import", files=files)
        chain.step("find_spots", "import")
        chain.step("index", "import", "find_spots")
        chain.step("refine", "index")
        chain.step("integrate", "refine")
        integrated = run.load_experiments("integrate")
        group = "cosym" if integrated is not None and len(integrated) > 1 else "symmetry"
        _forget_other(run, group)
        chain.step(group, "integrate")
        chain.step("scale", group)
        chain.step("merge", "scale", d_min=(run.summary("scale").get("resolution") or {}).get("d_min"))
        chain.step("export", "scale")
        flow.forget_unused()
    except BaseException:
        with contextlib.suppress(FileError):  # on a full disk the file that ended the run is the one to name
            _report(run)
        raise
    _report(run)
    return run.summaries()


def _report(run: RunDirectory) -> None:
    if run.summaries():
        log.info("wrote %s", write_run_report(run))


def _forget_other(run: RunDirectory, group: str) -> None:
    """cosym and symmetry write the same files: a summary the other one left would tell of another run."""
    other = "symmetry" if group == "cosym" else "cosym"
    (run / f"{other}.json").unlink(missing_ok=True)


def write_run_report(run: RunDirectory) -> Path:
    """``report.html`` from the summaries in a run directory; one that was made from the same ones is left as it is."""
    from mxdask.report.current import is_current

    path, title, summaries = run / "report.html", run.path.resolve().name, run.summaries()
    key = run.key(title, content_fingerprint(run / f"{step}.json" for step in summaries))
    if not is_current(path, key):
        from mxdask.report.page import write_report

        write_report(path, summaries, title=title, key=key)
    return path
