"""What symmetry a cell could have: Le Page's two-folds, the lattice group, and every subgroup in its best setting."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import gemmi
import numpy as np

from mxdask.lattice.cells import (
    cell_of_metric,
    change_cell,
    metric_tensor,
    minimum_cell,
    real_space,
    similar,
    symmetrised_metric,
)
from mxdask.lattice.conventional import conventional_basis, setting_matrices, space_group_of
from mxdask.lattice.operators import abc_of
from mxdask.lattice.point_groups import axes, closure, holohedry, primitive, rotation_order, same_group, subgroups
from mxdask.lattice.space_groups import patterson_symbol

_SYSTEM_LETTER = {
    "triclinic": "a",
    "monoclinic": "m",
    "orthorhombic": "o",
    "tetragonal": "t",
    "trigonal": "h",
    "hexagonal": "h",
    "cubic": "c",
}


@dataclass(frozen=True, eq=False)
class LatticeSetting:
    """One symmetry that a cell allows, in its best reference setting.

    Attributes
    ----------
    ops : (n, 3, 3) proper operators on the indices of the minimum cell.
    delta : largest Le Page angle (degrees) of the two-folds that the lattice type requires.
    P_input_best, P_minimum_best : (3, 3), h_best = P·h, from the input cell and from the minimum cell.
    cell : (6,) best cell, averaged under the group.
    space_group : symmorphic Sohncke group in the best setting (P 2 2 2, I 2 3 …).
    bravais : aP, mP, mC, mI, oP, oC, oI, oF, tP, tI, hP, hR, cP, cI or cF.
    """

    ops: np.ndarray
    delta: float
    P_input_best: np.ndarray
    P_minimum_best: np.ndarray
    cell: np.ndarray
    space_group: gemmi.SpaceGroup
    bravais: str

    @property
    def cb_op(self) -> str:
        """Change of basis from the input cell, a,b,c notation."""
        return abc_of(self.P_input_best)

    @property
    def patterson_symbol(self) -> str:
        """Symbol of the centrosymmetric group (the Laue group with its centring), as ``I m -3``."""
        return patterson_symbol(self.space_group)


@lru_cache(maxsize=1)
def _possible_twofolds() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All (t, τ) with components up to 2 and t·τ = 1 or 2, and their index operators W = 2 τ tᵀ/(t·τ) - 1."""
    vectors = np.array([v for v in product(range(-2, 3), repeat=3) if any(v) and tuple(primitive(np.array(v))) == v])
    dots = vectors @ vectors.T
    first, second = np.nonzero((dots == 1) | (dots == 2))
    t, tau = vectors[first], vectors[second]
    leading = t[np.arange(len(t)), np.argmax(t != 0, axis=1)]
    t, tau = t[leading > 0], tau[leading > 0]
    W = 2 * tau[:, :, None] * t[:, None, :] // np.einsum("ni,ni->n", t, tau)[:, None, None] - np.eye(3, dtype=int)
    return t, tau, W


def _le_page(direct: np.ndarray, reciprocal: np.ndarray, cell: Any) -> np.ndarray:
    """(n,) degrees between direct axes t and reciprocal axes τ, both (n, 3) integers (Le Page 1982)."""
    axes_real = real_space(cell)
    t = direct @ axes_real
    tau = reciprocal @ np.linalg.inv(axes_real).T
    return np.rad2deg(np.arctan2(np.linalg.norm(np.cross(t, tau), axis=1), np.abs(np.einsum("ni,ni->n", t, tau))))


def lattice_twofolds(minimum: Any, max_delta: float = 5.0) -> list[tuple[np.ndarray, float]]:
    """Two-fold axes that a reduced cell has within ``max_delta`` degrees: (operator, Le Page angle), best first."""
    t, tau, W = _possible_twofolds()
    delta = _le_page(t, tau, minimum)
    order = np.argsort(np.rint(delta * 1e6), kind="stable")
    return [(W[i], float(delta[i])) for i in order if delta[i] <= max_delta]


def max_delta_of(group: np.ndarray, minimum: Any) -> float:
    """Largest Le Page angle (degrees) of a group's two-folds on a cell; 0 without any."""
    pairs = [axes(op) for op in group if rotation_order(op) == 2]
    if not pairs:
        return 0.0
    return float(_le_page(np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs]), minimum).max())


def lattice_group(minimum: Any, max_delta: float = 5.0) -> np.ndarray:
    """Point group of a lattice: all two-folds within ``max_delta`` degrees, and what they generate.

    Two-folds are added from the best on; one that would generate an infinite set, or another two-fold worse than
    ``max_delta``, is left out.

    Parameters
    ----------
    minimum : reduced primitive cell (Å, degrees).
    max_delta : degrees.

    Returns
    -------
    (n, 3, 3) proper operators on the indices of that cell.
    """
    group = closure([])
    assert group is not None
    for op, _ in lattice_twofolds(minimum, max_delta):
        larger = closure([*group, op])
        if larger is not None and max_delta_of(larger, minimum) <= max_delta:
            group = larger
    return group


def lattice_operators(cell: Any, centring: str, max_delta: float = 5.0) -> np.ndarray:
    """(n, 3, 3) i8 operators of the lattice on the cell's own indices, the identity first.

    Operators that would turn indices of a centred cell into fractions are left out.

    Parameters
    ----------
    cell : (6,) Å, degrees. max_delta : degrees, tolerance of the two-folds (Le Page).
    """
    P, minimum = minimum_cell(cell, centring)
    operators = np.linalg.inv(P) @ lattice_group(minimum, max_delta) @ P
    whole = np.all(np.abs(operators - np.rint(operators)) < 1e-6, axis=(1, 2))
    return np.rint(operators[whole]).astype(np.int64)


def metric_subgroups(
    cell: Any,
    centring: str = "P",
    *,
    max_delta: float = 5.0,
    best_monoclinic_beta: bool = True,
    holohedries_only: bool = False,
) -> list[LatticeSetting]:
    """Every symmetry a cell allows within ``max_delta``: all subgroups of its lattice group, conjugates apart.

    Sorted by δ, largest first, and among those equal within 0.01° by space-group number, highest first; the last is
    always triclinic (front.md 10.1).

    Parameters
    ----------
    cell : (6,) Å, degrees.
    centring : centring letter of the input cell.
    holohedries_only : one entry per lattice type and orientation, as a Bravais table lists them.
    """
    P_minimum, minimum = minimum_cell(cell, centring)
    lattice = lattice_group(minimum, max_delta)
    settings = []
    for group in subgroups(lattice):
        full = holohedry(group, lattice)
        if len(full) == len(group) or not holohedries_only:
            settings.append(_setting(cell, minimum, P_minimum, group, full, best_monoclinic_beta))
    return _ranked(settings)


def _setting(
    cell: Any,
    minimum: np.ndarray,
    P_minimum: np.ndarray,
    group: np.ndarray,
    full: np.ndarray,
    best_monoclinic_beta: bool,
) -> LatticeSetting:
    metric = symmetrised_metric(metric_tensor(minimum), full)
    P = conventional_basis(metric, group, best_monoclinic_beta=best_monoclinic_beta).astype(float)
    best = cell_of_metric(P @ metric @ P.T)
    if _is_same_setting(group, P, np.linalg.inv(P_minimum)) and similar(
        change_cell(cell, np.eye(3)), best, length_tolerance=0.05, angle_tolerance=2.0
    ):
        P = np.linalg.inv(P_minimum)  # the input setting already is the best one: no change of indices
        best = cell_of_metric(P @ metric @ P.T)
    space_group = space_group_of(group, P)
    return LatticeSetting(
        ops=group,
        delta=max_delta_of(full, minimum),
        P_input_best=P @ P_minimum,
        P_minimum_best=P,
        cell=best,
        space_group=space_group,
        bravais=_SYSTEM_LETTER[space_group.crystal_system_str()] + space_group.centring_type(),
    )


def _is_same_setting(group: np.ndarray, P: np.ndarray, other: np.ndarray) -> bool:
    """Whether two bases of one lattice give the group the same matrices and the cell the same centring."""
    if not np.isclose(np.linalg.det(P), np.linalg.det(other)):
        return False
    moved = other @ group @ np.linalg.inv(other)
    if not np.allclose(moved, np.rint(moved), atol=1e-6):
        return False
    if not same_group(np.rint(moved).astype(np.int64), setting_matrices(group, P)):
        return False
    return space_group_of(group, P).hm == space_group_of(group, other).hm


def _ranked(settings: list[LatticeSetting]) -> list[LatticeSetting]:
    by_delta = sorted(settings, key=lambda s: -s.delta)
    bands: list[list[LatticeSetting]] = []
    for setting in by_delta:
        if bands and bands[-1][0].delta - setting.delta <= 0.01:
            bands[-1].append(setting)
        else:
            bands.append([setting])
    return [s for band in bands for s in sorted(band, key=lambda s: (-s.space_group.number, -s.delta))]
