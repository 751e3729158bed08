"""Crystal forms: crystals whose cells are the same as far as they are known. All are kept, not only the largest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist, squareform

from mxdask.clustering.cell_distance import cell_distances
from mxdask.clustering.unit_cells import cut
from mxdask.lattice.cells import change_cell, minimum_cell, similar
from mxdask.lattice.common_setting import best_match, lattice_signature
from mxdask.lattice.metric import metric_subgroups
from mxdask.models import ExperimentList

# Relative lengths that differ by less are one form whatever the scatter; by more never (intensities of cells that
# differ by several per cent sample other points of the transform).
LEAST_GAP, LARGEST_GAP = 0.007, 0.05
# A gap this many times the usual distance to the near neighbours is one between forms.
_GAP_FACTOR = 5.0
_NEIGHBOUR = 3


@dataclass(frozen=True, eq=False)
class Form:
    """Crystals of one cell.

    Attributes
    ----------
    members : places in the list that was clustered, ascending.
    cell : (6,) median primitive reduced cell (Å, degrees).
    lattice : the highest symmetry that cell has within 3°, and conventional : (6,) its cell in that symmetry.
    """

    members: tuple[int, ...]
    cell: np.ndarray
    lattice: str
    conventional: np.ndarray


@dataclass(frozen=True, eq=False)
class Forms:
    """All forms, the largest first, with the tree they were cut from.

    Attributes
    ----------
    tree : (n - 1, 4) single linkage. height : where it was cut. unit : of the heights.
    """

    forms: tuple[Form, ...]
    tree: np.ndarray
    height: float
    unit: str


def find_forms(experiments: ExperimentList, threshold: float | None) -> Forms:
    """Sort crystals by cell.

    The distance of two lattices is the largest relative difference of their nine shortest vectors; single linkage is
    cut at five times the median distance of a crystal to its third neighbour, but not below 0.7 % nor above 5 %: where
    cells are known to 0.1 %, one that is 1.5 % off is another form, where they scatter by 1 % it is not.

    Parameters
    ----------
    threshold : Å², cut the tree of :func:`cell_distances` there instead, as ``cluster_unit_cell`` does.
    """
    cells = [e.crystal.cell for e in experiments if e.crystal is not None]
    centrings = [e.crystal.space_group.centring_type() for e in experiments if e.crystal is not None]
    minima = [minimum_cell(c, k)[1] for c, k in zip(cells, centrings, strict=True)]
    if threshold is None:
        distances = pdist(np.log([lattice_signature(m) for m in minima]), "chebyshev")
        height, unit = usual_gap(distances, len(minima)), "relative"
    else:
        distances, height, unit = cell_distances(cells, centrings), threshold, "Å²"
    tree = linkage(distances, "single") if len(minima) > 1 else np.zeros((0, 4))
    groups = cut(tree, len(minima), height)
    return Forms(tuple(_form(rows, minima) for rows in groups), tree, height, unit)


def usual_gap(distances: np.ndarray, n: int) -> float:
    """Where to cut: a multiple of the scatter between near neighbours, within limits."""
    if n < 3:
        return LEAST_GAP
    neighbour = min(_NEIGHBOUR, (n - 1) // 2)
    near = np.partition(squareform(distances), neighbour, axis=1)[:, neighbour]
    return float(np.clip(_GAP_FACTOR * np.median(near), LEAST_GAP, LARGEST_GAP))


def _form(rows: Sequence[int], minima: list[np.ndarray]) -> Form:
    own = [minima[row] for row in rows]
    middle = np.median(own, axis=0)
    leader = own[int(np.argmin([np.abs(m / middle - 1).max() for m in own]))]
    alike = [m if similar(m, leader) else change_cell(m, best_match(m, leader)) for m in own]
    median = np.median(alike, axis=0)
    lattice = metric_subgroups(median, max_delta=3.0)[0]
    return Form(tuple(rows), median, lattice.patterson_symbol, np.asarray(lattice.cell))


def how_different(form: Form, main: Form) -> str:
    """In words, what sets a form apart from the main one."""
    ours, theirs = (np.log(lattice_signature(f.cell)) for f in (form, main))
    off = 100 * np.expm1(ours - theirs)
    worst = float(off[np.argmax(np.abs(off))])
    cell = " ".join(f"{x:.2f}" for x in form.conventional)
    reference = " ".join(f"{x:.2f}" for x in main.conventional)
    return f"its cell ({cell}) is unlike that of most crystals ({reference}): up to {worst:+.1f} % in length"
