"""``mxdask import``: image files → experiments. Headers are read in parallel, models are shared in the files' order."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mxdask.errors import FileError, MxdaskError
from mxdask.flow import Failed, Flow
from mxdask.images import open_stack
from mxdask.importing.beamline_file import corrected, read_table
from mxdask.importing.files import list_files
from mxdask.importing.geometry import apply_overrides
from mxdask.importing.headers import HDF5_SUFFIXES, read_headers
from mxdask.importing.params import Lookup, Params
from mxdask.importing.summary import differences, overall, summary_table, sweep_row
from mxdask.importing.sweeps import Sweep, assemble
from mxdask.io.image_header import ImageHeader
from mxdask.io.templates import image_path
from mxdask.models import Experiment, ExperimentList, ImageSet, Scan, derived_identifier

log = logging.getLogger(__name__)

FILES_PER_TASK = 50  # one-image files; a header takes milliseconds, a task at least one


def run(files: Iterable[str | Path], params: Params, *, flow: Flow) -> tuple[ExperimentList, dict[str, Any]]:
    """Experiments for image files, without reading a pixel.

    Parameters
    ----------
    files : NXmx or Eiger masters, CBF and SMV images (plain, .gz, .bz2, .xz), what fabio reads, Zarr stores; in any
        mixture.

    Returns
    -------
    Experiments in the order of the files, and the summary. A file or sweep that cannot be used is a row with status
    ``failed`` and its reason; the others go on.

    Raises
    ------
    MxdaskError : nothing could be imported, or a parameter does not fit.
    """
    paths = list_files(files, params.input.template or (), params.input.directory or ())
    table = read_table(params.input.beamlines) if params.input.beamlines else {}
    headers, rows_failed = _read_all(paths, params, flow)
    headers = [corrected(header, table) for header in headers]
    by_number = params.geometry.scan.oscillation is not None or params.geometry.convert_sequences_to_stills
    sweeps = apply_overrides(assemble(headers, by_number=by_number), params.input, params.geometry)
    lookups = _lookups(params.lookup)
    experiments: list[Experiment] = []
    rows: list[dict[str, Any]] = []
    for sweep in sweeps:
        try:
            found = [_experiment(sweep, scan, params, lookups) for scan in _wedges(sweep.scan, params)]
        except MxdaskError as error:
            where = "" if isinstance(error, FileError) else f"{sweep.template}: "
            rows.append(_failed_row(sweep.template, f"{where}{error}"))
            continue
        experiments += found
        rows += [_imported_row(sweep, experiment, params) for experiment in found]
    rows += rows_failed
    if not experiments:
        reasons = [row["reason"] for row in rows]
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        raise MxdaskError(f"nothing could be imported: {reasons[0]}{more}")
    if len(sweeps) > 1 and not params.input.allow_multiple_sequences:
        unlike = "; ".join(differences([row for row in rows if row["status"] == "ok"])) or "their models are alike"
        raise MxdaskError(
            f"{len(sweeps)} sweeps were found, input.allow_multiple_sequences=False wants one; between them: {unlike}"
        )
    result = ExperimentList(experiments)
    good = [row for row in rows if row["status"] == "ok"]
    summary = {
        "step": "import", "rows": rows, **overall(result, [row["format"] for row in good]),
        "n_failed": len(rows) - len(good), "differences": differences(good),
    }  # fmt: skip
    _report(summary)
    return result, summary


def _read_all(paths: Sequence[str], params: Params, flow: Flow) -> tuple[list[ImageHeader], list[dict[str, Any]]]:
    """Headers in the files' order, and rows for the files that have none."""
    batches = _batches(paths)
    items = [(batch, params.input.check_images, params.geometry) for batch in batches]
    headers: list[ImageHeader] = []
    failed: list[dict[str, Any]] = []
    for batch, result in zip(batches, flow.map(read_headers, items, name="import"), strict=True):
        found = [result] * len(batch) if isinstance(result, Failed) else result
        for path, header in zip(batch, found, strict=True):
            if isinstance(header, Failed):
                log.warning("%s", header.reason)
                failed.append(_failed_row(path, header.reason))
            else:
                headers.append(header)
    return headers, failed


def _batches(paths: Sequence[str]) -> list[list[str]]:
    """Masters one by one, runs of one-image files together."""
    batches: list[list[str]] = []
    room = 0
    for path in paths:
        if path.lower().endswith(HDF5_SUFFIXES):
            batches.append([path])
            room = 0
        elif room > 0:
            batches[-1].append(path)
            room -= 1
        else:
            batches.append([path])
            room = FILES_PER_TASK - 1
    return batches


def _wedges(scan: Scan, params: Params) -> list[Scan]:
    """The parts of a sweep that become experiments."""
    image_range = params.image_range or params.geometry.scan.image_range
    if image_range is not None:
        scan = scan.cut(*image_range)
    if params.input.split is None:
        return [scan]
    if len(params.input.split) == 3:
        first, last, size = params.input.split
        scan = scan.cut(first, last)
    else:
        (size,) = params.input.split
    first, last = scan.image_range
    return [scan.cut(k, min(k + size - 1, last)) for k in range(first, last + 1, size)]


def _format_params(params: Params) -> dict[str, Any]:
    """The arguments of the format as DIALS writes them."""
    shadowing = params.format.dynamic_shadowing
    known = {"auto": "Auto", "true": True, "false": False}
    return {"dynamic_shadowing": known.get(shadowing, shadowing), "multi_panel": False}


def _experiment(sweep: Sweep, scan: Scan, params: Params, lookups: dict[str, Any]) -> Experiment:
    indices = tuple(range(*scan.array_range)) if sweep.is_container else None
    given = sweep.lookups | {kind: name for kind, name in lookups.items() if name}
    experiment = Experiment(
        _identifier(sweep, scan) if params.identifier_type == "uuid" else "",
        ImageSet(sweep.template, indices, params=_format_params(params), **given),
        sweep.beam, sweep.detector, sweep.goniometer, scan,
    )  # fmt: skip
    if params.input.check_images or given.get("mask"):
        stack = open_stack(experiment)
        if given.get("mask"):
            stack.mask()
    return experiment


def _identifier(sweep: Sweep, scan: Scan) -> str:
    """The same whenever these images are imported; another when the file was written anew."""
    file = image_path(sweep.template, scan.image_range[0])
    stamp = os.stat(file).st_mtime_ns if os.path.exists(file) else ""
    return derived_identifier("import", sweep.template, scan.image_range, scan.oscillation, stamp)


def _lookups(given: Lookup) -> dict[str, Any]:
    """Absolute names of the look-up files; all must exist."""
    out: dict[str, Any] = {}
    for kind, name in given.model_dump().items():
        path = None if name is None else Path(name).expanduser().resolve()
        if path is not None and not path.exists():
            raise FileError(f"lookup.{kind}={name}: no such file")
        out[kind] = None if path is None else str(path)
    return out


def _imported_row(sweep: Sweep, experiment: Experiment, params: Params) -> dict[str, Any]:
    """Images that were announced and are not there are bad input, unless others were asked for."""
    row = sweep_row(experiment) | {"format": sweep.format, "notes": list(sweep.notes)}
    if sweep.incomplete and params.image_range is None:
        row |= {"bad_input": True, "reason": sweep.incomplete}
    return row


def _failed_row(path: str, reason: str) -> dict[str, Any]:
    name = ImageSet(path).name
    return {
        "sweep": name, "identifier": "", "status": "failed", "reason": reason, "template": path, "bad_input": True,
    }  # fmt: skip


def _report(summary: dict[str, Any]) -> None:
    rows = summary["rows"]
    log.info(
        "%d sweeps, %d still sequences, %d images (%s)", summary["n_sweeps"], summary["n_stills"], summary["n_images"],
        ", ".join(summary["formats"]),
    )  # fmt: skip
    log.info(
        "%d beam, %d detector, %d goniometer models", *(summary[f"n_{k}s"] for k in ("beam", "detector", "goniometer"))
    )
    log.info("%s", summary_table([row for row in rows if row["status"] == "ok"]))
    for line in summary["differences"]:
        log.info("different: %s", line)
    for note in dict.fromkeys(note for row in rows for note in row.get("notes", [])):
        log.warning("%s", note)
    for row in rows:
        if row["status"] == "failed":
            log.warning("not imported: %s", row["reason"])
        elif row.get("bad_input"):
            log.warning("incomplete: %s", row["reason"])
