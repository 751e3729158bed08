"""Another choice of axes for crystals and indices (front.md 10.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import gemmi
import numpy as np
from pydantic import Field

from mxdask.errors import ParameterError
from mxdask.lattice.operators import constrain_crystal, reindex
from mxdask.models import Crystal, ExperimentList
from mxdask.models.crystal import hall_of
from mxdask.params import StepParams
from mxdask.table import ReflectionTable


class Reference(StepParams):
    experiments: str | None = Field(None, description="Make the crystals agree with this .expt file's")
    reflections: str | None = Field(
        None, description="Choose among ambiguous settings by correlation with this .refl file's intensities"
    )


class Output(StepParams):
    experiments: str = Field("reindexed.expt", description="File of the experiments")
    reflections: str = Field("reindexed.refl", description="File of the reflections")


class Params(StepParams):
    """Parameters of reindex."""

    change_of_basis_op: str | None = Field(
        "a,b,c", description="New axes (a+c,b,-a), coordinates (x,y,z) or indices (h,k,l); Auto: against the reference"
    )
    hkl_offset: tuple[int, int, int] | None = Field(None, description="Added to indices before the change of basis")
    space_group: str | None = Field(None, description="Group after the change of basis; the cells are made to obey it")
    lepage_max_delta: float = Field(
        5.0, gt=0, description="Tolerance of the lattice's symmetry, for ambiguities", json_schema_extra={"unit": "°"}
    )
    reference: Reference = Reference()
    output: Output = Output()


def reindex_crystal(crystal: Crystal, P: np.ndarray, space_group: gemmi.SpaceGroup | None = None) -> Crystal:
    """Crystal with h' = P·h, matrices at scan points included.

    Parameters
    ----------
    space_group : the group afterwards, which the cell is made to obey; None: the old group in the new axes.

    Raises
    ------
    ParameterError : the old group has no symbol in the new axes.
    """
    if space_group is not None:
        return constrain_crystal(crystal.change_basis(P, " P 1"), space_group)
    return crystal.change_basis(P, hall_of(group_in_new_axes(crystal.space_group, P)))


def group_in_new_axes(group: gemmi.SpaceGroup, P: np.ndarray) -> gemmi.SpaceGroup:
    """A space group with axes changed as indices are, h' = P·h.

    Raises
    ------
    ParameterError : that setting is not in the table of space groups.
    """
    operations = group.operations()
    to_new = gemmi.Op("x,y,z")  # coordinates: x' = (P⁻¹)ᵀ·x
    matrix = np.linalg.inv(P).T * gemmi.Op.DEN
    if not np.allclose(matrix, np.rint(matrix), atol=1e-6):
        raise ParameterError("change_of_basis_op: its inverse has fractions that no setting of a space group has")
    to_new.rot = np.rint(matrix).astype(int).tolist()
    try:
        operations.change_basis_forward(to_new)
        found = gemmi.find_spacegroup_by_ops(operations)
    except (RuntimeError, ValueError):
        found = None
    if found is None:
        raise ParameterError(
            f"change_of_basis_op: {group.short_name()} has no symbol in the new axes; give space_group= as well"
        )
    return found


def reindex_list(
    experiments: ExperimentList, changes: Sequence[np.ndarray], space_group: gemmi.SpaceGroup | None = None
) -> ExperimentList:
    """Experiments with their crystals reindexed; crystals that were shared still are.

    Parameters
    ----------
    changes : (3, 3) P per experiment.
    """
    done: dict[tuple[int, bytes], Crystal] = {}
    new = []
    for experiment, P in zip(experiments, changes, strict=True):
        crystal = experiment.crystal
        if crystal is None:
            new.append(experiment)
            continue
        key = id(crystal), np.asarray(P, dtype=float).tobytes()
        if key not in done:
            done[key] = _without_derived(reindex_crystal(crystal, P, space_group))
        new.append(experiment.evolve(crystal=done[key]))
    return experiments.with_experiments(new)


def _without_derived(crystal: Crystal) -> Crystal:
    """Covariances and cells from 2θ belong to the old axes."""
    return replace(crystal, recalculated_cell=None, recalculated_cell_esd=None, recalculated_volume_esd=None)


def reindex_table(
    table: ReflectionTable, changes: Sequence[np.ndarray], offset: tuple[int, int, int] | None = None
) -> tuple[ReflectionTable, int]:
    """Reflections with new indices, and how many lost theirs.

    Reflections whose new indices are fractions keep their row with indices 0 0 0, as in DIALS.

    Parameters
    ----------
    changes : P per experiment (per value of ``id``). offset : added to the old indices of indexed reflections first.
    """
    hkl = table["miller_index"].copy()
    lost = 0
    for row, P in enumerate(changes):
        mine = np.flatnonzero((table["id"] == row) & np.any(hkl != 0, axis=1))
        old = hkl[mine] if offset is None else hkl[mine] + np.array(offset, dtype=hkl.dtype)
        moved, integer = reindex(old, P)
        moved[~integer] = 0
        hkl[mine] = moved
        lost += int(np.count_nonzero(~integer))
    out = table.copy()
    out["miller_index"] = hkl
    return out, lost
