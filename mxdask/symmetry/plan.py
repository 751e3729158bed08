"""Before any reflection is read: the common cell, its possible symmetries, and what the user has fixed."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np

from mxdask.errors import MxdaskError, ParameterError
from mxdask.lattice.common_setting import cluster_cells
from mxdask.lattice.known_group import setting_of
from mxdask.lattice.metric import LatticeSetting, lattice_group, metric_subgroups
from mxdask.lattice.operators import parse_change_of_basis
from mxdask.lattice.space_groups import parse_space_group, symmorphic
from mxdask.models.experiment import ExperimentList
from mxdask.symmetry.params import Params


@dataclass(frozen=True, eq=False)
class Choice:
    """A Laue group in its setting: P (3, 3) from the common primitive cell, plain group, space group if known."""

    P: np.ndarray
    setting: gemmi.SpaceGroup
    space_group: gemmi.SpaceGroup | None


@dataclass(frozen=True, eq=False)
class Plan:
    """What to analyse.

    Attributes
    ----------
    rows : experiments used; P : (n, 3, 3) to the common primitive cell; cell : (6,) that cell.
    reasons : row → why it is not used.
    lattice : (k, 3, 3) lattice group; settings : its subgroups.
    fixed : the choice, if the user made it.
    """

    rows: tuple[int, ...]
    P: np.ndarray
    cell: np.ndarray
    reasons: dict[int, str]
    lattice: np.ndarray
    settings: list[LatticeSetting]
    fixed: Choice | None


def choose(setting: LatticeSetting, space_group: gemmi.SpaceGroup | None = None) -> Choice:
    """A lattice setting as the choice."""
    return Choice(setting.P_minimum_best, setting.space_group, space_group)


def plan_sweeps(experiments: ExperimentList, params: Params) -> Plan:
    """Common cell and possible symmetries of all sweeps.

    Raises
    ------
    MxdaskError : an experiment has no crystal. ParameterError : a group that the user gave does not fit the cell.
    """
    missing = [e.name for e in experiments if e.crystal is None]
    if missing or len(experiments) == 0:
        raise MxdaskError(f"symmetry: {', '.join(missing) or 'the list'} has no crystal; run `mxdask index` first")
    crystals = [e.crystal for e in experiments if e.crystal is not None]
    clusters = cluster_cells(
        [c.cell for c in crystals],
        [c.space_group.centring_type() for c in crystals],
        relative_length_tolerance=params.relative_length_tolerance,
        absolute_angle_tolerance=params.absolute_angle_tolerance,
    )
    main = clusters[0]
    median = " ".join(f"{x:.2f}" for x in main.median)
    reasons = {
        row: f"its cell does not fit the others' (primitive {median}) within the tolerances"
        for cluster in clusters[1:]
        for row in cluster.members
    }
    settings = metric_subgroups(
        main.median, max_delta=params.lattice_symmetry_max_delta, best_monoclinic_beta=params.best_monoclinic_beta
    )
    lattice = lattice_group(main.median, params.lattice_symmetry_max_delta)
    return Plan(
        main.members, main.P, main.median, reasons, lattice, settings, _fixed(main.P[0], main.median, settings, params)
    )


def _fixed(P_first: np.ndarray, cell: np.ndarray, settings: list[LatticeSetting], params: Params) -> Choice | None:
    if params.space_group is None and params.laue_group is None:
        if params.change_of_basis_op is not None:
            raise ParameterError("change_of_basis_op= needs space_group=, the group to which it leads")
        return None
    name = "space_group" if params.space_group is not None else "laue_group"
    text = params.space_group or params.laue_group or ""
    group = parse_space_group(text)
    known = group if params.space_group is not None else None
    if params.change_of_basis_op is not None:
        P = parse_change_of_basis(params.change_of_basis_op) @ np.linalg.inv(P_first)
        return Choice(P, symmorphic(group), known)
    if group.centring_type() in "IC" and group.crystal_system_str() == "monoclinic":
        settings = metric_subgroups(
            cell, max_delta=params.lattice_symmetry_max_delta, best_monoclinic_beta=group.centring_type() == "I"
        )
    setting = setting_of(settings, _acentric(group))
    if setting is None:
        median = " ".join(f"{x:.2f}" for x in cell)
        raise ParameterError(
            f"{name}={text} does not fit the primitive cell {median} "
            f"within lattice_symmetry_max_delta={params.lattice_symmetry_max_delta}"
        )
    return choose(setting, known)


def _acentric(group: gemmi.SpaceGroup) -> gemmi.SpaceGroup:
    """The group of the proper rotations of a group: Laue groups are often given with an inversion (P 4/m m m)."""
    operations = group.operations()
    proper = gemmi.GroupOps([op for op in operations.sym_ops if op.det_rot() > 0])
    proper.cen_ops = operations.cen_ops
    return gemmi.find_spacegroup_by_ops(proper) or group
