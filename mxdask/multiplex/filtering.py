"""Scale, leave out what ΔCC½ says is harmful, scale again (back.md 13.9, 16.4)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mxdask.flow import Flow
from mxdask.intensity.asu import map_to_asu
from mxdask.intensity.cells import common_space_group, median_cell
from mxdask.intensity.delta_cchalf import leave_one_out, removal_cutoff
from mxdask.intensity.observations import Filters, Observations, select_observations
from mxdask.models import ExperimentList
from mxdask.multiplex.crystals import pick
from mxdask.multiplex.params import DeltaCCHalf, Filtering
from mxdask.scale import params as scale_params
from mxdask.scale import step as scale_step
from mxdask.table import ReflectionTable

_log = logging.getLogger(__name__)

# With fewer groups than this nobody can say what is usual.
_LEAST_GROUPS = 8


@dataclass(frozen=True)
class Scaled:
    """A data set after scaling: what ``scale`` gives."""

    experiments: ExperimentList
    reflections: ReflectionTable
    summary: dict[str, Any]


@dataclass
class Removed:
    """What filtering took: whole crystals and image ranges, and how each cycle went.

    Attributes
    ----------
    crystals : place → ΔCC½ (fraction). images : place → ranges of image numbers (first, last).
    cycles : per cycle plain numbers for tables and plots.
    """

    crystals: dict[int, float] = field(default_factory=dict)
    images: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    cycles: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class ImageGroups:
    """Cells of the partition whose ΔCC½ is looked at, in order of crystal and image.

    Attributes
    ----------
    crystal, first, last : (g,) place in the list, image numbers.
    of : (n,) group of each observation.
    """

    crystal: np.ndarray
    first: np.ndarray
    last: np.ndarray
    of: np.ndarray


def scale(experiments: ExperimentList, reflections: ReflectionTable, params: scale_params.Params, flow: Flow) -> Scaled:
    """One scaling job."""
    return Scaled(*scale_step.run(experiments, reflections, params, flow=flow))


def scale_and_filter(
    experiments: ExperimentList,
    tables: Sequence[ReflectionTable],
    names: Sequence[str],
    scaling: scale_params.Params,
    filtering: Filtering,
    flow: Flow,
    *,
    first: Scaled | None = None,
    protected: frozenset[str] = frozenset(),
) -> tuple[Scaled, list[int], Removed]:
    """Scale crystals; while some groups of images (or crystals) lower CC½ unusually much, leave them out and rescale.

    Parameters
    ----------
    tables : reflections of each crystal before scaling. names : of the crystals, for the log.
    first : these crystals scaled already. protected : names of crystals to leave alone.

    Returns
    -------
    The data set, the places (in ``experiments``) of the crystals in it, and what was taken out.
    """
    removed = Removed()
    places = list(range(len(experiments)))
    current = first or scale(*pick(experiments, list(tables), places), scaling, flow)
    if filtering.method == "none":
        return current, places, removed
    options = filtering.deltacchalf
    total = current.summary["n_observations"]
    for cycle in range(1, options.max_cycles + 1):
        spared = [position for position, place in enumerate(places) if names[place] in protected]
        found = harmful(current, options, spared, removed_so_far=total - _left(current), total=total)
        who = [places[position] for position in found.told["crystal"]]
        removed.cycles.append({"cycle": cycle, **found.told, "crystal": who, "removed": len(found.groups)})
        if not found.groups:
            break
        before = (list(places), dict(removed.crystals), {k: list(v) for k, v in removed.images.items()})
        places = _without(places, found, removed, names)
        if not places:
            places, removed.crystals, removed.images = before
            break
        ranges = [
            f"{position}:{a}:{b}" for position, place in enumerate(places) for a, b in removed.images.get(place, [])
        ]
        changed = scaling.model_copy(update={"exclude_images": tuple(ranges) or None})
        again = scale(*pick(experiments, list(tables), places), changed, flow)
        completeness = again.summary["overall"]["completeness"] or 0.0
        if options.min_completeness is not None and completeness < options.min_completeness:
            _log.info("Filtering stops: completeness would fall to %.1f %%", completeness)
            places, removed.crystals, removed.images = before
            break
        current = again
    return current, places, removed


@dataclass(frozen=True)
class Harmful:
    """Groups to take out: (crystal, first, last, ΔCC½), and the numbers behind the choice."""

    groups: list[tuple[int, int, int, float]]
    told: dict[str, Any]
    whole: set[int]


def harmful(
    scaled: Scaled, options: DeltaCCHalf, spared: Sequence[int] = (), *, removed_so_far: int, total: int
) -> Harmful:
    """Groups whose ΔCC½ is below the cutoff, the worst first, from the ends of each crystal's images inward.

    ΔCC½ is made of plain means, to which a weak crystal adds noise only, while merging weights it down as it deserves.
    So a group must also deviate from the others by unusually much in units of its own errors.

    A gap within a sweep would break what scaling assumes of neighbouring images (back.md 13.9).
    """
    observations = select_observations(scaled.reflections, "scale", Filters())
    groups = image_groups(scaled.experiments, observations, options)
    space_group, cell = common_space_group(scaled.experiments), median_cell(scaled.experiments)
    asu = map_to_asu(observations.hkl, space_group)
    inverse_d2 = 1.0 / cell.calculate_d_array(asu.unique) ** 2 if len(asu.unique) else np.zeros(0)
    n_groups = len(groups.crystal)
    result = leave_one_out(asu.group, groups.of, observations.intensity, inverse_d2[asu.group], n_groups)
    cutoff = removal_cutoff(result.delta, options.stdcutoff, robust=options.robust)
    told = {
        "cc_half": result.cc_half, "mean": cutoff.centre, "sd": cutoff.spread, "cutoff": cutoff.value,
        "crystal": groups.crystal.tolist(), "first": groups.first.tolist(), "last": groups.last.tolist(),
        "delta": [float(d) if np.isfinite(d) else None for d in result.delta],
    }  # fmt: skip
    known = np.isfinite(result.delta)
    misfit = chi_squared(asu.group, groups.of, observations.intensity, observations.variance, n_groups)
    told["chi_squared"] = [float(c) if np.isfinite(c) else None for c in misfit]
    unusual = misfit > -removal_cutoff(-misfit, options.stdcutoff, robust=True).value
    bad = known & (result.delta < min(cutoff.value, 0.0)) & unusual & ~np.isin(groups.crystal, spared)
    if known.sum() < _LEAST_GROUPS or not bad.any():
        return Harmful([], told, set())
    allowed = options.max_percent_removed / 100 * total - removed_so_far
    taken = _from_the_ends(groups, bad, result.delta, result.n_observations, allowed)
    chosen = [
        (int(groups.crystal[g]), int(groups.first[g]), int(groups.last[g]), float(result.delta[g])) for g in taken
    ]
    left = set(groups.crystal[known & ~np.isin(np.arange(n_groups), taken)].tolist())
    return Harmful(chosen, told, {c for c, *_ in chosen} - left)


def chi_squared(
    reflection: np.ndarray, group: np.ndarray, intensity: np.ndarray, variance: np.ndarray, n_groups: int
) -> np.ndarray:
    """(g,) mean squared deviation of a group's observations from the weighted means of all others, over its variance.

    NaN for a group that shares no reflection with another observation.
    """
    weight = 1.0 / variance
    m = int(reflection.max(initial=-1)) + 1
    total = np.bincount(reflection, weight, m)[reflection] - weight
    product = np.bincount(reflection, weight * intensity, m)[reflection] - weight * intensity
    several = np.bincount(reflection, minlength=m)[reflection] > 1
    with np.errstate(divide="ignore", invalid="ignore"):
        square = (intensity - product / total) ** 2 / (variance + 1.0 / total)
        own = group[several]
        return np.bincount(own, square[several], n_groups) / np.bincount(own, minlength=n_groups)


def image_groups(experiments: ExperimentList, observations: Observations, options: DeltaCCHalf) -> ImageGroups:
    """Consecutive images of a crystal, ``group_size`` each (the last takes what is left over), or all of them."""
    scans = [e.scan for e in experiments]
    ranges = np.array([(1, 1) if s is None else s.image_range for s in scans]).reshape(-1, 2)
    n_images = ranges[:, 1] - ranges[:, 0] + 1
    per_crystal = np.maximum(n_images // options.group_size, 1)
    if options.mode == "dataset":
        per_crystal = np.ones_like(per_crystal)
    offset = np.concatenate([[0], np.cumsum(per_crystal)])
    crystal = np.repeat(np.arange(len(scans)), per_crystal)
    number = np.arange(offset[-1]) - offset[crystal]
    size = np.where(per_crystal > 1, options.group_size, n_images)
    first = ranges[crystal, 0] + number * size[crystal]
    is_last = number == per_crystal[crystal] - 1
    last = np.where(is_last, ranges[crystal, 1], first + size[crystal] - 1)
    who = observations.experiment
    image = np.floor(observations.xyz[:, 2]).astype(np.int64) + 1
    place = np.clip((image - ranges[who, 0]) // size[who], 0, per_crystal[who] - 1)
    return ImageGroups(crystal, first, last, offset[who] + place)


def _from_the_ends(
    groups: ImageGroups, bad: np.ndarray, delta: np.ndarray, size: np.ndarray, allowed: float
) -> list[int]:
    taken: list[int] = []
    remaining = {c: np.flatnonzero((groups.crystal == c) & (size > 0)).tolist() for c in np.unique(groups.crystal[bad])}
    while True:
        ends = {g for groups_left in remaining.values() if groups_left for g in (groups_left[0], groups_left[-1])}
        candidates = sorted((g for g in ends if bad[g]), key=lambda g: (delta[g], g))
        fitting = [g for g in candidates if size[g] <= allowed]
        if not fitting:
            return taken
        worst = fitting[0]
        allowed -= float(size[worst])
        remaining[int(groups.crystal[worst])].remove(worst)
        taken.append(worst)


def _without(places: list[int], found: Harmful, removed: Removed, names: Sequence[str]) -> list[int]:
    for position, first, last, delta in found.groups:
        place = places[position]
        if position in found.whole:
            removed.crystals[place] = min(delta, removed.crystals.get(place, 0.0))
            continue
        removed.images.setdefault(place, []).append((first, last))
        _log.info("%s: images %d to %d left out, ΔCC½ %.4f", names[place], first, last, delta)
    for position in found.whole:
        place = places[position]
        removed.images.pop(place, None)
        _log.info("%s is left out, ΔCC½ %.4f", names[place], removed.crystals[place])
    return [place for place in places if place not in removed.crystals]


def _left(scaled: Scaled) -> int:
    return int(scaled.summary["n_observations"])
