"""The cell and space group a user gives: lattices that fit, and the change to the user's setting."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import gemmi
import numpy as np

from mxdask.errors import ParameterError
from mxdask.index.params import KnownSymmetry
from mxdask.lattice.cells import cell_of_metric, minimum_cell, real_space, symmetrised_cell
from mxdask.lattice.metric import metric_subgroups
from mxdask.lattice.operators import constrain_crystal, point_group
from mxdask.models import Crystal
from mxdask.models.crystal import cell_parameters, hall_of

# Cells found from a few hundred spots each are the same one if lengths and angles differ by no more than this (fraction
# of a length, degrees): several times what narrow wedges leave undetermined.
SAME_LENGTH, SAME_ANGLE = 0.05, 3.0
_COMBINATIONS = np.array([v for v in product(range(-2, 3), repeat=3) if any(v)])


@dataclass(frozen=True, eq=False)
class TargetSymmetry:
    """What is known, ready for use.

    Attributes
    ----------
    space_group : the user's, P 1 if only a cell is given, None if nothing is known.
    cell : (6,) in the user's setting and obeying the space group, or None.
    """

    space_group: gemmi.SpaceGroup | None
    cell: np.ndarray | None
    tolerance: KnownSymmetry

    @classmethod
    def of(cls, params: KnownSymmetry) -> TargetSymmetry:
        """What the user knows.

        Raises
        ------
        ParameterError : no such space group or cell, or they do not fit together.
        """
        group = gemmi.find_spacegroup_by_name(params.space_group) if params.space_group else None
        cell = None
        if params.unit_cell is not None:
            cell = np.array(params.unit_cell, dtype=float)
            if np.any(cell[:3] <= 0) or not np.isfinite(real_space(cell)).all() or np.linalg.det(real_space(cell)) <= 1:
                raise ParameterError(f"unit_cell={','.join(map(str, params.unit_cell))}: there is no such cell")
            group = group or gemmi.find_spacegroup_by_name("P1")
            obeying = symmetrised_cell(cell, point_group(group))
            if not _close(cell, obeying, 0.02, 1.0):
                raise ParameterError(
                    f"unit_cell={','.join(map(str, params.unit_cell))} does not have the symmetry of {group.hm}; "
                    "give the cell in the space group's setting, or leave one of the two out"
                )
            cell = obeying
        return cls(group, cell, params)

    @property
    def is_known(self) -> bool:
        """Whether a space group or cell was given."""
        return self.space_group is not None

    @cached_property
    def P_primitive(self) -> np.ndarray:
        """(3, 3) h_primitive = P·h of the user's cell to its reduced primitive cell."""
        assert self.cell is not None and self.space_group is not None
        return minimum_cell(self.cell, self.space_group.centring_type())[0]

    @cached_property
    def primitive_rows(self) -> np.ndarray:
        """(3, 3) real-space vectors (rows, Å, some orientation) of the reduced primitive cell."""
        return self.P_primitive @ real_space(self.cell)

    def match(self, rows: np.ndarray) -> np.ndarray | None:
        """(3, 3) P such that P @ rows are the axes of the user's setting; None if the lattice does not fit.

        ``rows`` is a reduced primitive cell. With a known cell the nearest choice of lattice vectors within the
        tolerances is taken; with a space group alone the lattice must have its Bravais type within ``max_delta``.
        """
        if self.space_group is None:
            return np.eye(3)
        if self.cell is not None:
            primitive = match_cell(
                rows, self.primitive_rows,
                self.tolerance.relative_length_tolerance, self.tolerance.absolute_angle_tolerance,
            )  # fmt: skip
            return None if primitive is None else np.linalg.inv(self.P_primitive) @ primitive
        return self._match_bravais(rows)

    def _match_bravais(self, rows: np.ndarray) -> np.ndarray | None:
        assert self.space_group is not None
        wanted = self.space_group.centring_type()
        order = len(point_group(self.space_group))
        fits = [
            s
            for s in metric_subgroups(
                cell_parameters(rows), max_delta=self.tolerance.max_delta, best_monoclinic_beta=False
            )
            if s.space_group.centring_type() == wanted
            and s.space_group.laue_str() == self.space_group.laue_str()
            and len(s.ops) == order
        ]
        return min(fits, key=lambda s: s.delta).P_input_best if fits else None


def _close(cell: np.ndarray, other: np.ndarray, length_tolerance: float, angle_tolerance: float) -> bool:
    return bool(
        np.all(np.abs(cell[:3] / other[:3] - 1) <= length_tolerance)
        and np.all(np.abs(cell[3:] - other[3:]) <= angle_tolerance)
    )


def match_cell(
    rows: np.ndarray, target: np.ndarray, length_tolerance: float = SAME_LENGTH, angle_tolerance: float = SAME_ANGLE
) -> np.ndarray | None:
    """(3, 3) unimodular P with P @ rows most like ``target`` (rows, any orientation); None outside the tolerances.

    All right-handed triplets of short lattice vectors are looked at: reduction is not stable under errors, so two
    equal lattices need not have like reduced cells.
    """
    vectors = _COMBINATIONS @ rows
    lengths = np.linalg.norm(vectors, axis=1)
    wanted = np.linalg.norm(target, axis=1)
    choice = [np.nonzero(np.abs(lengths / w - 1) <= length_tolerance)[0] for w in wanted]
    if any(len(c) == 0 for c in choice):
        return None
    goal = target @ target.T
    best, best_misfit = None, np.inf
    first, second = (x.ravel() for x in np.meshgrid(choice[0], choice[1], indexing="ij"))
    angle = _angles(vectors, lengths, first, second)
    pairs = np.abs(angle - _angle(target[0], target[1])) <= angle_tolerance
    for a, b in zip(first[pairs], second[pairs], strict=True):
        c = choice[2]
        near = np.ones(len(c), dtype=bool)
        for chosen, axis in ((a, 0), (b, 1)):
            angle = _angles(vectors, lengths, np.full(len(c), chosen), c)
            near &= np.abs(angle - _angle(target[axis], target[2])) <= angle_tolerance
        for third in c[near]:
            P = _COMBINATIONS[[a, b, third]]
            if round(float(np.linalg.det(P))) != 1:
                continue
            triple = vectors[[a, b, third]]
            misfit = float(np.linalg.norm(triple @ triple.T - goal))
            # Ties (symmetry mates) go to the first in a fixed order, so that equal input gives equal output.
            if misfit < best_misfit * (1 - 1e-6):
                best, best_misfit = P, misfit
    return best


def _angles(vectors: np.ndarray, lengths: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    cosine = np.einsum("ij,ij->i", vectors[i], vectors[j]) / (lengths[i] * lengths[j])
    return np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))


def _angle(u: np.ndarray, v: np.ndarray) -> float:
    return float(np.rad2deg(np.arccos(np.clip(u @ v / (np.linalg.norm(u) * np.linalg.norm(v)), -1, 1))))


def cell_text(rows_or_metric: np.ndarray) -> str:
    """A cell as people write it."""
    metric = rows_or_metric @ rows_or_metric.T
    return ", ".join(f"{x:.2f}" for x in cell_of_metric(metric))


def target_crystal(rows: np.ndarray, target: TargetSymmetry) -> Crystal:
    """The crystal of a reduced lattice, in the user's setting and with its space group if they are known."""
    P = target.match(rows)
    hall = " P 1" if target.space_group is None else hall_of(target.space_group)
    crystal = Crystal(rows if P is None else P @ rows, hall)
    return crystal if target.space_group is None else constrain_crystal(crystal, target.space_group)


def primitive_rows(crystal: Crystal) -> np.ndarray:
    """Reduced primitive real-space vectors of a crystal."""
    P, _ = minimum_cell(crystal.cell, crystal.space_group.centring_type())
    return P @ crystal.real_space
