"""True intensities of a structure: Wilson statistics under a protein-like fall-off with resolution."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np

from mxdask.errors import ParameterError
from mxdask.simulate.params import Structure
from mxdask.simulate.seeds import generator


@dataclass(frozen=True)
class TrueIntensities:
    """Merged intensities of one variant.

    Attributes
    ----------
    hkl : (n, 3) int32 unique indices in gemmi's asymmetric unit, systematic absences left out.
    I : (n,) float64 on an arbitrary scale, B factor included.
    """

    hkl: np.ndarray
    I: np.ndarray


@dataclass(frozen=True)
class FullSphere:
    """All indices to a resolution, ``hkl`` (n, 3) int32, and the row of the ``unique`` reflection of each (n,)."""

    hkl: np.ndarray
    unique: np.ndarray


def space_group(structure: Structure) -> gemmi.SpaceGroup:
    """gemmi's space group.

    Raises
    ------
    ParameterError : no such space group.
    """
    group = gemmi.find_spacegroup_by_name(structure.space_group)
    if group is None:
        raise ParameterError(f"structure.space_group={structure.space_group}: there is no such space group")
    return group


def fall_off(s: np.ndarray, wilson_b: float) -> np.ndarray:
    """⟨I⟩ (arbitrary scale) at s = 1/d (Å⁻¹): carbon's f², exp(−B s²/2), and the shape of a protein's Wilson plot.

    The shape is that of any protein: a dip near 6 Å and a hump near 4.3 Å, both from secondary structure (Popov &
    Bourenkov, 2003, Acta Cryst. D59, 1145, figure 1, in broad strokes).
    """
    carbon = gemmi.Element("C").it92
    grid = np.linspace(0, max(2.0, float(s.max(initial=0))), 400)
    f = np.interp(s, grid, [carbon.calculate_sf(x * x / 4) for x in grid])
    shape = 1 + 1.1 * np.exp(-(((s - 0.235) / 0.05) ** 2)) - 0.55 * np.exp(-(((s - 0.16) / 0.035) ** 2))
    return f**2 * shape * np.exp(-wilson_b * s**2 / 2)


@lru_cache(maxsize=8)
def true_intensities(structure: Structure, seed: int, species: int, d_min: float) -> TrueIntensities:
    """Intensities of variant number ``species`` (from 0) to ``d_min`` Å.

    Acentric E are complex normal, centric ones real normal (Wilson, 1949). Every variant mixes a common E with its
    own: E_k = ρ·E + √(1 − ρ²)·ε_k, so that |E|² of two acentric variants correlate by ρ⁴ = ``species_cc``.
    """
    group = space_group(structure)
    cell = gemmi.UnitCell(*structure.cell)
    hkl = gemmi.make_miller_array(cell, group, d_min, unique=True).astype(np.int32)
    operations = group.operations()
    hkl = hkl[~operations.systematic_absences(hkl)]
    order = np.lexsort((hkl[:, 2], hkl[:, 1], hkl[:, 0]))
    hkl = hkl[order]
    centric = operations.centric_flag_array(hkl)
    epsilon = operations.epsilon_factor_without_centering_array(hkl)
    rho = structure.species_cc**0.25 if structure.species > 1 else 1.0
    E = rho * _normalised(len(hkl), centric, generator(seed, "structure"))
    E = E + np.sqrt(1 - rho**2) * _normalised(len(hkl), centric, generator(seed, "variant", species))
    s = 1.0 / cell.calculate_d_array(hkl)
    return TrueIntensities(hkl, epsilon * fall_off(s, structure.wilson_b) * np.abs(E) ** 2)


def _normalised(n: int, centric: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(n,) complex E with ⟨|E|²⟩ = 1; real where centric."""
    real, imaginary = random.standard_normal((2, n))
    return np.where(centric, real, (real + 1j * imaginary) / np.sqrt(2))


@lru_cache(maxsize=4)
def full_sphere(structure: Structure, d_min: float) -> FullSphere:
    """Every index to ``d_min`` Å that is not systematically absent."""
    return expand(true_intensities(structure, 0, 0, d_min).hkl, space_group(structure))


def expand(unique: np.ndarray, group: gemmi.SpaceGroup) -> FullSphere:
    """All equivalents by the Laue group of unique indices (n, 3), each once, sorted by h, k, l."""
    unique = np.asarray(unique, dtype=np.int64)
    rotations = [np.array(op.rot) // op.DEN for op in group.operations().sym_ops]
    # A row vector of indices turns as h' = h·R; Friedel's law adds the inverse of each.
    everything = np.concatenate([sign * (unique @ R) for R in rotations for sign in (1, -1)])
    owner = np.tile(np.arange(len(unique)), 2 * len(rotations))
    _, first = np.unique(packed(everything), return_index=True)
    return FullSphere(np.ascontiguousarray(everything[first], dtype=np.int32), owner[first])


def packed(hkl: np.ndarray) -> np.ndarray:
    """(n,) int64 that sort as h, then k, then l (|index| < 2¹⁶)."""
    hkl = np.asarray(hkl, dtype=np.int64) + (1 << 16)
    return (hkl[:, 0] << 36) | (hkl[:, 1] << 18) | hkl[:, 2]


@lru_cache(maxsize=8)
def indexing_settings(space_group_name: str, cell: tuple[float, ...]) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Matrices P (h' = P·h) by which a lattice can be indexed in ways its space group tells apart; the identity first.

    These are the metric's rotations modulo the Laue group: two for I23, one for P4₃2₁2.
    """
    laws = gemmi.find_twin_laws(gemmi.UnitCell(*cell), gemmi.SpaceGroup(space_group_name), 0.1, False)
    identity = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    matrices = [tuple(tuple(int(x) for x in row) for row in (np.array(op.rot) // op.DEN).T) for op in laws]
    return (identity, *matrices)
