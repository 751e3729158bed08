"""Symmetry-equivalent indices: one representative per reflection, Friedel mates, classes of reflections."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np

# hkl packed into one integer; 21 bits per index are more than any crystal needs.
_OFFSET = 1 << 20


@dataclass(frozen=True)
class AsuMap:
    """Which unique reflection each of n observations belongs to.

    Attributes
    ----------
    unique : (m, 3) i4, representatives in CCP4's asymmetric unit, sorted by h, k, l.
    group : (n,) i8, row of ``unique``.
    plus : (n,) bool, True if the observation is equivalent to its representative itself (or the reflection is
        centric), False if to its Friedel mate.
    centric : (m,) bool.
    epsilon : (m,) f8, how many operations (lattice centring left out) leave the index unchanged.
    absent : (m,) bool, systematically absent in the space group.
    """

    unique: np.ndarray
    group: np.ndarray
    plus: np.ndarray
    centric: np.ndarray
    epsilon: np.ndarray
    absent: np.ndarray

    @property
    def hkl(self) -> np.ndarray:
        """(n, 3) representative of each observation."""
        return self.unique[self.group]


def pack(hkl: np.ndarray) -> np.ndarray:
    """(n,) i8 keys that sort as h, then k, then l."""
    h = np.asarray(hkl, dtype=np.int64) + _OFFSET
    return (h[:, 0] << 42) | (h[:, 1] << 21) | h[:, 2]


def unpack(keys: np.ndarray) -> np.ndarray:
    """(n, 3) i4 indices of packed keys."""
    mask = (1 << 21) - 1
    return np.stack([(keys >> 42) & mask, (keys >> 21) & mask, keys & mask], axis=1).astype(np.int32) - _OFFSET


def reciprocal_rotations(space_group: gemmi.SpaceGroup) -> np.ndarray:
    """(k, 3, 3) i8 matrices R of the point group: the equivalents of a row vector h are h·R."""
    return np.array([np.array(op.rot) // op.DEN for op in space_group.operations().sym_ops], dtype=np.int64)


def map_to_asu(hkl: np.ndarray, space_group: gemmi.SpaceGroup) -> AsuMap:
    """Representatives of reflections (n, 3) under a space group; Friedel mates belong together.

    The largest key among all equivalents identifies a reflection whatever the setting; the representative that
    users see (CCP4's asymmetric unit) is then looked up once per unique reflection.
    """
    distinct, inverse = np.unique(pack(hkl), return_inverse=True)
    indices = unpack(distinct).astype(np.int64)
    best = np.full(len(distinct), np.iinfo(np.int64).min)
    plus = np.ones(len(distinct), dtype=bool)
    for rotation in reciprocal_rotations(space_group):
        turned = indices @ rotation
        for sign in (1, -1):
            key = pack(sign * turned)
            better = key > best
            best[better] = key[better]
            plus[better] = sign > 0
    canonical, group = np.unique(best, return_inverse=True)
    unique, flipped = _ccp4_representatives(unpack(canonical), space_group)
    order = np.argsort(pack(unique), kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    unique = np.ascontiguousarray(unique[order])
    operations = space_group.operations()
    centric = np.asarray(operations.centric_flag_array(unique), dtype=bool)
    plus = (plus != flipped[group]) | centric[rank[group]]
    return AsuMap(
        unique,
        rank[group][inverse],
        plus[inverse],
        centric,
        np.asarray(operations.epsilon_factor_without_centering_array(unique), dtype=np.float64),
        np.asarray(operations.systematic_absences(unique), dtype=bool),
    )


def _ccp4_representatives(hkl: np.ndarray, space_group: gemmi.SpaceGroup) -> tuple[np.ndarray, np.ndarray]:
    """Indices (m, 3) in CCP4's asymmetric unit, and whether (m,) an inversion was needed."""
    asu, operations = gemmi.ReciprocalAsu(space_group), space_group.operations()
    mapped = [asu.to_asu(h, operations) for h in hkl.tolist()]
    if not mapped:
        return np.zeros((0, 3), np.int32), np.zeros(0, bool)
    # ISYM is odd for h·R, even for -h·R (CCP4's convention).
    return np.array([m[0] for m in mapped], dtype=np.int32), np.array([m[1] % 2 == 0 for m in mapped])


def count_possible(
    cell: gemmi.UnitCell, space_group: gemmi.SpaceGroup, d_edges: np.ndarray, d_reach: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Reflections that exist in each resolution shell.

    Parameters
    ----------
    d_edges : (s + 1,) Å, falling; shell i holds d_edges[i] >= d > d_edges[i + 1] (the last also its end).
    d_reach : (s,) Å, count each shell only up to here; None counts whole shells.

    Returns
    -------
    unique : (s,) number of unique reflections (Friedel mates counted once).
    acentric : (s,) how many of them are acentric, so have two hands.
    """
    d_min, d_max = float(d_edges[-1]), float(d_edges[0])
    hkl = gemmi.make_miller_array(cell, space_group, d_min * (1 - 1e-9), d_max * (1 + 1e-9), True)
    hkl = hkl[np.any(hkl != 0, axis=1)]
    d = cell.calculate_d_array(hkl)
    shell = shell_of(1.0 / d**2, d_edges)
    acentric = ~np.asarray(space_group.operations().centric_flag_array(hkl), dtype=bool)
    n = len(d_edges) - 1
    inside = shell >= 0
    if d_reach is not None:
        inside &= d >= d_reach[shell] * (1 - 1e-6)
    return np.bincount(shell[inside], minlength=n), np.bincount(shell[inside], acentric[inside], n).astype(np.int64)


def equal_volume_edges(d_max: float, d_min: float, n_shells: int) -> np.ndarray:
    """(n_shells + 1,) falling d (Å) of shells of equal volume in reciprocal space."""
    cubes = np.linspace(d_max**-3, d_min**-3, n_shells + 1)
    return np.concatenate([[d_max], cubes[1:-1] ** (-1 / 3), [d_min]])


def shell_of(inverse_d_squared: np.ndarray, d_edges: np.ndarray) -> np.ndarray:
    """(n,) shell index, -1 outside. A reflection on an edge belongs to the outer shell."""
    tolerance = 1e-9
    edges = 1.0 / np.asarray(d_edges, dtype=np.float64) ** 2
    low, high = edges[0] * (1 - tolerance), edges[-1] * (1 + tolerance)
    shell = np.clip(np.searchsorted(edges, inverse_d_squared, side="right") - 1, 0, len(edges) - 2)
    return np.where((inverse_d_squared >= low) & (inverse_d_squared <= high), shell, -1)
