"""``two_theta_refine``: one cell for all crystals, or one each, with esds."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.flow import Failed, Flow
from mxdask.lattice.cells import minimum_cell
from mxdask.modelfit.crystal import metric_basis
from mxdask.modelfit.selection import rows_by_experiment
from mxdask.models import Crystal, Experiment, ExperimentList
from mxdask.table import ReflectionTable, match_to_experiments
from mxdask.text import text_table, with_esds
from mxdask.twotheta.cell_fit import Angles, CellFit, fit_cell
from mxdask.twotheta.params import Params
from mxdask.twotheta.selection import scattering_angles, usable

log = logging.getLogger(__name__)

COLUMNS = ("id", "panel", "miller_index", "xyzobs.mm.value", "xyzobs.px.value", "xyzobs.px.variance")
P1 = " P 1"
UNLIKE = 2.0  # times the rmsd with a cell of its own: the common cell is not this crystal's


def run(
    experiments: ExperimentList, reflections: ReflectionTable | None, params: Params, *, flow: Flow
) -> tuple[ExperimentList, ReflectionTable, dict[str, Any]]:
    """Refine cells against scattering angles alone.

    Returns
    -------
    The experiments with ``recalculated_cell`` and esds on their crystals (all else as it was: the cells and matrices
    that integration used stay), the reflections, and a summary: ``rows`` per crystal with a cell of its own, and the
    cell of all (``cell``, ``cell_esd``, ``volume``, ``volume_esd``) where they are combined.

    Raises
    ------
    MxdaskError : no reflections or crystals, or crystals of different space groups are to be combined.
    """
    if reflections is None or not len(reflections):
        raise MxdaskError("two_theta_refine needs reflections: give integrated.refl, too")
    rows = [i for i, e in enumerate(experiments) if e.crystal is not None]
    if not rows:
        raise MxdaskError("no experiment has a crystal: two_theta_refine comes after integrate")
    table = match_to_experiments(reflections, experiments.identifiers)
    combine = params.refinement.combine_crystal_models
    if combine:
        _check_one_space_group([experiments[row] for row in rows])
    if params.refinement.triclinic:
        experiments, table = _triclinic(experiments, table, rows)
    data = _angles(experiments, table, rows, params, flow)
    used = [row for row, angles in data.items() if isinstance(angles, Angles) and len(angles)]
    singles = _fit_each(experiments, rows, data)
    common: CellFit | None = None
    if combine:
        if not used:
            raise MxdaskError("two_theta_refine: no reflection can be used")
        fitted = _fit([data[row] for row in used], experiments[used[0]].crystal)
        if isinstance(fitted, str):
            raise MxdaskError(f"two_theta_refine: {fitted}")
        common = fitted
    out = _with_cells(experiments, {row: common or singles[row] for row in rows})
    summary = _summary(experiments, rows, singles, common, used)
    _log(summary)
    return out, table, summary


def _check_one_space_group(experiments: list[Experiment]) -> None:
    groups = sorted({e.crystal.space_group.xhm() for e in experiments if e.crystal is not None})
    if len(groups) > 1:
        raise MxdaskError(
            f"crystals of different space groups ({', '.join(groups)}) have no common cell: run cosym or reindex "
            "first, or give combine_crystal_models=False"
        )


def _triclinic(
    experiments: ExperimentList, table: ReflectionTable, rows: list[int]
) -> tuple[ExperimentList, ReflectionTable]:
    """Crystals and indices in the primitive cell without symmetry; crystals of one space group change alike."""
    first: dict[str, np.ndarray] = {}
    changed, table = list(experiments), table.copy()
    hkl = table["miller_index"].copy()
    for row in rows:
        crystal = experiments[row].crystal
        assert crystal is not None
        key = crystal.space_group_hall
        if key not in first:
            first[key] = minimum_cell(crystal.cell, crystal.space_group.centring_type())[0]
        changed[row] = experiments[row].evolve(crystal=crystal.change_basis(first[key], P1))
        mine = table["id"] == row
        hkl[mine] = np.rint(hkl[mine] @ first[key].T)
    table["miller_index"] = hkl
    return experiments.with_experiments(changed), table


def _angles(
    experiments: ExperimentList, table: ReflectionTable, rows: list[int], params: Params, flow: Flow
) -> dict[int, Angles | Failed]:
    """Observed scattering angles, crystal by crystal."""
    good = usable(table, params.refinement)
    places = rows_by_experiment(table, good, len(experiments))
    columns = [name for name in COLUMNS if name in table]
    items = [(experiments[row], ReflectionTable({name: table[name][places[row]] for name in columns})) for row in rows]
    return dict(zip(rows, flow.map(scattering_angles, items, name="two-theta"), strict=True))


def _fit_each(
    experiments: ExperimentList, rows: list[int], data: dict[int, Angles | Failed]
) -> dict[int, CellFit | str]:
    """Row → cell of its crystal (sweeps that share one are fitted together), or why there is none."""
    out: dict[int, CellFit | str] = {}
    for group in experiments.groups(lambda e: id(e.crystal)).values():
        mine = [row for row in group if row in data]
        good = [row for row in mine if isinstance(data[row], Angles)]
        if good:
            out |= dict.fromkeys(mine, _fit([data[row] for row in good], experiments[good[0]].crystal))
        else:
            out |= {row: str(data[row]) for row in mine}
    return {row: out[row] for row in rows}


def _fit(data: list[Any], crystal: Crystal | None) -> CellFit | str:
    """The cell, or why there is none."""
    assert crystal is not None
    try:
        return fit_cell(data, crystal.A.T @ crystal.A, metric_basis(crystal.space_group_hall))
    except MxdaskError as error:
        return str(error)


def _with_cells(experiments: ExperimentList, fits: dict[int, CellFit | str]) -> ExperimentList:
    """The experiments with the cells found beside those they have; crystals that were shared still are."""
    done: dict[int, Crystal] = {}
    out = list(experiments)
    for row, fit in fits.items():
        crystal = experiments[row].crystal
        if crystal is None or isinstance(fit, str):
            continue
        if id(crystal) not in done:
            esds = tuple(float(x) for x in fit.esds)
            done[id(crystal)] = replace(
                crystal,
                recalculated_cell=tuple(float(x) for x in fit.cell),
                recalculated_cell_esd=esds[:6],
                recalculated_volume_esd=esds[6],
            )
        out[row] = experiments[row].evolve(crystal=done[id(crystal)])
    return experiments.with_experiments(out)


def _numbers(fit: CellFit) -> dict[str, Any]:
    return {
        "n_reflections": fit.n,
        "rmsd_2theta": round(float(np.rad2deg(fit.rmsd)), 6),
        "cell": [round(float(x), 5) for x in fit.cell],
        "cell_esd": [round(float(x), 6) for x in fit.esds[:6]],
        "volume": round(fit.volume, 3),
        "volume_esd": round(float(fit.esds[6]), 4),
    }


def _summary(
    experiments: ExperimentList,
    rows: list[int],
    singles: dict[int, CellFit | str],
    common: CellFit | None,
    used: list[int],
) -> dict[str, Any]:
    """JSON-able numbers; angles in degrees."""
    out = []
    for row in rows:
        head = {"sweep": experiments[row].name, "identifier": experiments[row].identifier}
        fit = singles[row]
        if isinstance(fit, str):
            out.append({**head, "status": "failed", "reason": fit})
            continue
        entry = {**head, "status": "ok", "reason": "", **_numbers(fit)}
        if common is not None and row in used:
            entry["rmsd_2theta_common"] = round(float(np.rad2deg(common.rmsds[used.index(row)])), 6)
        out.append(entry)
    summary: dict[str, Any] = {"step": "two_theta_refine", "rows": out, "combined": common is not None}
    return summary if common is None else {**summary, **_numbers(common)}


def _log(summary: dict[str, Any]) -> None:
    header = ["sweep", "n", "rmsd 2θ (°)", "with the common cell", "cell of its own (Å, °)", "volume (Å³)"]
    lines: list[tuple[Any, ...]] = []
    for row in summary["rows"]:
        if row["status"] != "ok":
            lines.append((row["sweep"], 0, None, None, row["reason"], None))
            continue
        both = row.get("rmsd_2theta_common")
        lines.append((
            row["sweep"], row["n_reflections"], f"{row['rmsd_2theta']:.5f}", None if both is None else f"{both:.5f}",
            with_esds(row["cell"], row["cell_esd"]), with_esds([row["volume"]], [row["volume_esd"]]),
        ))  # fmt: skip
    log.info("%s", text_table(header, lines, title="Cells from scattering angles"))
    if summary["combined"]:
        log.info(
            "one cell for all: %s, volume %s Å³; %d reflections, rmsd 2θ %.5f°",
            with_esds(summary["cell"], summary["cell_esd"]),
            with_esds([summary["volume"]], [summary["volume_esd"]]),
            summary["n_reflections"],
            summary["rmsd_2theta"],
        )
    for row in summary["rows"]:
        if row.get("rmsd_2theta_common", 0.0) > UNLIKE * row.get("rmsd_2theta", np.inf):
            log.warning(
                "%s does not fit the common cell: another crystal form, indexed otherwise, or its distance is off",
                row["sweep"],
            )
