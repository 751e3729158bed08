"""Integration as one graph: blocks of images are measured, strong reflections teach the profile, blocks are fitted."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from mxdask.errors import FileError, MxdaskError
from mxdask.flow import Failed, Flow
from mxdask.flow.memory import give_back
from mxdask.flow.runtime import successes
from mxdask.images.image_source import with_images_from
from mxdask.integrate.blocks import plan_blocks, rows_of_block
from mxdask.integrate.fit import Learnt, Taught, fit_block, learn_part, part_of, scan_parts, taught_by
from mxdask.integrate.measure import Measured, measure, measure_together
from mxdask.integrate.params import Params
from mxdask.integrate.prepare import Prepared, prepare
from mxdask.integrate.profile_model import ProfileModel
from mxdask.integrate.profiles import ReferenceProfile, borrowed_profile
from mxdask.integrate.summary import crystal_row, log_rows, totals
from mxdask.integrate.widths import choose_lenders, choose_models, measure_widths
from mxdask.models import Experiment, ExperimentList
from mxdask.table import Flag, ReflectionTable, match_to_experiments

log = logging.getLogger(__name__)
MOST_NAMED = 3  # unreadable images of a sweep, or reasons

# Columns of the spots that predictions are matched with.
_OF_SPOTS = ("id", "miller_index", "entering", "panel", "flags", "xyzcal.px", "xyzobs.px.value")


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
    experiments = with_images_from(experiments, params.images_from, flow.run_dir)
    widths, models = _profile_models(experiments, _spots_of(experiments, reflections), params, flow)
    # The pixels of the spots are no longer needed: what follows carries numbers only.
    spots = _spots_of(experiments, reflections.only(_OF_SPOTS))
    give_back()
    nodes = _nodes(flow, experiments, spots, models, widths, params)
    return _collect(experiments, models, widths, flow.compute(nodes, name="integrate"))


def create_profile_model(
    experiments: ExperimentList, reflections: ReflectionTable, params: Params, *, flow: Flow
) -> ExperimentList:
    """The experiments with the profile models that integration would use, learnt from the spots.

    Raises
    ------
    MxdaskError : no crystal has a spot to learn from.
    """
    _, models = _profile_models(experiments, _spots_of(experiments, reflections), params, flow)
    kept = []
    for experiment, model in zip(experiments, models, strict=True):
        if isinstance(model, Failed):
            log.warning("%s: no profile model: %s", experiment.name, model.reason.removeprefix(f"{experiment.name}: "))
            kept.append(experiment)
            continue
        log.info("%s: sigma_b %.6f°, sigma_m %.6f°", experiment.name, *np.rad2deg([model.sigma_b, model.sigma_m]))
        kept.append(experiment.evolve(profile=model.to_dict()))
    if all(isinstance(model, Failed) for model in models):
        raise MxdaskError(f"no crystal has a profile model: {models[0].reason}")
    return experiments.with_experiments(kept)


def _spots_of(experiments: ExperimentList, reflections: ReflectionTable) -> list[ReflectionTable]:
    """The rows of every experiment, in their order; nothing in them tells its place in the list."""
    spots = match_to_experiments(reflections, experiments.identifiers).split_by("id")
    empty = reflections.select(np.zeros(len(reflections), dtype=bool))
    out = []
    for i in range(len(experiments)):
        table = spots.get(i, empty).copy()
        for name in ("id", "imageset_id"):
            if name in table:
                table[name] = np.zeros(len(table), dtype=np.int32)
        table.identifiers = {}
        out.append(table)
    return out


def _profile_models(
    experiments: ExperimentList, tables: list[ReflectionTable], params: Params, flow: Flow
) -> tuple[list[Any], list[Any]]:
    """What every crystal's spots say about its widths, and the widths it gets (or Failed)."""
    widths = flow.map(
        measure_widths,
        [(e, t, params) for e, t in zip(experiments, tables, strict=True)],
        name="profile-model",
        keep=True,
    )
    return widths, choose_models(experiments, widths, params)


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
    together = _sweeps(experiments, models)
    images: dict[int, Any] = {}  # what several lattices on one sweep share: the nodes that read its images
    # lenders never borrow, so two passes put every node before those that need it
    for index in sorted(range(len(experiments)), key=lambda i: (bool(lenders[i]), i)):
        borrowed = [flow.task(profile_of, nodes[i], name="borrow-profile") for i in lenders[index]]
        lattices = together[index]
        if len(lattices) == 1:
            blocks = plan_blocks(experiments[index], params.block)
            if len(blocks) == 1:
                nodes[index] = flow.task(
                    integrate_sweep, experiments[index], spots[index], models[index], params, borrowed,
                    name="integrate", keep=not borrowed,
                )  # fmt: skip
                continue
        if lattices[0] not in images:
            images |= _read_together(flow, lattices, experiments, spots, models, params)
        nodes[index] = _graph(flow, experiments[index], models[index], images[index], params, borrowed)
    return [nodes[i] for i in range(len(experiments))]


def _sweeps(experiments: ExperimentList, models: list[Any]) -> list[list[int]]:
    """For every experiment the lattices on its sweep, itself included, whose widths are known."""
    out = []
    for i, experiment in enumerate(experiments):
        others = [
            j
            for j, (e, m) in enumerate(zip(experiments, models, strict=True))
            if e.imageset is experiment.imageset
            and experiment.imageset is not None
            and _images_of(e) == _images_of(experiment)
            and e.crystal is not None
            and not isinstance(m, Failed)
        ]
        out.append(others if i in others else [i])
    return out


def _images_of(experiment: Experiment) -> tuple[int, int] | None:
    return None if experiment.scan is None else experiment.scan.array_range


def _read_together(
    flow: Flow,
    lattices: list[int],
    experiments: ExperimentList,
    spots: list[ReflectionTable],
    models: list[Any],
    params: Params,
) -> dict[int, Any]:
    """For every lattice of a sweep the nodes of its measured blocks; images are read once."""
    blocks = plan_blocks(experiments[lattices[0]], params.block)
    predicted = {
        i: flow.task(
            prepare, experiments[i], spots[i], models[i], params,
            [(experiments[j], models[j]) for j in lattices if j != i], name="predict",
        )
        for i in lattices
    }  # fmt: skip
    several = []
    for block in blocks:
        owned = [flow.task(owned_by, node, block, name="cut-block") for node in predicted.values()]
        several.append(flow.task(measure_block, owned, params, name="integrate-block"))
    return {
        i: [flow.task(pick, node, place, name="integrate-block") for node in several]
        for place, i in enumerate(lattices)
    }


def _graph(
    flow: Flow, experiment: Experiment, model: Any, measured: list[Any], params: Params, borrowed: list[Any]
) -> Any:
    """The node that yields one crystal's :class:`Integrated` from its measured blocks.

    Each part of the scan learns its profile from the blocks that touch it, and a block is fitted as soon as its parts
    are known. So only neighbouring blocks are held at a time.
    """
    blocks = plan_blocks(experiment, params.block)
    parts = scan_parts(experiment, params.profile.gaussian_rs.fitting.scan_step)
    taught = [flow.task(taught_by, m, name="reference") for m in measured]
    profiles = {}
    for part in range(len(parts) - 1):
        near = [taught[i] for i in _blocks_near(blocks, parts, part, margin=0.5)]
        profiles[part] = flow.task(learn_from, experiment, model, parts, part, borrowed, *near, name="learn-profile")
    fitted = []
    for block, node in zip(blocks, measured, strict=True):
        needed = part_of(np.array([block[0], block[1] - 1e-9]), parts)
        indices = tuple(range(int(needed[0]), int(needed[1]) + 1))
        fitted.append(
            flow.task(
                fit_measured,
                experiment,
                model,
                parts,
                params,
                indices,
                node,
                *[profiles[i] for i in indices],
                name="fit-block",
            )
        )
    # A cluster may ask for a block again, when a worker was lost.
    return flow.task(join_blocks, not flow.is_distributed, *fitted, name="join")


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
    borrowed: list[Any],
) -> Integrated:
    """A whole sweep as one block. ``borrowed``: profiles of other crystals (or Failed) to start from."""
    return join_blocks(True, _measure_and_fit(prepare(experiment, spots, model, params), params, borrowed))


def _measure_and_fit(prepared: Prepared, params: Params, borrowed: list[Any]) -> Integrated:
    """All reflections of a sweep, read, measured and fitted at once."""
    give_back()
    measured = measure(prepared, params)
    give_back()
    experiment, model = prepared.experiment, prepared.model
    parts = scan_parts(experiment, params.profile.gaussian_rs.fitting.scan_step)
    taught = taught_by(measured)
    profiles = [learn_from(experiment, model, parts, part, borrowed, taught) for part in range(len(parts) - 1)]
    return fit_measured(experiment, model, parts, params, tuple(range(len(profiles))), measured, *profiles)


def owned_by(prepared: Prepared, block: tuple[int, int]) -> Prepared:
    """The reflections that a block owns: this is all of a sweep's that travels to where the block is measured."""
    assert prepared.experiment.scan is not None
    z = prepared.table["xyzcal.px"][:, 2]
    return prepared.rows(rows_of_block(z, prepared.experiment.scan.array_range, block))


def measure_block(lattices: list[Any], params: Params) -> list[Any]:
    """Measure the reflections of a block; their boxes may reach into the images around it.

    ``lattices`` : what the block owns of every lattice of the sweep; one that failed stays what it is.
    """
    good = successes(lattices)
    measured = iter(measure_together(good, params)) if good else iter(())
    give_back()
    return [m if isinstance(m, Failed) else next(measured) for m in lattices]


def pick(lattices: list[Any], place: int) -> Any:
    """One lattice's share of a block."""
    return lattices[place]


def learn_from(
    experiment: Experiment, model: ProfileModel, parts: np.ndarray, part: int, borrowed: list[Any], *blocks: Taught
) -> Learnt:
    """Profile and background of one part of the scan, starting from the profiles of other crystals if there are any."""
    prior = borrowed_profile(successes(borrowed), model.sigma_b)
    return learn_part(experiment, model, parts, part, list(blocks), prior)


def profile_of(integrated: Integrated) -> ReferenceProfile:
    """What a crystal lends to others."""
    return integrated.profile


def fit_measured(
    experiment: Experiment, model: ProfileModel, parts: np.ndarray, params: Params, indices: tuple[int, ...],
    measured: Measured, *learnt: Learnt,
) -> Integrated:  # fmt: skip
    """Fit a block with what was learnt of the parts ``indices`` of the scan and drop what was not integrated.

    Rows come in the order of the predictions.
    """
    known = dict(zip(indices, learnt, strict=True))
    table = measured.table
    if params.profile.gaussian_rs.fitting.fit:
        joint = params.profile.gaussian_rs.fitting.deconvolution
        table = fit_block(experiment, model, parts, known, measured, deconvolution=joint)
    rows = np.flatnonzero(table.has_flags(Flag.INTEGRATED, any=True))
    kept = table.select(rows[np.argsort(table["partial_id"][rows], kind="stable")])
    return Integrated(kept, measured.missing, measured.n_read, learnt[len(learnt) // 2].profile)


def join_blocks(give_up: bool, *blocks: Integrated) -> Integrated:
    """The blocks of a sweep, in the order of the scan, put together; their rows follow on each other.

    give_up : nobody else needs the blocks, so that their tables may be emptied.

    Raises
    ------
    FileError : no frame at all could be read.
    """
    missing = tuple(dict.fromkeys(m for b in blocks for m in b.missing))
    n_read = sum(b.n_read for b in blocks)
    if missing and n_read == 0:
        raise FileError(missing[0])
    table = _joined([b.table if give_up else b.table.copy() for b in blocks])
    give_back()
    return Integrated(table, missing, n_read, blocks[len(blocks) // 2].profile)


def _collect(
    experiments: ExperimentList, models: list[Any], widths: list[Any], results: list[Any]
) -> tuple[ExperimentList, ReflectionTable, dict[str, Any]]:
    """Integrated crystals renumbered in their order; the rest are rows with a reason."""
    rows: list[dict[str, Any]] = []
    kept: list[Experiment] = []
    tables: list[ReflectionTable] = []
    partial = 0
    for index, (experiment, model, width) in enumerate(zip(experiments, models, widths, strict=True)):
        result, results[index] = results[index], None
        rows.append(crystal_row(experiment, model, width, result))
        if isinstance(result, Failed):
            log.warning("%s: not integrated: %s", experiment.name, result.reason.removeprefix(f"{experiment.name}: "))
            continue
        for message in result.missing[:MOST_NAMED]:
            log.warning("%s: an image could not be read and was left out: %s", experiment.name, message)
        if len(result.missing) > MOST_NAMED:
            log.warning("%s: and %d more images", experiment.name, len(result.missing) - MOST_NAMED)
        table = result.table.copy()
        table["id"] = np.full(len(table), len(kept), dtype=np.int32)
        table["imageset_id"] = np.full(len(table), _imageset_number(experiments, index, kept), dtype=np.int32)
        table["partial_id"] = table["partial_id"] + np.uint64(partial)
        partial = int(table["partial_id"].max()) + 1 if len(table) else partial
        table.identifiers = {len(kept): experiment.identifier}
        kept.append(experiment.evolve(profile=model.to_dict()))
        tables.append(table)
    if not kept:
        reasons = list(dict.fromkeys(row["reason"].removeprefix(f"{row['sweep']}: ") for row in rows))
        more = f"; and {len(reasons) - MOST_NAMED} other reasons" if len(reasons) > MOST_NAMED else ""
        raise MxdaskError(f"no crystal could be integrated: {'; '.join(reasons[:MOST_NAMED])}{more}")
    log_rows(rows)
    summary = {"step": "integrate", "rows": rows} | totals(rows)
    return experiments.with_experiments(kept), _joined(tables), summary


def _joined(tables: list[ReflectionTable]) -> ReflectionTable:
    """The tables one below the other; they are emptied column by column, so that the rows are not held twice."""
    out = ReflectionTable(identifiers={i: name for table in tables for i, name in table.identifiers.items()})
    tables = [table for table in tables if len(table)] or tables[:1]
    for name in list(tables[0]):
        out[name] = np.concatenate([table[name] for table in tables])
        for table in tables:
            del table[name]
    return out


def _imageset_number(experiments: ExperimentList, index: int, kept: list[Experiment]) -> int:
    """Lattices of one sweep share its number, in order of first use among the experiments kept."""
    seen: list[int] = []
    for experiment in [*kept, experiments[index]]:
        if id(experiment.imageset) not in seen:
            seen.append(id(experiment.imageset))
    return seen.index(id(experiments[index].imageset))
