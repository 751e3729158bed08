"""The whole run: crystals → forms → groups → data sets, and what became of every crystal."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mxdask.errors import MxdaskError, ParameterError
from mxdask.flow import Flow
from mxdask.io.json_files import write_json
from mxdask.models import ExperimentList
from mxdask.multiplex.comparison import comparison_rows, comparison_table
from mxdask.multiplex.crystals import Crystal, in_order
from mxdask.multiplex.dataset import DataSet, make_dataset
from mxdask.multiplex.decisions import Decision, Wishes, read_wishes, write_decisions
from mxdask.multiplex.duplicates import find_duplicates
from mxdask.multiplex.form_groups import FormGroups, sort_form
from mxdask.multiplex.forms import Forms, find_forms, how_different
from mxdask.multiplex.grouping import honour
from mxdask.multiplex.notes import too_weak, unusual
from mxdask.multiplex.params import Params
from mxdask.table import ReflectionTable
from mxdask.text import text_table

_log = logging.getLogger(__name__)

DECISIONS = "decisions.csv"


@dataclass
class Result:
    """Everything a run found.

    Attributes
    ----------
    crystals : all that could be read, in order of name. forms : of the usable ones (``usable`` gives their places).
    sorted : form number → its groups. groups : form number → name of each crystal's group.
    datasets : the groups' data sets. mixtures : form number → all its crystals as one data set.
    decisions : the table.
    """

    crystals: list[Crystal]
    usable: list[int]
    forms: Forms | None
    sorted: dict[int, FormGroups] = field(default_factory=dict)
    groups: dict[int, list[str]] = field(default_factory=dict)
    datasets: list[DataSet] = field(default_factory=list)
    mixtures: dict[int, DataSet] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "step": "multiplex",
            "rows": [
                {
                    "sweep": d.crystal, "identifier": d.identifier, "status": "ok" if d.fate == "kept" else "skipped",
                    "fate": d.fate, "form": d.form, "group": d.group, "reason": d.reason, "user": d.user,
                }
                for d in self.decisions
            ],
            "forms": [
                {
                    "form": number, "n_crystals": len(form.members), "lattice": form.lattice,
                    "cell": [round(float(x), 3) for x in form.conventional],
                    "space_group": self.sorted[number].cosym["space_group"] if number in self.sorted else None,
                    "n_groups": len({g for g in self.groups.get(number, []) if g}),
                }
                for number, form in enumerate(self.forms.forms if self.forms else (), start=1)
            ],
            "datasets": comparison_rows([*self.mixtures.values(), *self.datasets]),
        }  # fmt: skip


@dataclass
class _Fates:
    """Name → fate, form, group, reason, gathered on the way; the first fate that is not *kept* stands."""

    entries: dict[str, tuple[str, str, str, str]] = field(default_factory=dict)

    def put(self, name: str, fate: str, reason: str, form: str = "", group: str = "") -> None:
        self.entries[name] = (fate, form, group, reason)


def multiplex(
    experiments: ExperimentList,
    reflections: ReflectionTable,
    params: Params,
    out: Path,
    flow: Flow,
    unreadable: Mapping[str, str] | None = None,
) -> Result:
    """Sort crystals into data sets and merge each.

    Parameters
    ----------
    experiments, reflections : integrated, any number of crystals, from any mixture of programs.
    out : folder; what an earlier run left there is used where it still holds.
    unreadable : name → reason of inputs that could not be read; they get a line in the table.

    Returns
    -------
    The result; its files are written: decisions.csv, multiplex.json, form_N/, cluster_N/.

    Raises
    ------
    MxdaskError : not one crystal is usable.
    """
    if params.scale.exclude_images:
        raise ParameterError("scale.exclude_images does not work here: crystals are sorted; run `mxdask scale` instead")
    experiments, tables, crystals = in_order(experiments, reflections)
    wishes = _wishes(params, out, crystals)
    fates = _Fates()
    usable = _usable(experiments, tables, crystals, params, wishes, fates)
    result = Result(crystals, usable, None)
    if usable:
        used = experiments.with_experiments([experiments[i] for i in usable])
        result.forms = find_forms(used, params.unit_cell_clustering.threshold)
        _log.info("%s", _forms_table(result.forms))
        _sort_forms(result, experiments, tables, params, wishes, out, flow, fates)
        _make_datasets(result, params, wishes.keep, out, flow, fates)
    result.decisions = _decisions(result, fates, wishes, unreadable or {})
    write_decisions(out / DECISIONS, result.decisions)
    write_json(out / "multiplex.json", result.summary())
    _log.info("%s", _decisions_table(result.decisions))
    if result.datasets:
        _log.info("%s", comparison_table([*result.mixtures.values(), *result.datasets]))
    if not any(d.fate == "kept" for d in result.decisions):
        reasons = "; ".join(f"{d.crystal}: {d.reason}" for d in result.decisions[:5])
        raise MxdaskError(f"multiplex: no crystal is left. {reasons}")
    return result


def _wishes(params: Params, out: Path, crystals: Sequence[Crystal]) -> Wishes:
    path = Path(params.decisions) if params.decisions else out / DECISIONS
    if params.decisions is None and not path.exists():
        return Wishes()
    wishes = read_wishes(path, [(c.name, c.identifier) for c in crystals])
    if wishes.text:
        _log.info("Decisions honoured from %s: %s", path, "; ".join(f"{n}: {w}" for n, w in wishes.text.items()))
    return wishes


def _usable(
    experiments: ExperimentList,
    tables: Sequence[ReflectionTable],
    crystals: Sequence[Crystal],
    params: Params,
    wishes: Wishes,
    fates: _Fates,
) -> list[int]:
    """Places of the crystals that go on."""
    usable = []
    for place, crystal in enumerate(crystals):
        if crystal.name in wishes.drop:
            fates.put(crystal.name, "dropped", "dropped at the user's wish")
        elif crystal.trouble:
            fates.put(crystal.name, "unusable", crystal.trouble)
        else:
            usable.append(place)
    if params.duplicates:
        repeats = find_duplicates(experiments, tables, usable)
        repeats = {place: first for place, first in repeats.items() if crystals[place].name not in wishes.keep}
        for place, original in repeats.items():
            fates.put(crystals[place].name, "duplicate", f"the same images as {crystals[original].name}")
        usable = [place for place in usable if place not in repeats]
    return usable


def _sort_forms(
    result: Result,
    experiments: ExperimentList,
    tables: list[ReflectionTable],
    params: Params,
    wishes: Wishes,
    out: Path,
    flow: Flow,
    fates: _Fates,
) -> None:
    assert result.forms is not None
    for number, form in enumerate(result.forms.forms, start=1):
        places = [result.usable[m] for m in form.members]
        members = [result.crystals[p] for p in places]
        unlike = "" if number == 1 else how_different(form, result.forms.forms[0])
        if len(members) < max(params.clustering.min_cluster_size, 1):
            for crystal in members:
                reason = unlike or f"alone, and min_cluster_size={params.clustering.min_cluster_size}"
                fates.put(crystal.name, "other cell" if unlike else "unplaced", reason, str(number))
            continue
        _log.info("\n=== form %d: %d crystals ===", number, len(members))
        chosen = experiments.with_experiments([experiments[p] for p in places])
        try:
            found = sort_form(out / f"form_{number}", chosen, [tables[p] for p in places], members, params, flow)
        except MxdaskError as error:
            _log.warning("form %d: %s", number, error)
            for crystal in members:
                fates.put(crystal.name, "unplaced", str(error), str(number))
            continue
        for place in places:  # the form has its own copy in the common setting
            tables[place] = tables[place].select(np.zeros(0, dtype=np.int64))
        for name, (fate, reason) in found.lost.items():
            fates.put(name, fate, reason, str(number))
        groups, reasons = honour(found.grouping, [c.name for c in found.crystals], wishes)
        result.sorted[number], result.groups[number] = found, groups
        rows = [r for r in found.scale["rows"] if r["status"] == "ok"]
        for i, (crystal, remark, weak) in enumerate(zip(found.crystals, unusual(rows), too_weak(rows), strict=True)):
            told = reasons[i] or remark
            weak = weak and not params.clustering.weak_crystals and crystal.name not in wishes.keep
            fate = "outlier" if not groups[i] else "weak" if weak else "kept"
            fates.put(crystal.name, fate, told, str(number), groups[i])


def _make_datasets(result: Result, params: Params, keep: frozenset[str], out: Path, flow: Flow, fates: _Fates) -> None:
    """A data set for every group, numbered by form and size; and for every mixed form one of all its crystals."""
    left = params.clustering.max_output_clusters
    number = 0
    for form, found in result.sorted.items():
        groups = result.groups[form]
        names = [c.name for c in found.crystals]
        chosen = sorted({g for g in groups if g}, key=lambda g: (-groups.count(g), groups.index(g)))
        whole = len(chosen) == 1 and all(groups)
        if not whole and params.clustering.output_clusters:
            everything = list(range(len(names)))
            mixture = _dataset(out / f"form_{form}", (form, ""), found, everything, params, flow, fates, mixture=True)
            if mixture is not None:
                result.mixtures[form] = mixture
        renamed: dict[str, str] = {}
        for group in chosen:
            number += 1
            renamed[group] = group if not group.isdigit() else str(number)
            members = [i for i, g in enumerate(groups) if g == group and fates.entries[names[i]][0] != "weak"]
            if len(members) < params.clustering.min_cluster_size or left == 0 or not params.clustering.output_clusters:
                continue
            left -= 1
            folder = out / f"cluster_{renamed[group]}"
            made = _dataset(folder, (form, renamed[group]), found, members, params, flow, fates, keep)
            if made is not None:
                result.datasets.append(made)
        found.let_go()
        result.groups[form] = [renamed.get(g, g) for g in groups]
        for name, group in zip(names, result.groups[form], strict=True):
            fate, _, _, reason = fates.entries[name]
            fates.put(name, fate, reason, str(form), group)


def _dataset(
    folder: Path,
    who: tuple[int, str],
    found: FormGroups,
    members: list[int],
    params: Params,
    flow: Flow,
    fates: _Fates,
    keep: frozenset[str] = frozenset(),
    *,
    mixture: bool = False,
) -> DataSet | None:
    """One data set; a group that cannot be scaled is a line in the log and in its crystals' reasons."""
    crystals = [found.crystals[i] for i in members]
    names = [c.name for c in crystals]
    experiments = found.experiments.with_experiments([found.experiments[i] for i in members])
    first = found.scaled if len(members) == len(found.crystals) else None
    try:
        made = make_dataset(
            folder, who, experiments, [found.tables[i] for i in members], names, [c.key for c in crystals],
            params, flow, first=first, filtering=not mixture, protected=keep,
        )  # fmt: skip
    except MxdaskError as error:
        _log.warning("%s: %s", folder.name, error)
        for name in [] if mixture else names:
            fates.put(name, "unscaled", str(error), str(who[0]), who[1])
        return None
    if mixture:
        return made
    for name, reason in {**made.filtered, **made.unscaled}.items():
        fates.put(name, "filtered" if name in made.filtered else "unscaled", reason, str(who[0]), who[1])
    for name, ranges in made.trimmed.items():
        images = ", ".join(f"{a}-{b}" for a, b in ranges)
        _, form, group, reason = fates.entries[name]
        fates.put(name, "kept", f"{reason}; " * bool(reason) + f"images {images} left out by ΔCC½", form, group)
    return made


def _decisions(result: Result, fates: _Fates, wishes: Wishes, unreadable: Mapping[str, str]) -> list[Decision]:
    out = []
    for crystal in result.crystals:
        fate, form, group, reason = fates.entries.get(crystal.name, ("unplaced", "", "", ""))
        out.append(Decision(crystal.name, crystal.identifier, form, fate, group, reason, wishes.word(crystal.name)))
    out += [Decision(name, "", "", "unreadable", "", reason) for name, reason in unreadable.items()]
    return out


def _forms_table(forms: Forms) -> str:
    rows = [
        (str(i), str(len(f.members)), f.lattice, " ".join(f"{x:.2f}" for x in f.conventional))
        for i, f in enumerate(forms.forms, start=1)
    ]
    height = f"{100 * forms.height:.2f} % in length" if forms.unit == "relative" else f"{forms.height:g} {forms.unit}"
    return text_table(("Form", "crystals", "lattice", "cell"), rows, title=f"Crystal forms (cells apart by {height})")


def _decisions_table(decisions: Sequence[Decision]) -> str:
    rows = [(d.crystal, d.form or "-", d.group or "-", d.fate, d.reason) for d in decisions]
    return text_table(("Crystal", "form", "group", "fate", "reason"), rows, title="Crystals")
