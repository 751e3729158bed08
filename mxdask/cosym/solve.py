"""From merged sets in one primitive setting to a setting for each crystal and their Laue group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from mxdask.cosym.alignment import align, densest_point, relative_settings, score_symmetry
from mxdask.cosym.coordinates import Coordinates, find_coordinates, pair_weights
from mxdask.cosym.pairs import Correlations, PairMatrix, PairRules, ReflectionLists, assemble, distinct_elements
from mxdask.cosym.params import Params
from mxdask.cosym.placement import Frame, agreement, margin, polish, reference_lists
from mxdask.cosym.settings_group import SettingsGroup
from mxdask.intensity.merged_set import MergedSet
from mxdask.intensity.order import seed_of
from mxdask.intensity.symmetry_scores import GroupScore, OperatorScore
from mxdask.lattice.metric import LatticeSetting
from mxdask.lattice.point_groups import same_group


class Tasks(Protocol):
    """The two pieces of work that are worth spreading; the caller decides where they run."""

    def correlate(
        self, lists: ReflectionLists, group: SettingsGroup, elements: list[int], rules: PairRules
    ) -> list[Correlations]:
        """:func:`mxdask.cosym.pairs.correlate` of crystals with themselves for each element."""

    def class_scores(
        self, sets: Sequence[MergedSet], references: ReflectionLists, frame: Frame
    ) -> tuple[np.ndarray, np.ndarray]:
        """:func:`mxdask.cosym.placement.class_scores` of all sets."""


@dataclass(frozen=True, eq=False)
class Solution:
    """What cosym found.

    Attributes
    ----------
    setting : Laue group and best cell, in the common setting.
    ops : per crystal the operator (3, 3) to the common setting; None where it could not be placed.
    reasons : why, for those.
    classes : per crystal the class of its operator (-1 not placed); class_ops one operator for each, identity first.
    score, pairs, margin : agreement with the others in the chosen setting, common reflections, lead over the next best.
    solved : crystals (rows) whose coordinates were found together.
    coordinates, pair_matrix : of those; agreement: their correlations in the final settings. None against a reference.
    operators, groups : likelihoods, the likeliest group first.
    """

    setting: LatticeSetting
    ops: list[np.ndarray | None]
    reasons: list[str]
    classes: np.ndarray
    class_ops: np.ndarray
    score: np.ndarray
    pairs: np.ndarray
    margin: np.ndarray
    solved: np.ndarray
    coordinates: Coordinates | None
    pair_matrix: PairMatrix | None
    agreement: Correlations | None
    operators: list[OperatorScore]
    groups: list[GroupScore]


def solve(
    sets: Sequence[MergedSet],
    keys: Sequence[str],
    lattice: np.ndarray,
    settings: list[LatticeSetting],
    candidates: list[LatticeSetting],
    core: np.ndarray,
    params: Params,
    rules: PairRules,
    tasks: Tasks,
) -> Solution:
    """Resolve the indexing ambiguity and find the Laue group.

    Parameters
    ----------
    sets : normalised sets on the common primitive cell, merged in ``core``, a normal subgroup of the lattice group.
    lattice : (n, 3, 3) lattice group. settings : its subgroups in their best settings.
    keys : what a crystal's random choices are seeded with.
    candidates : those among which to choose.

    Returns
    -------
    A solution whose rows are those of ``sets``. Crystals that share too few reflections with the others have a
    reason instead of an operator.
    """
    seeds = [seed_of(key, params.seed) for key in keys]
    group = SettingsGroup.of(lattice, core)
    rows = _landmarks(sets, seeds, params)
    lists = ReflectionLists.of([sets[i] for i in rows], lattice)
    elements = distinct_elements(group)
    pairs = assemble(group, dict(zip(elements, tasks.correlate(lists, group, elements, rules), strict=True)))
    linked = _largest_component(pairs, params.min_pairs)
    rows, pairs = rows[linked], pairs.select(linked)
    coordinates = find_coordinates(
        pairs, pair_weights(pairs, params.weights, params.min_pairs), group, [seeds[i] for i in rows],
        dimensions=params.dimensions, max_iterations=params.minimization.max_iterations,
    )  # fmt: skip
    chosen = align(coordinates.reduced, densest_point(coordinates.reduced))
    operators, groups = score_symmetry(coordinates.reduced, chosen, group, candidates)
    setting, ops = _majority_frame(groups[0].setting, settings, group, chosen)
    frame = Frame(setting.ops, lattice, relative_settings(group, setting.ops).ops, rules)
    return _place_all(sets, rows, ops, setting, frame, coordinates, pairs, operators, groups, tasks)


def _landmarks(sets: Sequence[MergedSet], seeds: list[int], params: Params) -> np.ndarray:
    """Rows solved together: all, or a random choice among those that are not smaller than the median."""
    n = len(sets)
    if n <= params.landmarks.above:
        return np.arange(n)
    sizes = np.array([len(s) for s in sets])
    large = np.flatnonzero(sizes >= np.median(sizes))
    order = large[np.argsort([seeds[i] for i in large], kind="stable")]
    return np.sort(order[: params.landmarks.number])


def _largest_component(pairs: PairMatrix, min_pairs: int) -> np.ndarray:
    """Rows of the largest set of crystals linked by usable correlations."""
    usable = (pairs.n >= max(min_pairs, 2)).any(axis=0)
    _, label = connected_components(coo_matrix(usable), directed=False)
    size = np.bincount(label)
    return np.flatnonzero(label == int(np.argmax(size)))


def _majority_frame(
    setting: LatticeSetting, settings: list[LatticeSetting], group: SettingsGroup, chosen: np.ndarray
) -> tuple[LatticeSetting, list[np.ndarray]]:
    """Turn the common setting so that as many crystals as possible keep their indices."""
    classes = relative_settings(group, setting.ops)
    of_crystal = classes.of_element[chosen]
    turn = classes.ops[int(np.argmax(np.bincount(of_crystal)))]
    back = np.rint(np.linalg.inv(turn)).astype(np.int64)
    turned = back @ setting.ops @ turn
    if not same_group(turned, setting.ops):
        setting = next(s for s in settings if same_group(s.ops, turned))
    classes = relative_settings(group, setting.ops)
    elements = [group.element(back @ group.ops[k]) for k in chosen]
    return setting, [classes.ops[classes.of_element[e]] for e in elements]


def _place_all(
    sets: Sequence[MergedSet],
    rows: np.ndarray,
    ops: list[np.ndarray],
    setting: LatticeSetting,
    frame: Frame,
    coordinates: Coordinates,
    pairs: PairMatrix,
    operators: list[OperatorScore],
    groups: list[GroupScore],
    tasks: Tasks,
) -> Solution:
    n = len(sets)
    solved = [sets[i] for i in rows]
    ops, score, common = polish(solved, ops, frame)
    found: list[np.ndarray | None] = [None] * n
    chosen_score, lead, total = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, dtype=np.int64)
    lead[rows], total[rows] = margin(score), common[:, 0]
    chosen_score[rows] = np.where(common[:, 0] > 0, score[:, 0], np.nan)
    for row, op in zip(rows, ops, strict=True):
        found[row] = op
    rest = np.setdiff1d(np.arange(n), rows)
    if len(rest):
        score, common = tasks.class_scores([sets[i] for i in rest], reference_lists(solved, ops, frame), frame)
        best = np.argmax(np.round(score, 9), axis=1)
        for position, row in enumerate(rest):
            total[row] = common[position].max()
            if total[row] > 0 or len(frame.ops) == 1:  # a lattice without ambiguity leaves nothing to decide
                found[row] = frame.ops[best[position]]
                chosen_score[row] = score[position, best[position]] if total[row] > 0 else np.nan
        lead[rest] = margin(score)
    reasons = ["" if op is not None else "too few reflections in common with the other crystals" for op in found]
    classes = np.array([-1 if op is None else _class_of(op, frame) for op in found])
    return Solution(
        setting, found, reasons, classes, frame.ops, chosen_score, total, lead, rows, coordinates, pairs,
        agreement(solved, ops, frame), operators, groups,
    )  # fmt: skip


def _class_of(op: np.ndarray, frame: Frame) -> int:
    for c, relative in enumerate(frame.ops):
        quotient = op @ np.rint(np.linalg.inv(relative)).astype(np.int64)
        if np.any(np.all(frame.laue == quotient, axis=(1, 2))):
            return c
    raise ValueError("operator is not in the lattice group")
