"""One data set: crystals of one group scaled, filtered, cut at their resolution and merged in a folder of their own."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mxdask.flow import Flow
from mxdask.io.expt import write_expt
from mxdask.io.json_files import write_json
from mxdask.io.mtz import write_merged, write_unmerged
from mxdask.io.refl import write_refl
from mxdask.merge.export import unmerged
from mxdask.merge.export_params import ExportParams
from mxdask.merge.step import merge
from mxdask.models import ExperimentList
from mxdask.multiplex.filtering import Removed, Scaled, scale_and_filter
from mxdask.multiplex.kept import Stages, stage_key
from mxdask.multiplex.params import Params, seeded
from mxdask.table import ReflectionTable

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DataSet:
    """What came of a group.

    Attributes
    ----------
    name : of its folder. form, group : which crystals these are. crystals : names, as asked for.
    filtered : name → why filtering took the whole crystal. trimmed : name → image ranges that filtering took.
    unscaled : name → why it could not be scaled.
    merged : whether a merged file was written; reason : why not.
    scale, merge : summaries. filtering : cycles.
    """

    name: str
    form: int
    group: str
    crystals: list[str]
    filtered: dict[str, str] = field(default_factory=dict)
    trimmed: dict[str, list[list[int]]] = field(default_factory=dict)
    unscaled: dict[str, str] = field(default_factory=dict)
    merged: bool = False
    reason: str = ""
    scale: dict[str, Any] = field(default_factory=dict)
    merge: dict[str, Any] = field(default_factory=dict)
    filtering: list[dict[str, Any]] = field(default_factory=list)

    @property
    def overall(self) -> dict[str, Any]:
        """Statistics over all resolutions, of the merged data if there are any."""
        found: dict[str, Any] = (self.merge or self.scale).get("overall") or {}
        return found


def make_dataset(
    folder: Path,
    who: tuple[int, str],
    experiments: ExperimentList,
    tables: Sequence[ReflectionTable],
    names: Sequence[str],
    keys: Sequence[str],
    params: Params,
    flow: Flow,
    *,
    first: Scaled | None = None,
    filtering: bool = True,
    protected: frozenset[str] = frozenset(),
) -> DataSet:
    """Scale, filter and merge; kept as it is if crystals and parameters are those of an earlier run.

    Parameters
    ----------
    who : number of the form, name of the group.
    experiments, tables : crystals in the common setting, reflections before scaling. names, keys : of the crystals.
    first : the same crystals scaled already.
    filtering : leave out what ΔCC½ says is harmful, if the parameters do. protected : crystals to leave alone.
    """
    own = params if filtering else params.model_copy(update={"filtering": type(params.filtering)(method="none")})
    key = stage_key("dataset", list(names), list(keys), own.model_dump_json(), str(who), sorted(protected & set(names)))
    stages = Stages(folder)
    if stages.holds("dataset", key):
        _log.info("%s: nothing it depends on has changed, kept", folder.name)
        return DataSet(**json.loads((folder / "dataset.json").read_text()))
    _log.info("\n=== %s: %d crystals ===", folder.name, len(names))
    scaled, places, removed = scale_and_filter(
        experiments, tables, names, scaling_params(params), own.filtering, flow, first=first, protected=protected
    )
    result, files = _written(folder, who, scaled, places, removed, names, params)
    write_json(folder / "dataset.json", result.__dict__)
    stages.completed("dataset", key, [*files, "dataset.json"])
    return DataSet(**json.loads((folder / "dataset.json").read_text()))


def scaling_params(params: Params) -> Any:
    """Parameters of ``scale`` with the limits of multiplex, where the user has not set its own."""
    own = seeded(params.scale, params)
    cut = own.cut_data.model_copy(
        update={
            name: value
            for name, value in (("d_min", params.resolution.d_min), ("d_max", params.resolution.d_max))
            if value is not None and getattr(own.cut_data, name) is None
        }
    )
    merging = own.merging.model_copy(update={"cc_half": params.resolution.cc_half})
    return own.model_copy(update={"cut_data": cut, "merging": merging})


def _written(
    folder: Path,
    who: tuple[int, str],
    scaled: Scaled,
    places: list[int],
    removed: Removed,
    names: Sequence[str],
    params: Params,
) -> tuple[DataSet, list[str]]:
    """Files of the data set and what it is."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    if params.output.reflections:
        write_expt(folder / "scaled.expt", scaled.experiments, program="mxdask.multiplex", flags="scaled")
        write_refl(folder / "scaled.refl", scaled.reflections)
        files += ["scaled.expt", "scaled.refl"]
    rows = scaled.summary["rows"]
    unscaled = {names[p]: str(r["reason"]) for p, r in zip(places, rows, strict=True) if r["status"] != "ok"}
    wanting = _wanting(scaled.summary["overall"], params)
    summary: dict[str, Any] = {}
    if not wanting:
        summary = _merged(folder, scaled, params, files)
    for name in ("merged.mtz", "scaled.mtz"):
        if name not in files:
            (folder / name).unlink(missing_ok=True)
    reasons = {names[p]: f"it lowers CC½ of its group (ΔCC½ {100 * d:.2f} %)" for p, d in removed.crystals.items()}
    trimmed = {names[p]: [list(r) for r in sorted(v)] for p, v in removed.images.items() if p in places}
    cycles = [_named(c, names) for c in removed.cycles]
    return DataSet(
        folder.name, who[0], who[1], list(names), reasons, trimmed, unscaled, not wanting, wanting, scaled.summary,
        summary, cycles,
    ), files  # fmt: skip


def _merged(folder: Path, scaled: Scaled, params: Params, files: list[str]) -> dict[str, Any]:
    d_min = params.resolution.d_min or (scaled.summary.get("resolution") or {}).get("d_min")
    given = params.merge.model_dump(exclude_unset=True)
    own = params.merge.model_copy(
        update={
            "d_min": params.merge.d_min or d_min,
            "d_max": params.merge.d_max or params.resolution.d_max,
            "max_relative_sigma": given.get("max_relative_sigma", params.max_relative_sigma),
            "r_free_flags": params.merge.r_free_flags.model_copy(update=params.r_free_flags.model_dump())
            if "r_free_flags" not in given
            else params.merge.r_free_flags,
        }
    )
    result = merge(scaled.experiments, scaled.reflections, own)
    write_merged(folder / "merged.mtz", result)
    files.append("merged.mtz")
    if params.output.unmerged:
        export = unmerged(scaled.experiments, scaled.reflections, ExportParams())
        write_unmerged(folder / "scaled.mtz", export.content, export.batches)
        files.append("scaled.mtz")
    return result.summary | {"d_min": own.d_min}


def _wanting(overall: dict[str, Any], params: Params) -> str:
    """Why the data set is not worth merging; "" if it is."""
    completeness, multiplicity = overall.get("completeness") or 0.0, overall.get("multiplicity") or 0.0
    limits = params.clustering
    if completeness < limits.min_completeness:
        return f"completeness {completeness:.1f} % is below min_completeness={limits.min_completeness:g}"
    if multiplicity < limits.min_multiplicity:
        return f"multiplicity {multiplicity:.2f} is below min_multiplicity={limits.min_multiplicity:g}"
    return ""


def _named(cycle: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return cycle | {"crystal": [names[i] for i in cycle["crystal"]]}
