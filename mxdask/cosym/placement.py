"""Crystals against crystals that already share a setting: does each stand in its best one?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mxdask.cosym.pairs import ReflectionLists, correlate
from mxdask.cosym.settings_group import SettingsGroup
from mxdask.intensity.merged_set import MergedSet, merge_set


@dataclass(frozen=True, eq=False)
class Frame:
    """The common setting: Laue group, lattice group and the classes of relative settings.

    Attributes
    ----------
    laue, lattice : (n, 3, 3) operators on the indices of the common primitive cell.
    ops : (c, 3, 3) one operator per class of settings, identity first.
    min_pairs : correlations of fewer pairs do not count.
    """

    laue: np.ndarray
    lattice: np.ndarray
    ops: np.ndarray
    min_pairs: int


def in_setting(data: MergedSet, op: np.ndarray, laue: np.ndarray) -> MergedSet:
    """A crystal reindexed by an operator and merged in the Laue group."""
    return merge_set(data.hkl @ op.T, data.intensity, data.sigma**2, laue)


def class_scores(
    sets: Sequence[MergedSet], ops: Sequence[np.ndarray], references: Sequence[MergedSet], frame: Frame, *, same: bool
) -> tuple[np.ndarray, np.ndarray]:
    """How well each crystal agrees with reference crystals in each class of settings, counted from its present one.

    Parameters
    ----------
    sets, ops : crystals merged without symmetry, and the operator that takes each to its present setting.
    references : crystals in the common setting, merged in the Laue group.
    same : crystals and references are the same crystals: none is compared with itself.

    Returns
    -------
    score : (n, c) correlations averaged over references with weights n_ij; -1 without any.
    pairs : (n, c) common reflections in all.
    """
    trivial = SettingsGroup.of(frame.laue, frame.laue)
    second = ReflectionLists.of(references, frame.lattice)
    score = np.full((len(sets), len(frame.ops)), -1.0)
    pairs = np.zeros(score.shape, dtype=np.int64)
    for c, relative in enumerate(frame.ops):
        moved = [in_setting(s, relative @ op, frame.laue) for s, op in zip(sets, ops, strict=True)]
        first = ReflectionLists.of(moved, frame.lattice)
        r, n = correlate(first, second, trivial, 0, frame.min_pairs)
        weight = np.where(n >= frame.min_pairs, n, 0).astype(np.float64)
        if same:
            np.fill_diagonal(weight, 0.0)
        total = weight.sum(axis=1)
        pairs[:, c] = total
        with np.errstate(invalid="ignore"):
            score[:, c] = np.where(total > 0, (weight * r).sum(axis=1) / total, -1.0)
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
        references = [in_setting(s, op, frame.laue) for s, op in zip(sets, ops, strict=True)]
        score, pairs = class_scores(sets, ops, references, frame, same=True)
        gain = (score.max(axis=1) - score[:, 0]) * (pairs[:, 0] > 0)
        worst = int(np.argmax(np.round(gain, 9)))
        if gain[worst] <= 1e-9:
            break
        ops[worst] = frame.ops[int(np.argmax(score[worst]))] @ ops[worst]
    return ops, score, pairs


def margin(score: np.ndarray) -> np.ndarray:
    """(n,) best minus second best score; NaN where there is but one class or nothing to compare."""
    if score.shape[1] < 2:
        return np.full(len(score), np.nan)
    ordered = np.sort(score, axis=1)
    return np.where(ordered[:, -2] > -1.0, ordered[:, -1] - ordered[:, -2], np.nan)
