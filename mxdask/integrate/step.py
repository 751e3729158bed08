"""Integration as one graph: blocks of images are measured, strong reflections teach the profile, blocks are fitted."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from mxdask.errors import FileError, MxdaskError
from mxdask.flow import Failed, Flow
from mxdask.flow.runtime import successes
from mxdask.integrate.blocks import plan_blocks, rows_of_block
from mxdask.integrate.fit import candidates, fit_block, learn_part, part_of, scan_parts
from mxdask.integrate.measure import Measured, measure
from mxdask.integrate.params import Params
from mxdask.integrate.prepare import Prepared, prepare
from mxdask.integrate.profile_model import ProfileModel
from mxdask.integrate.profiles import ReferenceProfile, borrowed_profile
from mxdask.integrate.summary import crystal_row, log_rows, totals
from mxdask.integrate.widths import choose_lenders, choose_models, measure_widths
from mxdask.models import Experiment, ExperimentList
from mxdask.table import Flag, ReflectionTable, match_to_experiments

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Integrated:
    """One crystal's reflections, messages about frames that could not be read, and a profile it learnt."""

    table: ReflectionTable
    missing: tuple[str, ...]
    n_read: int
    profile: ReferenceProfile


def run(
    experiments: ExperimentList, reflections: ReflectionTable | None, params: Params, *, flow: Flow
) -> tuple[ExperimentList, ReflectionTable, dict[str, Any]]:
    """Integrate every crystal; a crystal that fails becomes a row of the summary.

    Parameters
    ----------
    experiments : refined experiments with crystals.
    reflections : indexed or refined spots, from which widths are estimated.

    Raises
    ------
    MxdaskError : no reflection table, or no crystal at all could be integrated.
    """
    if reflections is None:
        raise MxdaskError("integrate: a reflection file is needed too (refined.refl), to learn the spots' widths from")
    spots = match_to_experiments(reflections, experiments.identifiers).split_by("id")
    empty = reflections.select(np.zeros(len(reflections), dtype=bool))
    tables = [spots.get(i, empty) for i in range(len(experiments))]
    widths = flow.map(
        measure_widths,
        [(e, t, params) for e, t in zip(experiments, tables, strict=True)],
        name="profile-model",
        keep=True,
    )
    models = choose_models(experiments, widths, params)
    # The pixels of the spots are no longer needed: what follows carries numbers only.
    plain = [ReflectionTable(t.columns, t.identifiers) for t in tables]
    nodes = _nodes(flow, experiments, plain, models, widths, params)
    results = flow.compute(nodes, name="integrate")
    return _collect(experiments, models, widths, results)


def _nodes(
    flow: Flow,
    experiments: ExperimentList,
    spots: list[ReflectionTable],
    models: list[Any],
    widths: list[Any],
    params: Params,
) -> list[Any]:
    """One node per crystal; those with hardly any spots wait for the profiles of others."""
    nodes: dict[int, Any] = {}
    lenders = choose_lenders(experiments, widths)
    # lenders never borrow, so two passes put every node before those that need it
    for index in sorted(range(len(experiments)), key=lambda i: (bool(lenders[i]), i)):
        borrowed = [flow.task(profile_of, nodes[i], name="borrow-profile") for i in lenders[index]]
        others = _other_lattices(experiments, models, index)
        nodes[index] = _graph(flow, experiments[index], spots[index], models[index], params, others, borrowed)
    return [nodes[i] for i in range(len(experiments))]


def _other_lattices(experiments: ExperimentList, models: list[Any], index: int) -> list[tuple[Experiment, Any]]:
    """The further lattices of a sweep, with their widths."""
    sweep = experiments[index].imageset
    return [
        (e, m)
        for i, (e, m) in enumerate(zip(experiments, models, strict=True))
        if i != index
        and sweep is not None
        and e.imageset is sweep
        and e.crystal is not None
        and not isinstance(m, Failed)
    ]


def _graph(
    flow: Flow,
    experiment: Experiment,
    spots: ReflectionTable,
    model: Any,
    params: Params,
    others: list[tuple[Experiment, Any]],
    borrowed: list[Any],
) -> Any:
    """The node that yields one crystal's :class:`Integrated`.

    A sweep that fits into one block is one task; a longer one is prepared once, then measured block by block; each
    part of the scan learns its profile from the blocks that touch it, and a block is fitted as soon as its parts are
    known. So only neighbouring blocks are held at a time.
    """
    blocks = plan_blocks(experiment, params.block)
    if len(blocks) == 1 or isinstance(model, Failed):
        return flow.task(
            integrate_sweep, experiment, spots, model, params, others, borrowed, name="integrate", keep=not borrowed
        )
    parts = scan_parts(experiment, params.profile.gaussian_rs.fitting.scan_step)
    prepared = flow.task(prepare, experiment, spots, model, params, others, name="predict")
    measured = [flow.task(measure_block, prepared, block, params, name="integrate-block") for block in blocks]
    taught = [flow.task(candidates, m, name="reference") for m in measured]
    profiles = {}
    for part in range(len(parts) - 1):
        near = [taught[i] for i in _blocks_near(blocks, parts, part, margin=0.5)]
        profiles[part] = flow.task(learn_from, prepared, parts, part, borrowed, *near, name="learn-profile")
    fitted = []
    for block, node in zip(blocks, measured, strict=True):
        needed = part_of(np.array([block[0], block[1] - 1e-9]), parts)
        indices = tuple(range(int(needed[0]), int(needed[1]) + 1))
        fitted.append(
            flow.task(
                fit_measured,
                prepared,
                parts,
                params,
                indices,
                node,
                *[profiles[i] for i in indices],
                name="fit-block",
            )
        )
    return flow.task(join_blocks, *fitted, name="join")


def _blocks_near(blocks: list[tuple[int, int]], parts: np.ndarray, part: int, margin: float) -> list[int]:
    """Blocks that may own reflections of a part of the scan widened by ``margin`` of its length on both sides."""
    extra = margin * (parts[part + 1] - parts[part])
    low, high = parts[part] - extra, parts[part + 1] + extra
    return [i for i, (a, b) in enumerate(blocks) if b > low and a < high]


def integrate_sweep(
    experiment: Experiment,
    spots: ReflectionTable,
    model: ProfileModel,
    params: Params,
    others: list[tuple[Experiment, ProfileModel]],
    borrowed: list[Any],
) -> Integrated:
    """A whole sweep as one block. ``borrowed``: profiles of other crystals (or Failed) to start from."""
    assert experiment.scan is not None
    prepared = prepare(experiment, spots, model, params, others)
    measured = measure(prepared, params)
    parts = scan_parts(experiment, params.profile.gaussian_rs.fitting.scan_step)
    taught = candidates(measured)
    profiles = [learn_from(prepared, parts, part, borrowed, taught) for part in range(len(parts) - 1)]
    indices = tuple(range(len(profiles)))
    return join_blocks(fit_measured(prepared, parts, params, indices, measured, *profiles))


def measure_block(prepared: Prepared, block: tuple[int, int], params: Params) -> Measured:
    """Measure the reflections that a block owns; their boxes may reach into the images around it."""
    assert prepared.experiment.scan is not None
    z = prepared.table["xyzcal.px"][:, 2]
    return measure(prepared.rows(rows_of_block(z, prepared.experiment.scan.array_range, block)), params)


def learn_from(
    prepared: Prepared, parts: np.ndarray, part: int, borrowed: list[Any], *blocks: Measured
) -> ReferenceProfile:
    """The profile of one part of the scan, starting from those of other crystals if there are any."""
    prior = borrowed_profile(successes(borrowed), prepared.model.sigma_b)
    return learn_part(prepared.experiment, prepared.model, parts, part, list(blocks), prior)


def profile_of(integrated: Integrated) -> ReferenceProfile:
    """What a crystal lends to others."""
    return integrated.profile


def fit_measured(
    prepared: Prepared, parts: np.ndarray, params: Params, indices: tuple[int, ...], measured: Measured,
    *profiles: ReferenceProfile,
) -> Integrated:  # fmt: skip
    """Fit a block with the profiles of the parts ``indices`` of the scan and drop what was not integrated."""
    known = dict(zip(indices, profiles, strict=True))
    table = measured.table
    if params.profile.gaussian_rs.fitting.fit:
        table = fit_block(prepared.experiment, prepared.model, parts, known, measured)
    kept = table.select(table.has_flags(Flag.INTEGRATED, any=True))
    return Integrated(kept, measured.missing, measured.n_read, profiles[len(profiles) // 2])


def join_blocks(*blocks: Integrated) -> Integrated:
    """The blocks of a sweep put together; rows in the order of the predictions.

    Raises
    ------
    FileError : no frame at all could be read.
    """
    table = ReflectionTable.concat([b.table for b in blocks])
    missing = tuple(dict.fromkeys(m for b in blocks for m in b.missing))
    n_read = sum(b.n_read for b in blocks)
    if missing and n_read == 0:
        raise FileError(missing[0])
    table = table.select(np.argsort(table["partial_id"], kind="stable"))
    return Integrated(table, missing, n_read, blocks[len(blocks) // 2].profile)


def _collect(
    experiments: ExperimentList, models: list[Any], widths: list[Any], results: list[Any]
) -> tuple[ExperimentList, ReflectionTable, dict[str, Any]]:
    """Integrated crystals renumbered in their order; the rest are rows with a reason."""
    rows: list[dict[str, Any]] = []
    kept: list[Experiment] = []
    tables: list[ReflectionTable] = []
    partial = 0
    for index, (experiment, model, width, result) in enumerate(zip(experiments, models, widths, results, strict=True)):
        rows.append(crystal_row(experiment, model, width, result))
        if isinstance(result, Failed):
            log.warning("%s: not integrated: %s", experiment.name, result.reason)
            continue
        for message in result.missing:
            log.warning("%s: an image could not be read and was left out: %s", experiment.name, message)
        table = result.table.copy()
        table["id"] = np.full(len(table), len(kept), dtype=np.int32)
        table["imageset_id"] = np.full(len(table), _imageset_number(experiments, index, kept), dtype=np.int32)
        table["partial_id"] = table["partial_id"] + np.uint64(partial)
        partial = int(table["partial_id"].max()) + 1 if len(table) else partial
        table.identifiers = {len(kept): experiment.identifier}
        kept.append(experiment.evolve(profile=model.to_dict()))
        tables.append(table)
    if not kept:
        reasons = "; ".join(f"{row['sweep']}: {row['reason']}" for row in rows[:3])
        raise MxdaskError(f"integrate: no crystal could be integrated ({reasons})")
    log_rows(rows)
    summary = {"step": "integrate", "rows": rows} | totals(rows)
    return experiments.with_experiments(kept), ReflectionTable.concat(tables), summary


def _imageset_number(experiments: ExperimentList, index: int, kept: list[Experiment]) -> int:
    """Lattices of one sweep share its number, in order of first use among the experiments kept."""
    seen: list[int] = []
    for experiment in [*kept, experiments[index]]:
        if id(experiment.imageset) not in seen:
            seen.append(id(experiment.imageset))
    return seen.index(id(experiments[index].imageset))
