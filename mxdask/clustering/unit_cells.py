"""Crystals grouped by unit cell: a tree of distances, cut at a height (front.md 13.5, back.md 12.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from mxdask.clustering.cell_distance import cell_distances
from mxdask.errors import MxdaskError
from mxdask.lattice.cells import change_cell, minimum_cell, similar
from mxdask.lattice.common_setting import best_match
from mxdask.lattice.metric import LatticeSetting, metric_subgroups
from mxdask.models import ExperimentList

Method = Literal["single", "average", "complete", "ward"]
_LATTICE_DELTA = 3.0  # degrees, for the symmetry that is printed


@dataclass(frozen=True)
class CellLinkage:
    """How the tree is made and where it is cut (Å²)."""

    threshold: float = 5000.0
    method: Method = "single"


@dataclass(frozen=True, eq=False)
class CellCluster:
    """Crystals with like cells.

    Attributes
    ----------
    members : rows, ascending.
    median, sd : (6,) of the members' minimum cells with axes chosen alike (Å, degrees).
    lattice : highest symmetry that the median cell has within 3°.
    """

    members: tuple[int, ...]
    median: np.ndarray
    sd: np.ndarray
    lattice: LatticeSetting


@dataclass(frozen=True, eq=False)
class CellTree:
    """The tree and its clusters, the largest first (ties: the one with the first crystal).

    Attributes
    ----------
    tree : (n - 1, 4) linkage matrix of scipy; empty for one crystal.
    """

    tree: np.ndarray
    clusters: tuple[CellCluster, ...]


def link(distances: np.ndarray, n: int, method: Method = "single") -> np.ndarray:
    """Linkage matrix (n - 1, 4) of condensed distances."""
    return linkage(distances, method) if n > 1 else np.zeros((0, 4))


def cut(tree: np.ndarray, n: int, threshold: float) -> list[tuple[int, ...]]:
    """Flat clusters as rows, the largest first, then by first member."""
    labels = fcluster(tree, threshold, criterion="distance") if n > 1 else np.ones(n, dtype=int)
    groups: dict[int, list[int]] = {}
    for row, label in enumerate(labels.tolist()):
        groups.setdefault(label, []).append(row)
    return sorted((tuple(rows) for rows in groups.values()), key=lambda rows: (-len(rows), rows[0]))


def cluster_unit_cells(cells: Sequence[Any], centrings: Sequence[str], how: CellLinkage | None = None) -> CellTree:
    """Tree and clusters of cells (6,) in Å and degrees with their centring letters."""
    how = how or CellLinkage()
    n = len(cells)
    tree = link(cell_distances(cells, centrings), n, how.method)
    groups = cut(tree, n, how.threshold)
    return CellTree(tree, tuple(_cluster(rows, cells, centrings) for rows in groups))


def cluster_cells_of(experiments: ExperimentList, how: CellLinkage | None = None) -> CellTree:
    """Tree and clusters of the experiments' crystals, rows as in the list.

    Raises
    ------
    MxdaskError : an experiment has no crystal.
    """
    cells, centrings = [], []
    for experiment in experiments:
        if experiment.crystal is None:
            raise MxdaskError(f"{experiment.name} has no crystal; index the data first")
        cells.append(experiment.crystal.cell)
        centrings.append(experiment.crystal.space_group.centring_type())
    return cluster_unit_cells(cells, centrings, how)


def _cluster(rows: tuple[int, ...], cells: Sequence[Any], centrings: Sequence[str]) -> CellCluster:
    minima = [minimum_cell(cells[row], centrings[row])[1] for row in rows]
    middle = np.median(minima, axis=0)
    leader = minima[int(np.argmin([np.abs(m / middle - 1).max() for m in minima]))]
    alike = np.array([_like(m, leader) for m in minima])
    median = np.median(alike, axis=0)
    sd = alike.std(axis=0, ddof=1) if len(rows) > 1 else np.zeros(6)
    return CellCluster(rows, median, sd, metric_subgroups(median, max_delta=_LATTICE_DELTA)[0])


def _like(cell: np.ndarray, leader: np.ndarray) -> np.ndarray:
    return cell if similar(cell, leader) else change_cell(cell, best_match(cell, leader))
