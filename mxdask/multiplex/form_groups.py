"""One crystal form: its crystals brought to one setting and one scale, and sorted into groups."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mxdask.cosym import params as cosym_params
from mxdask.cosym import step as cosym_step
from mxdask.flow import Flow
from mxdask.io.expt import read_expt, write_expt
from mxdask.io.json_files import plain, write_json
from mxdask.io.refl import read_refl, write_refl
from mxdask.models import ExperimentList
from mxdask.multiplex.crystals import Crystal, by_crystal, pick
from mxdask.multiplex.dataset import scaling_params
from mxdask.multiplex.filtering import Scaled, scale
from mxdask.multiplex.grouping import Grouping, group_crystals
from mxdask.multiplex.kept import Stages, stage_key
from mxdask.multiplex.params import Params, seeded
from mxdask.table import ReflectionTable

_log = logging.getLogger(__name__)

_SET = ("symmetrized.expt", "symmetrized.refl", "cosym.json")
_FOUND = ("scale.json", "groups.json")


@dataclass(eq=False)
class FormGroups:
    """A form after cosym, scaling and grouping.

    Attributes
    ----------
    crystals : those that could be placed and scaled, in order; experiments, tables : of them, in the common setting,
        before scaling.
    lost : name → (fate, reason) of the others.
    grouping : groups of ``crystals``.
    cosym, scale : summaries. scaled : all placed crystals scaled together; None when kept from an earlier run.
    """

    crystals: list[Crystal]
    experiments: ExperimentList
    tables: list[ReflectionTable]
    lost: dict[str, tuple[str, str]]
    grouping: Grouping
    cosym: dict[str, Any]
    scale: dict[str, Any]
    scaled: Scaled | None

    def let_go(self) -> None:
        """Give back the memory of the reflections; what reports show stays."""
        self.tables, self.scaled = [], None


def sort_form(
    folder: Path,
    experiments: ExperimentList,
    tables: Sequence[ReflectionTable],
    crystals: Sequence[Crystal],
    params: Params,
    flow: Flow,
) -> FormGroups:
    """Common setting, common scale, groups; what an earlier run found stays if its crystals are the same.

    Raises
    ------
    MxdaskError : no crystal could be placed or scaled.
    """
    rows = list(range(len(crystals)))
    keys = [c.key for c in crystals]
    stages = Stages(folder)
    key = stage_key("cosym", keys, [c.name for c in crystals], _symmetry(params).model_dump_json())
    if stages.holds("cosym", key):
        _log.info("%s: setting and symmetry kept", folder.name)
        placed, table = read_expt(folder / _SET[0]), read_refl(folder / _SET[1])
        cosym = json.loads((folder / _SET[2]).read_text())
    else:
        placed, table, cosym = cosym_step.run(*pick(experiments, list(tables), rows), _symmetry(params), flow=flow)
        folder.mkdir(parents=True, exist_ok=True)
        write_expt(folder / _SET[0], placed, program="mxdask.cosym", flags="integrated")
        write_refl(folder / _SET[1], table)
        _save(folder / _SET[2], cosym)
        stages.completed("cosym", key, _SET)
    in_setting = by_crystal(table, len(placed))
    by_identifier = {c.identifier: c for c in crystals}
    own = [by_identifier[e.identifier] for e in placed]
    lost = {c.name: ("unplaced", _reason(cosym, c.identifier)) for c in crystals if c not in own}
    return _scaled_and_grouped(folder, stages, key, placed, in_setting, own, lost, cosym, params, flow)


def _scaled_and_grouped(
    folder: Path,
    stages: Stages,
    cosym_key: str,
    experiments: ExperimentList,
    tables: list[ReflectionTable],
    crystals: list[Crystal],
    lost: dict[str, tuple[str, str]],
    cosym: dict[str, Any],
    params: Params,
    flow: Flow,
) -> FormGroups:
    scaling = scaling_params(params)
    key = stage_key("groups", cosym_key, scaling.model_dump_json())
    scaled: Scaled | None = None
    if stages.holds("groups", key):
        _log.info("%s: groups kept", folder.name)
        told = json.loads((folder / _FOUND[0]).read_text())
        grouping = Grouping.from_dict(json.loads((folder / _FOUND[1]).read_text()))
    else:
        scaled = scale(*pick(experiments, tables, list(range(len(crystals)))), scaling, flow)
        told = plain(scaled.summary)
        good = [i for i, row in enumerate(told["rows"]) if row["status"] == "ok"]
        chosen = pick(scaled.experiments, by_crystal(scaled.reflections, len(crystals)), good)
        grouping = group_crystals(*chosen, [crystals[i].seed for i in good])
        _save(folder / _FOUND[0], told)
        _save(folder / _FOUND[1], grouping.to_dict())
        stages.completed("groups", key, _FOUND)
    good = [i for i, row in enumerate(told["rows"]) if row["status"] == "ok"]
    lost |= {
        crystals[i].name: ("unscaled", str(row["reason"]))
        for i, row in enumerate(told["rows"])
        if row["status"] != "ok"
    }
    if scaled is not None and len(good) < len(crystals):
        scaled = None  # a data set starts from its own crystals only
    kept = experiments.with_experiments([experiments[i] for i in good])
    return FormGroups([crystals[i] for i in good], kept, [tables[i] for i in good], lost, grouping, cosym, told, scaled)


def _symmetry(params: Params) -> cosym_params.Params:
    own = seeded(params.cosym, params)
    group = params.symmetry.space_group
    return own.model_copy(update={"space_group": group}) if group and own.space_group is None else own


def _reason(cosym: dict[str, Any], identifier: str) -> str:
    rows = [r for r in cosym["rows"] if r["identifier"] == identifier]
    return str(rows[0]["reason"]) if rows and rows[0]["reason"] else "its setting could not be found"


def _save(path: Path, content: Any) -> None:
    write_json(path, content, indent=None)
