"""Crystals against a reference data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mxdask.cosym.alignment import relative_settings
from mxdask.cosym.pairs import PairRules
from mxdask.cosym.placement import Frame, margin, reference_lists
from mxdask.cosym.reference_file import Reference
from mxdask.cosym.settings_group import SettingsGroup
from mxdask.cosym.solve import Solution, Tasks
from mxdask.errors import MxdaskError
from mxdask.intensity.merged_set import MergedSet
from mxdask.intensity.normalisation import Method
from mxdask.intensity.symmetry_data import normalised_set
from mxdask.lattice.cells import change_cell, minimum_cell, similar
from mxdask.lattice.common_setting import best_match
from mxdask.lattice.metric import LatticeSetting
from mxdask.lattice.operators import point_group, setting_in
from mxdask.lattice.point_groups import same_group


def solve_against(
    sets: Sequence[MergedSet],
    reference: Reference,
    lattice: np.ndarray,
    settings: list[LatticeSetting],
    cell: np.ndarray,
    method: Method | None,
    rules: PairRules,
    tasks: Tasks,
) -> Solution:
    """The setting of each crystal in which it agrees best with the reference.

    Parameters
    ----------
    sets : normalised sets on the common primitive cell ``cell``, merged without symmetry.
    lattice : (n, 3, 3) its lattice group. settings : its subgroups.

    Raises
    ------
    MxdaskError : the reference's cell or symmetry is not that of the crystals.
    """
    to_minimum, minimum = minimum_cell(reference.cell, reference.space_group.centring_type())
    to_common = best_match(minimum, cell) @ to_minimum
    if not similar(change_cell(reference.cell, to_common), cell):
        text = " ".join(f"{x:.2f}" for x in reference.cell)
        raise MxdaskError(f"reference: its cell {text} is not that of the crystals")
    laue = setting_in(point_group(reference.space_group), to_common)
    setting = next((s for s in settings if same_group(s.ops, laue)), None)
    if setting is None:
        raise MxdaskError(f"reference: {reference.space_group.hm} does not fit the lattice of the crystals")
    target = normalised_set(reference.hkl, reference.intensity, reference.variance, to_common, cell, laue, method)
    identity = np.eye(3, dtype=np.int64)
    group = SettingsGroup.of(lattice, identity[None])
    frame = Frame(laue, lattice, relative_settings(group, laue).ops, rules)
    score, pairs = tasks.class_scores(sets, reference_lists([target], [identity], frame), frame)
    best = np.argmax(np.round(score, 9), axis=1)
    rows = np.arange(len(sets))
    placed = (pairs[rows, best] > 0) | (len(frame.ops) == 1)
    back = np.linalg.inv(to_common)
    return Solution(
        setting=replace(setting, P_minimum_best=back, P_input_best=back, cell=reference.cell),
        ops=[frame.ops[best[i]] if placed[i] else None for i in rows],
        reasons=["" if ok else "too few reflections in common with the reference" for ok in placed],
        classes=np.where(placed, best, -1),
        class_ops=frame.ops,
        score=np.where(placed, score[rows, best], np.nan),
        pairs=pairs[rows, best],
        margin=margin(score),
        solved=rows,
        coordinates=None,
        pair_matrix=None,
        agreement=None,
        operators=[],
        groups=[],
    )
