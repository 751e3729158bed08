"""The true crystals: orientation, cell, setting, strength, and how they change during their sweep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from mxdask.models.crystal import b_matrix
from mxdask.simulate.params import SimulatedSet
from mxdask.simulate.seeds import generator
from mxdask.simulate.structure import indexing_settings


@dataclass(frozen=True)
class TrueCrystal:
    """One crystal and its sweep; per-image values have one row per image.

    Attributes
    ----------
    A : (3, 3) Å⁻¹, takes the structure's indices to the laboratory at zero goniometer angles.
    A_lattice : (3, 3) Å⁻¹, the same lattice indexed so that the setting's index is 0; A = A_lattice·P.
    setting : which of the possible indexings ``A_lattice`` differs by.
    sigma_M, sigma_D : radians.
    b_extra : Å² on top of the structure's B.
    start : degrees.
    drift : (n, 3) rotation vectors (radians) in the crystal's frame at zero angles, at the middle of each image.
    flux, volume, decay_scale : (n,) factors; ``decay_b`` (n,) Å².
    """

    name: str
    species: int
    setting: int
    bad: str
    cell: np.ndarray
    U: np.ndarray
    A: np.ndarray
    A_lattice: np.ndarray
    scale: float
    b_extra: float
    sigma_M: float
    sigma_D: float
    start: float
    drift: np.ndarray
    flux: np.ndarray
    volume: np.ndarray
    decay_scale: np.ndarray
    decay_b: np.ndarray

    @property
    def image_factor(self) -> np.ndarray:
        """(n,) product of the per-image factors that do not depend on resolution."""
        return self.flux * self.volume * self.decay_scale


def true_crystal(sim: SimulatedSet, index: int) -> TrueCrystal:
    """Crystal number ``index`` (from 0) of a set; depends on nothing but the set and the index."""
    random = generator(sim.seed, "crystal", index)
    kind, bad = sim.crystals, sim.badness(index)
    settings = indexing_settings(sim.structure.space_group, sim.structure.cell)
    setting = int(random.integers(len(settings)))
    cell = _jittered_cell(sim, random)
    U = Rotation.random(random_state=random).as_matrix()
    A_lattice = U @ b_matrix(cell)
    scale = float(np.exp(random.uniform(*np.log(kind.scale_range))))
    n = sim.sweep.images
    start = float(np.round(random.uniform(-90, 90), 1)) if sim.sweep.start is None else sim.sweep.start
    decay_b = kind.decay_b * random.uniform(0.5, 1.5) * (np.arange(n) + 0.5)
    if bad == "damaged":  # the last image has lost nine tenths of the intensity at 2.5 Å
        decay_b = np.linspace(0.0, 2 * 2.5**2 * np.log(10), n)
    strength = {"weak": 0.02, "blank": 0.0}.get(bad, 1.0)
    return TrueCrystal(
        name=sim.crystal_name(index), species=index % sim.structure.species, setting=setting, bad=bad,
        cell=cell, U=U, A_lattice=A_lattice, A=A_lattice @ np.array(settings[setting], dtype=float),
        scale=strength * scale, b_extra=float(random.uniform(*kind.b_range)),
        sigma_M=float(np.deg2rad(random.uniform(*kind.mosaicity_range))), sigma_D=float(np.deg2rad(kind.divergence)),
        start=start, drift=np.deg2rad(kind.drift) * _smooth_walk(random, n, 3),
        flux=1 + sim.sweep.flux_noise * random.standard_normal(n),
        volume=np.exp(kind.volume_variation * _smooth_walk(random, n, 1)[:, 0]),
        decay_scale=np.exp(-random.uniform(0, 5e-4) * (np.arange(n) + 0.5)), decay_b=decay_b,
    )  # fmt: skip


def _jittered_cell(sim: SimulatedSet, random: np.random.Generator) -> np.ndarray:
    """The mean cell scaled a little, by one number per axis that its symmetry leaves free; angles are kept."""
    cell = np.array(sim.structure.cell, dtype=np.float64)
    factors = 1 + sim.crystals.cell_spread * random.standard_normal(3)
    _, owner = np.unique(np.round(cell[:3], 6), return_inverse=True)
    cell[:3] *= factors[owner]
    return cell


def _smooth_walk(random: np.random.Generator, n: int, width: int) -> np.ndarray:
    """(n, width) smooth curves without offset whose change over the sweep is about 1."""
    steps = random.standard_normal((n, width))
    walk = np.cumsum(gaussian_filter1d(steps, max(1.0, n / 10), axis=0, mode="nearest"), axis=0)
    walk -= walk.mean(axis=0)
    spread = np.ptp(walk, axis=0)
    return walk / np.where(spread > 0, spread, 1.0) * random.uniform(0.3, 1.2, width)
