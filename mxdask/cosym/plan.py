"""Before any reflection is read: which crystals can be compared, on which cell, and what symmetry is possible."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import gemmi
import numpy as np

from mxdask.cosym.params import Params
from mxdask.cosym.reference_file import Reference, read_reference
from mxdask.cosym.settings_group import normal_core
from mxdask.errors import MxdaskError, ParameterError
from mxdask.intensity.merged_set import MergedSet
from mxdask.intensity.order import canonical_order, content_key
from mxdask.lattice.common_setting import CellCluster, cluster_cells
from mxdask.lattice.known_group import setting_of, settings_of
from mxdask.lattice.metric import LatticeSetting, lattice_group, metric_subgroups
from mxdask.lattice.space_groups import parse_space_group
from mxdask.models.experiment import ExperimentList


@dataclass(frozen=True, eq=False)
class Plan:
    """What to compare.

    Attributes
    ----------
    rows : experiments used, in an order that depends on their content only, so that no result depends on theirs;
        P : (n, 3, 3) their change of basis to the common primitive cell.
    crystal_of : row → number of its crystal (experiments may share one); names : of the crystals; keys : what their
        random choices are seeded with.
    cell : (6,) common cell, the median.
    clusters : groups of like cells, the first is the one used; reasons : row → why it is not used.
    lattice : (k, 3, 3) lattice group; settings : its subgroups; candidates : those among which to choose.
    core : (c, 3, 3) the symmetry known beforehand, whatever the setting; space_group : as the user gave it.
    reference : data whose setting the crystals are to take.
    """

    rows: tuple[int, ...]
    P: np.ndarray
    crystal_of: dict[int, int]
    names: dict[int, str]
    keys: dict[int, str]
    cell: np.ndarray
    clusters: list[CellCluster]
    reasons: dict[int, str]
    lattice: np.ndarray
    settings: list[LatticeSetting]
    candidates: list[LatticeSetting]
    core: np.ndarray
    space_group: gemmi.SpaceGroup | None
    reference: Reference | None


@dataclass(frozen=True, eq=False)
class Datasets:
    """Crystals with enough reflections: their numbers, sets, names and keys; and why other rows are left out."""

    crystals: list[int]
    sets: list[MergedSet]
    names: list[str]
    keys: list[str]
    reasons: dict[int, str] = field(default_factory=dict)


def plan_datasets(experiments: ExperimentList, params: Params) -> Plan:
    """Choose the crystals of the largest cluster of cells and the symmetry to test.

    Raises
    ------
    MxdaskError : an experiment has no crystal; the space group does not fit the lattice.
    """
    missing = [e.name for e in experiments if e.crystal is None]
    if missing or len(experiments) == 0:
        raise MxdaskError(f"cosym: {', '.join(missing) or 'the list'} has no crystal; run `mxdask index` first")
    number = {id(c): i for i, c in enumerate(experiments.unique("crystal"))}
    crystal_of = {row: number[id(e.crystal)] for row, e in enumerate(experiments)}
    order = canonical_order(experiments.experiments)
    sequence = list(dict.fromkeys(crystal_of[row] for row in order))
    first_row = {crystal_of[row]: row for row in reversed(order)}
    crystals = [experiments[first_row[crystal]].crystal for crystal in sequence]
    clusters = cluster_cells(
        [c.cell for c in crystals if c is not None],
        [c.space_group.centring_type() for c in crystals if c is not None],
        relative_length_tolerance=params.relative_length_tolerance,
        absolute_angle_tolerance=params.absolute_angle_tolerance,
    )
    clusters = [replace(c, members=tuple(sequence[m] for m in c.members)) for c in clusters]
    main = clusters[0]
    position = {crystal: k for k, crystal in enumerate(main.members)}
    rows = tuple(row for row in order if crystal_of[row] in position)
    reasons = _reasons(clusters, crystal_of)
    names = {crystal: experiments[row].identifier for crystal, row in first_row.items()}
    keys = {crystal: content_key(experiments[row]) for crystal, row in first_row.items()}
    reference = None if params.reference is None else read_reference(params.reference)
    symmetry = _symmetry(main, params)
    if reference is not None:
        symmetry = (*symmetry[:3], np.eye(3, dtype=np.int64)[None], reference.space_group)
    return Plan(
        rows, np.array([main.P[position[crystal_of[r]]] for r in rows]), crystal_of, names, keys, main.median, clusters,
        reasons, *symmetry, reference,
    )  # fmt: skip


def _reasons(clusters: list[CellCluster], crystal_of: dict[int, int]) -> dict[int, str]:
    rank_of = {crystal: rank for rank, cluster in enumerate(clusters, start=1) for crystal in cluster.members}
    cells = [" ".join(f"{x:.2f}" for x in cluster.median) for cluster in clusters]
    return {
        row: f"its cell (primitive {cells[rank - 1]}, cluster {rank} of {len(clusters)}) is unlike most others'"
        for row, crystal in crystal_of.items()
        if (rank := rank_of[crystal]) > 1
    }


def _symmetry(
    cluster: CellCluster, params: Params
) -> tuple[np.ndarray, list[LatticeSetting], list[LatticeSetting], np.ndarray, gemmi.SpaceGroup | None]:
    """Lattice group, its subgroups, the candidates among them, their common core, and the group the user gave."""
    settings = metric_subgroups(
        cluster.median,
        max_delta=params.lattice_symmetry_max_delta,
        best_monoclinic_beta=params.best_monoclinic_beta,
    )
    lattice = lattice_group(cluster.median, params.lattice_symmetry_max_delta)
    if params.lattice_group is not None:
        largest = setting_of(settings, parse_space_group(params.lattice_group))
        if largest is None:
            raise ParameterError(f"lattice_group={params.lattice_group} does not fit the cell {_text(cluster.median)}")
        lattice = largest.ops
        members = {op.tobytes() for op in lattice}
        settings = [s for s in settings if all(op.tobytes() in members for op in s.ops)]
    if params.space_group is None:
        return lattice, settings, settings, np.eye(3, dtype=np.int64)[None], None
    group = parse_space_group(params.space_group)
    fixed = metric_subgroups(
        cluster.median,
        max_delta=params.lattice_symmetry_max_delta,
        best_monoclinic_beta=group.centring_type() == "I",
    )
    candidates = settings_of(fixed, group)
    if not candidates:
        raise ParameterError(
            f"space_group={params.space_group} does not fit the primitive cell {_text(cluster.median)} "
            f"within lattice_symmetry_max_delta={params.lattice_symmetry_max_delta}"
        )
    return lattice, fixed, candidates, normal_core(lattice, candidates[0].ops), group


def _text(cell: np.ndarray) -> str:
    return " ".join(f"{x:.2f}" for x in cell)
