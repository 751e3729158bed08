"""Scale all crystals together: prepare each (map), then models, outliers and errors over all of them (reduce)."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from mxdask.errors import MxdaskError, ParameterError
from mxdask.flow import Failed, Flow
from mxdask.flow.memory import give_back
from mxdask.intensity.asu import count_possible
from mxdask.intensity.cells import common_space_group, median_cell
from mxdask.intensity.estimate_resolution import estimate_resolution
from mxdask.intensity.merging import Unmerged
from mxdask.intensity.order import canonical_order
from mxdask.models import Experiment, ExperimentList
from mxdask.scale import summary as tell
from mxdask.scale.filtering import Filtered, scale_and_filter
from mxdask.scale.params import Params
from mxdask.scale.pool import Pool, pool_crystals
from mxdask.scale.prepare import COLUMNS, Prepared, Whole, prepare
from mxdask.scale.reference import reference_intensities
from mxdask.scale.sequence import Scaled, Scaling, free_set
from mxdask.table import Flag, ReflectionTable, match_to_experiments
from mxdask.text import text_table

_log = logging.getLogger(__name__)

# A relative error of a crystal's scale that the user should know of: it is beyond what careful scaling leaves.
_LOOSE_SCALE = 0.05


def run(
    experiments: ExperimentList, reflections: ReflectionTable | None, params: Params, *, flow: Flow
) -> tuple[ExperimentList, ReflectionTable, dict[str, Any]]:
    """Scale integrated reflections of one or many crystals in one space group.

    Returns
    -------
    experiments : with their scaling models; all of them, those that could not be scaled without one.
    reflections : with intensity.scale.value and .variance, inverse_scale_factor and its variance, and flags.
    summary : rows (one per crystal), table1, overall, shells, curves, images, error_model, i_mid, rounds.
    """
    if reflections is None or len(reflections) == 0:
        raise MxdaskError("there are no reflections to scale; give an integrated or symmetrized .refl file")
    table = match_to_experiments(reflections, experiments.identifiers)
    space_group, cell = common_space_group(experiments), median_cell(experiments)
    _log.info("Scaling %d crystals in %s, median cell %s", len(experiments), space_group.short_name(), _cell_text(cell))
    excluded = excluded_images(params, len(experiments))
    order = canonical_order(experiments.experiments)  # sums over crystals are made in it, however they are listed
    prepared = _prepare_all(experiments, order, table, params, excluded, flow)
    options = params.scaling_options
    pool, wholes, positions, lost = _pooled(prepared, order, space_group, params)
    reference = None if options.reference is None else reference_intensities(options.reference, pool, space_group)
    scaling, weak = _scalable(pool, params, reference)
    lost |= {positions[i]: reason for i, reason in weak.items()}
    positions = [p for i, p in enumerate(positions) if i not in weak]
    pool, filtered = scaling.pool, None
    if params.filtering.method == "none":
        scaled = scaling.run()
    else:
        n_possible = int(count_possible(cell, space_group, _reach(pool))[0].sum())
        pool, scaled, left, filtered = scale_and_filter(
            lambda chosen: _rescaled(chosen, params, reference), pool, _image_ranges(experiments, positions),
            n_possible, params.filtering.deltacchalf,
        )  # fmt: skip
        _name_removed(filtered, experiments, positions)
        lost |= {p: "taken out by ΔCC½" for i, p in enumerate(positions) if i not in left}
        positions = [positions[i] for i in left]
    del scaling
    good = ~scaled.outlier & ~scaled.excluded
    used = np.bincount(pool.experiment[good], minlength=len(positions))
    lost |= {
        p: "all its observations are outliers or have no usable scale"
        for p, n in zip(positions, used, strict=True)
        if n == 0
    }
    for position in lost:
        _log.warning("%s is left out: %s", experiments[position].name, lost[position])
    rows = {
        p: r
        for p, r in zip(positions, tell.crystal_rows(experiments.experiments, pool, scaled, positions), strict=True)
    }
    for position, reason in lost.items():
        e = experiments[position]
        rows[position] = {"sweep": e.name, "identifier": e.identifier, "status": "failed", "reason": reason}
    out = _scaled_table(table, len(experiments), wholes, pool, scaled, positions)
    hkl = np.where(pool.asu.plus[:, None], pool.asu.hkl, -pool.asu.hkl)  # keeps Friedel mates apart
    data = Unmerged.of(
        hkl[good], (scaled.intensity / scaled.g)[good], (scaled.variance / scaled.g**2)[good], cell, space_group
    )
    ordered = [rows[i] for i in sorted(rows)]
    _log.info(_crystal_table(ordered))
    _warn_of_loose_scales(ordered)
    _log.info(tell.error_model_table(scaled))
    listed = experiments.experiments, pool, scaled, positions
    curved = [p for p, model in zip(positions, pool.layout.models, strict=True) if model.lmax]
    report: dict[str, Any] = {
        "step": "scale", "rows": ordered, "space_group": space_group.short_name(), "cell": list(cell.parameters),
        "n_observations": len(pool), "n_outliers": int(scaled.outlier.sum()),
        "error_model": _in_list_order(scaled.error_models, positions)[0].summary(),
        "i_mid": _in_list_order(scaled.i_mid.tolist(), positions), "combinations": scaled.trials,
        "rounds": scaled.rounds, "curves": _in_list_order(tell.curves(*listed), positions),
        "images": _in_list_order(tell.image_rows(*listed), positions),
        "absorption": _in_list_order(tell.absorption_surfaces(*listed), curved),
        "filtering": None if filtered is None else {"cycles": filtered.cycles, "reason": filtered.reason},
        "free_set": tell.free_set_statistics(pool, scaled, free_set(pool, options)) if options.use_free_set else None,
        "reference": options.reference,
        "resolution": _resolution(data, params), **tell.statistics(data, params.merging.nbins, params.seed),
    }  # fmt: skip
    return _with_models(experiments, pool, scaled, positions), out, report


def _in_list_order(of_crystals: Sequence[Any], positions: list[int]) -> list[Any]:
    """What was made crystal by crystal, sorted as the experiments are."""
    return [of_crystals[i] for i in np.argsort(positions)]


def _resolution(data: Unmerged, params: Params) -> dict[str, Any] | None:
    """Where CC½ falls to the limit (logged, plotted, and used by ``process`` for merging); None for too few data."""
    if params.merging.cc_half is None:
        return None
    estimate = estimate_resolution(data, params.merging.cc_half, params.seed)
    if estimate is None:
        _log.info("Too few data to say where CC½ falls to %g", params.merging.cc_half)
        return None
    _log.info("CC½ falls to %g at %.2f Å", estimate.limit, estimate.d_min)
    curves = {name: getattr(estimate, name).tolist() for name in ("inverse_d_squared", "cc_half", "fit")}
    curves["cc_half"] = [v if np.isfinite(v) else None for v in curves["cc_half"]]
    return {"d_min": estimate.d_min, "cc_half_limit": estimate.limit, **curves}


def excluded_images(params: Params, n_experiments: int) -> dict[int, tuple[tuple[int, int], ...]]:
    """Experiment → image ranges of ``exclude_images``.

    Raises
    ------
    ParameterError : not experiment:first:last.
    """
    out: dict[int, tuple[tuple[int, int], ...]] = {}
    for word in params.exclude_images or ():
        try:
            experiment, first, last = (int(part) for part in word.split(":"))
        except ValueError:
            raise ParameterError(f"exclude_images={word}: give experiment:first:last, e.g. 0:1:20") from None
        if not 0 <= experiment < n_experiments:
            raise ParameterError(f"exclude_images={word}: there are experiments 0 to {n_experiments - 1}")
        out[experiment] = (*out.get(experiment, ()), (first, last))
    return out


def _prepare_all(
    experiments: ExperimentList,
    order: list[int],
    table: ReflectionTable,
    params: Params,
    excluded: dict[int, tuple[tuple[int, int], ...]],
    flow: Flow,
) -> list[Prepared | Failed]:
    lean = table.only(COLUMNS)
    parts, empty = lean.split_by("id"), lean.rows(0, 0)
    items = [(experiments[i], parts.get(i, empty), params, excluded.get(i, ())) for i in order]
    return flow.map(prepare, items, name="prepare-scaling")


def _pooled(
    prepared: list[Prepared | Failed], order: list[int], space_group: Any, params: Params
) -> tuple[Pool, dict[int, Whole], list[int], dict[int, str]]:
    """The observations of all crystals, which experiments these are, their reflections, and why others are not there.

    The prepared crystals are used up: their observations go on living in the pool only.
    """
    lost = {i: p.reason for i, p in zip(order, prepared, strict=True) if isinstance(p, Failed)}
    wholes = {i: p.whole for i, p in zip(order, prepared, strict=True) if isinstance(p, Prepared)}
    positions = [i for i in order if i not in lost]
    if not positions:
        reasons = "; ".join(sorted({*lost.values()}))
        raise MxdaskError(f"none of {len(prepared)} crystals can be scaled: {reasons}")
    pool = pool_crystals([p for p in prepared if isinstance(p, Prepared)], space_group, params.anomalous)
    prepared.clear()
    give_back()
    return pool, wholes, positions, lost


def _scalable(pool: Pool, params: Params, reference: np.ndarray | None) -> tuple[Scaling, dict[int, str]]:
    """Scaling, started, of the crystals whose scale can be found; and why that of others (by number) cannot."""
    lost: dict[int, str] = {}
    number = np.arange(len(pool.layout.models))
    while True:
        scaling = Scaling(pool, params, reference)
        scaling.start()
        weak = scaling.undetermined() if len(number) > 1 else {}
        if not weak or len(weak) == len(number):
            return scaling, lost
        lost |= {int(number[i]): reason for i, reason in weak.items()}
        number = np.delete(number, list(weak))
        pool = pool.without(set(weak))


def _rescaled(pool: Pool, params: Params, reference: np.ndarray | None) -> Scaled:
    scaling = Scaling(pool, params, reference)
    scaling.start()
    return scaling.run()


def _reach(pool: Pool) -> np.ndarray:
    """(2,) lowest and highest resolution of the observations, Å."""
    return np.array([pool.inverse_d2.min(), pool.inverse_d2.max()]) ** -0.5


def _image_ranges(experiments: ExperimentList, positions: list[int]) -> np.ndarray:
    """(e, 2) first and last image of crystals."""
    scans = [experiments[p].scan for p in positions]
    return np.array([(1, 1) if s is None else s.image_range for s in scans])


def _name_removed(filtered: Filtered, experiments: ExperimentList, positions: list[int]) -> None:
    """Put the sweep's name beside the number of each group in the record of filtering."""
    for cycle in filtered.cycles:
        for row in (*cycle["groups"], *cycle["removed"]):
            row["crystal"] = positions[row["crystal"]]
            row["sweep"] = experiments[row["crystal"]].name
    rows = [(c["cycle"], r["sweep"], f"{r['first']}-{r['last']}", f"{100 * r['delta']:.3f}")
            for c in filtered.cycles for r in c["removed"]]  # fmt: skip
    _log.info(text_table(("cycle", "crystal", "images", "ΔCC½ (%)"), rows, title=f"Taken out; then {filtered.reason}"))


def _scaled_table(
    table: ReflectionTable, n_crystals: int, wholes: dict[int, Whole], pool: Pool, scaled: Scaled, positions: list[int]
) -> ReflectionTable:
    """All crystals' reflections in order of the experiments, with the columns of scaling."""
    ids = table["id"]
    order = np.argsort(ids, kind="stable")
    first = np.searchsorted(ids[order], np.arange(n_crystals + 1))
    own = [order[a:b] for a, b in itertools.pairwise(first)]
    for i, whole in wholes.items():
        own[i] = own[i] if whole.kept is None else own[i][whole.kept]
    start = np.concatenate([[0], np.cumsum([len(r) for r in own])])
    rows = np.concatenate(own)
    n = len(rows)
    joined = table.copy() if n == len(table) and np.all(rows[1:] > rows[:-1]) else table.select(rows)
    joined.identifiers = dict(table.identifiers)
    for name in sorted({name for whole in wholes.values() for name in whole.changed}):
        column = joined[name].copy()
        for i, whole in wholes.items():
            if name in whole.changed:
                column[start[i] : start[i + 1]] = whole.changed[name]
        joined[name] = column
    flags = joined["flags"].copy()
    for i, whole in wholes.items():
        flags[start[i] : start[i + 1]] = whole.flags
    row = start[positions][pool.experiment] + pool.row  # of each observation, in the joined table
    idle = np.ones(n, dtype=bool)
    idle[row] = False
    flags[idle] = (flags[idle] & ~np.uint64(Flag.SCALED)) | np.uint64(Flag.EXCLUDED_FOR_SCALING)
    flags[row[scaled.outlier]] |= np.uint64(Flag.OUTLIER_IN_SCALING)
    flags[row[scaled.excluded]] |= np.uint64(Flag.EXCLUDED_FOR_SCALING)
    flags[row[~scaled.outlier & ~scaled.excluded]] |= np.uint64(Flag.SCALED)
    joined["flags"] = flags
    columns = {
        "intensity.scale.value": (0.0, scaled.intensity), "intensity.scale.variance": (0.0, scaled.variance),
        "inverse_scale_factor": (1.0, scaled.g), "inverse_scale_factor_variance": (0.0, scaled.g_variance),
    }  # fmt: skip
    for name, (default, values) in columns.items():
        column = np.full(n, default)
        column[row] = values
        joined[name] = column
    return joined


def _with_models(experiments: ExperimentList, pool: Pool, scaled: Scaled, positions: list[int]) -> ExperimentList:
    models: dict[int, dict[str, Any]] = {}
    layout = pool.layout
    for index, position in enumerate(positions):
        error_model = scaled.error_models[index]
        shared = {
            "error_model_type": "BasicErrorModel",
            "error_model_parameters": [error_model.a, error_model.b],
            "Imid": float(scaled.i_mid[index]),
        }
        own, own_esds = (layout.of_experiment(index, v) for v in (scaled.parameters, scaled.esds))
        models[position] = layout.models[index].to_dict(experiments[position], own, own_esds, shared)
    changed: list[Experiment] = [e.evolve(scaling_model=models.get(i)) for i, e in enumerate(experiments)]
    return experiments.with_experiments(changed)


def _crystal_table(rows: list[dict[str, Any]]) -> str:
    header = ("crystal", "model", "observations", "outliers", "scale", "rel. esd", "B", "I/σ", "Rmerge", "status")
    names = (
        "sweep", "model", "n_observations", "n_outliers", "scale", "scale_esd", "B", "I_over_sigma", "Rmerge", "status",
    )  # fmt: skip
    return text_table(header, [[r.get(n) for n in names] for r in rows], title="Crystals")


def _warn_of_loose_scales(rows: list[dict[str, Any]]) -> None:
    """Crystals whose scale hardly any common reflections tie to the others': that error is in no sigma."""
    scaled = [r for r in rows if r["status"] == "ok"]
    if len(scaled) < 2:
        return
    for row in scaled:
        esd = row["scale_esd"]
        if esd is None:
            _log.warning("%s shares no reflection with other crystals: its scale is a guess", row["sweep"])
        elif esd > _LOOSE_SCALE:
            _log.warning(
                "%s: its scale relative to the other crystals is known to %.0f %% only", row["sweep"], 100 * esd
            )


def _cell_text(cell: Any) -> str:
    return ", ".join(f"{v:.4g}" for v in cell.parameters)
