"""The cell that most sweeps of one kind of crystal agree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mxdask.index.known_symmetry import match_cell
from mxdask.lattice.cells import cell_of_metric

MIN_MEMBERS = 3


@dataclass(frozen=True, eq=False)
class Consensus:
    """The largest cluster of like cells.

    Attributes
    ----------
    cell : (6,) median cell (Å, degrees).
    members : which of the given cells belong to it.
    """

    cell: np.ndarray
    members: tuple[int, ...]


def consensus_cell(
    lattices: Sequence[np.ndarray], *, length_tolerance: float = 0.05, angle_tolerance: float = 1.5
) -> Consensus | None:
    """Median cell of the largest cluster; None if no three cells are alike.

    Parameters
    ----------
    lattices : real-space vectors (3, 3) of each crystal's cell, all primitive or all in one setting.

    Notes
    -----
    Cells are alike if some choice of lattice vectors of the one is like the axes of the other: reduced cells need not
    be, for errors change the reduction. The reference of a cluster is the cell with the most like it (the first of
    equals), so the result does not depend on the order in which sweeps finish.
    """
    best: dict[int, np.ndarray] = {}
    for reference in lattices:
        alike: dict[int, np.ndarray] = {}
        for i, rows in enumerate(lattices):
            P = match_cell(rows, reference, length_tolerance, angle_tolerance)
            if P is not None:
                alike[i] = P @ rows
        if len(alike) > len(best):
            best = alike
    if len(best) < MIN_MEMBERS:
        return None
    metrics = np.array([rows @ rows.T for rows in best.values()])
    return Consensus(cell_of_metric(np.median(metrics, axis=0)), tuple(best))
