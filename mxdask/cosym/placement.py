"""Crystals against crystals that already share a setting: does each stand in its best one?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mxdask.cosym.pairs import Correlations, PairRules, ReflectionLists, correlate
from mxdask.cosym.settings_group import SettingsGroup
from mxdask.intensity.merged_set import MergedSet, merge_set


@dataclass(frozen=True, eq=False)
class Frame:
    """The common setting: Laue group, lattice group and the classes of relative settings.

    Attributes
    ----------
    laue, lattice : (n, 3, 3) operators on the indices of the common primitive cell.
    ops : (c, 3, 3) one operator per class of settings, identity first.
    rules : how two crystals are compared.
    """

    laue: np.ndarray
    lattice: np.ndarray
    ops: np.ndarray
    rules: PairRules


def in_setting(data: MergedSet, op: np.ndarray, laue: np.ndarray) -> MergedSet:
    """A crystal reindexed by an operator and merged in the Laue group."""
    return merge_set(data.hkl @ op.T, data.intensity, data.sigma**2, laue)


def reference_lists(sets: Sequence[MergedSet], ops: Sequence[np.ndarray], frame: Frame) -> ReflectionLists:
    """Crystals brought to the common setting, as lists to compare others with."""
    return ReflectionLists.of([in_setting(s, op, frame.laue) for s, op in zip(sets, ops, strict=True)], frame.lattice)


def class_scores(
    sets: Sequence[MergedSet], references: ReflectionLists, frame: Frame, ops: Sequence[np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """How well each crystal agrees with reference crystals in each class of settings, counted from its present one.

    Parameters
    ----------
    sets : crystals merged without symmetry.
    references : lists of crystals in the common setting, merged in the Laue group.
    ops : where crystals and references are the same crystals, what takes each to its present setting; none is then
        compared with itself.

    Returns
    -------
    score : (n, c) correlations averaged over references with weights n_ij; -1 without any.
    pairs : (n, c) common reflections in all.
    """
    trivial = SettingsGroup.of(frame.laue, frame.laue)
    score = np.full((len(sets), len(frame.ops)), -1.0)
    pairs = np.zeros(score.shape, dtype=np.int64)
    for c, relative in enumerate(frame.ops):
        turns = [relative] * len(sets) if ops is None else [relative @ op for op in ops]
        moved = [in_setting(s, turn, frame.laue) for s, turn in zip(sets, turns, strict=True)]
        found = correlate(ReflectionLists.of(moved, frame.lattice), references, trivial, 0, frame.rules)
        usable = found.n >= frame.rules.min_pairs
        if ops is not None:
            np.fill_diagonal(usable, False)
        weight = np.where(usable, found.effective, 0.0)
        total = weight.sum(axis=1)
        pairs[:, c] = np.where(usable, found.n, 0).sum(axis=1)
        with np.errstate(invalid="ignore"):
            score[:, c] = np.where(total > 0, (weight * found.r).sum(axis=1) / total, -1.0)
    return score, pairs


def polish(
    sets: Sequence[MergedSet], ops: list[np.ndarray], frame: Frame
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Turn crystals, one at a time, that agree better with all others in another setting.

    Coordinates see data without symmetry; merged in the Laue group there are more common reflections, which helps
    weak crystals. Each turn raises the sum of all correlations, so it ends.

    Returns
    -------
    operators, and scores and pairs as in :func:`class_scores` (column 0 is the setting chosen).
    """
    ops = list(ops)
    for _ in range(len(sets) + 1):
        score, pairs = class_scores(sets, reference_lists(sets, ops, frame), frame, ops)
        gain = (score.max(axis=1) - score[:, 0]) * (pairs[:, 0] > 0)
        worst = int(np.argmax(np.round(gain, 9)))
        if gain[worst] <= 1e-9:
            break
        ops[worst] = frame.ops[int(np.argmax(score[worst]))] @ ops[worst]
    return ops, score, pairs


def agreement(sets: Sequence[MergedSet], ops: Sequence[np.ndarray], frame: Frame) -> Correlations:
    """Correlations of all pairs of crystals in their final settings, merged in the Laue group."""
    lists = reference_lists(sets, ops, frame)
    return correlate(lists, lists, SettingsGroup.of(frame.laue, frame.laue), 0, frame.rules)


def margin(score: np.ndarray) -> np.ndarray:
    """(n,) best minus second best score; NaN where there is but one class or nothing to compare."""
    if score.shape[1] < 2:
        return np.full(len(score), np.nan)
    ordered = np.sort(score, axis=1)
    return np.where(ordered[:, -2] > -1.0, ordered[:, -1] - ordered[:, -2], np.nan)
