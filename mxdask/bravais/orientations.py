"""Rotations between crystals, modulo symmetry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field
from scipy.spatial.transform import Rotation

from mxdask.lattice.metric import lattice_operators
from mxdask.lattice.operators import abc_of, point_group
from mxdask.models import Crystal
from mxdask.params import StepParams


class Params(StepParams):
    """Parameters of compare_orientation_matrices."""

    hkl: tuple[tuple[int, int, int], ...] = Field(
        (), description="Also the angle between these reflections' directions; may be given several times"
    )
    comparison: Literal["pairwise", "sequential"] = Field(
        "pairwise", description="All pairs, or neighbours in the list"
    )
    space_group: str | None = Field(None, description="Modulo the symmetry of this group; Auto: that of the crystals")
    symmetry: Literal["space_group", "lattice"] = Field(
        "space_group", description="Modulo the space group, or modulo all that the lattice allows"
    )
    lepage_max_delta: float = Field(
        5.0, gt=0, description="Tolerance of the lattice's symmetry", json_schema_extra={"unit": "°"}
    )


@dataclass(frozen=True, eq=False)
class Misorientation:
    """The smallest rotation R with U_b·S = R·U_a over the symmetry operators S.

    Attributes
    ----------
    first, second : rows of the crystals.
    R : (3, 3) in the goniometer datum frame. angle : degrees, 0..180. axis : (3,).
    P : (3, 3) change of basis h' = P·h of the second crystal that brings it closest.
    """

    first: int
    second: int
    R: np.ndarray
    angle: float
    axis: np.ndarray
    P: np.ndarray

    @property
    def cb_op(self) -> str:
        """The change of basis in a,b,c notation."""
        return abc_of(self.P)


def symmetry_operators(crystal: Crystal, params: Params) -> np.ndarray:
    """(n, 3, 3) integer operators on the crystal's indices, the identity first."""
    if params.symmetry == "space_group":
        return point_group(crystal.space_group)
    return lattice_operators(crystal.cell, crystal.space_group.centring_type(), params.lepage_max_delta)


def equivalent_orientations(crystal: Crystal, operators: np.ndarray) -> np.ndarray:
    """(n, 3, 3) orientation matrices of the crystal described with every choice of equivalent axes."""
    return np.array([crystal.change_basis(op, " P 1").U for op in operators])


def rotation_angles(R: np.ndarray) -> np.ndarray:
    """(…,) degrees of rotation matrices (…, 3, 3); exact for small angles, unlike the arc cosine of the trace."""
    chord = np.linalg.norm(R - np.eye(3), axis=(-2, -1)) / np.sqrt(8)
    return np.rad2deg(2 * np.arcsin(np.clip(chord, 0, 1)))


def misorientations(
    crystals: Sequence[Crystal], operators: Sequence[np.ndarray], comparison: str = "pairwise"
) -> Iterator[Misorientation]:
    """All pairs (or neighbours), in order.

    Parameters
    ----------
    operators : per crystal (n, 3, 3), see :func:`symmetry_operators`.
    """
    choices = [equivalent_orientations(c, ops) for c, ops in zip(crystals, operators, strict=True)]
    for i, crystal in enumerate(crystals):
        stop = min(i + 2, len(crystals)) if comparison == "sequential" else len(crystals)
        for j in range(i + 1, stop):
            rotations = choices[j] @ crystal.U.T
            angles = rotation_angles(rotations)
            best = int(np.argmin(np.round(angles, 9)))
            yield _misorientation(i, j, rotations[best], operators[j][best])


def _misorientation(i: int, j: int, R: np.ndarray, P: np.ndarray) -> Misorientation:
    vector = Rotation.from_matrix(R).as_rotvec(degrees=True)
    angle = float(np.linalg.norm(vector))
    axis = vector / angle if angle > 0 else np.array([0.0, 0.0, 1.0])
    return Misorientation(i, j, R, angle, axis, np.rint(P))


def direction_angle(a: Crystal, b: Crystal, pair: Misorientation, hkl: Sequence[int]) -> float:
    """Degrees between the directions of one reflection in two crystals, the second in the setting closest."""
    first, second = a.A @ np.asarray(hkl), b.change_basis(pair.P, " P 1").A @ np.asarray(hkl)
    return float(np.rad2deg(np.arctan2(np.linalg.norm(np.cross(first, second)), first @ second)))


def report(crystals: Sequence[Crystal], pairs: Sequence[Misorientation], hkl: Sequence[Sequence[int]] = ()) -> str:
    """One paragraph per pair."""
    blocks = []
    for pair in pairs:
        lines = [
            f"crystal {pair.first} to crystal {pair.second}: {pair.angle:.3f} degrees about axis "
            f"({', '.join(f'{x:.3f}' for x in pair.axis)}), change of basis {pair.cb_op}"
        ]
        lines += ["  " + " ".join(f"{x:7.3f}" for x in row) for row in pair.R]
        a, b = crystals[pair.first], crystals[pair.second]
        lines += [f"  ({h[0]},{h[1]},{h[2]}): {direction_angle(a, b, pair, h):.2f} degrees" for h in hkl]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)
