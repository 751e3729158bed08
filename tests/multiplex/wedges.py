"""Integrated wedges of crystals with known species, setting and faults, without images."""

from __future__ import annotations

from dataclasses import dataclass, field

import gemmi
import numpy as np

from mxdask.intensity.merged_set import canonical_keys
from mxdask.lattice.cells import minimum_cell, real_space
from mxdask.lattice.metric import lattice_group
from mxdask.lattice.operators import left_cosets, point_group, setting_in
from mxdask.models import Beam, Crystal, Experiment, ExperimentList, ImageSet, Scan
from mxdask.table import Flag, ReflectionTable

WAVELENGTH, WIDTH = 1.0, 0.1
CUBIC = (78.0, 78.0, 78.0, 90.0, 90.0, 90.0)


@dataclass
class Wedge:
    """What is special about one crystal.

    Attributes
    ----------
    species : which structure. cell : relative change of lengths. strength : of the intensities.
    bad_images : fraction of the images, at the end, whose intensities are of no known structure.
    """

    species: int = 0
    cell: float = 1.0
    strength: float = 1.0
    bad_images: float = 0.0


@dataclass
class Lattice:
    """Indices within a resolution, in the primitive cell, and intensities of some species."""

    cell: tuple[float, ...] = CUBIC
    space_group: str = "I 2 3"
    d_min: float = 4.0
    n_species: int = 3
    difference: float = 0.15
    seed: int = 1
    hkl: np.ndarray = field(init=False)
    q: np.ndarray = field(init=False)
    truth: np.ndarray = field(init=False)
    cosets: list[np.ndarray] = field(init=False)
    axes: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        group = gemmi.SpaceGroup(self.space_group)
        P, minimum = minimum_cell(self.cell, group.centring_type())
        laue = setting_in(point_group(group), P)
        self.cosets = left_cosets(lattice_group(minimum, 0.5), laue)
        self.axes = real_space(minimum)
        limit = int(max(minimum[:3]) / self.d_min) + 1
        grid = np.stack(np.meshgrid(*[np.arange(-limit, limit + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
        q = grid @ np.linalg.inv(self.axes).T
        s = np.linalg.norm(q, axis=1)
        keep = (s > 0) & (s < 1 / self.d_min)
        self.hkl, self.q = grid[keep], q[keep]
        keys, of = np.unique(canonical_keys(self.hkl, laue), return_inverse=True)
        common = rng.normal(size=(2, len(keys)))
        fall = np.exp(-10 * s[keep] ** 2)
        self.truth = np.array(
            [np.square(common + self.difference * rng.normal(size=common.shape)).sum(axis=0)[of] * 500 * fall
             for _ in range(self.n_species)]
        )  # fmt: skip


def crystal(
    lattice: Lattice, wedge: Wedge, number: int, *, n_images: int = 50, noise: float = 0.05, name: str = ""
) -> tuple[Experiment, ReflectionTable]:
    """One crystal: random orientation, setting and scale from its number; σ is ``noise`` times the mean intensity.

    The table's ``id`` is 0.
    """
    rng = np.random.default_rng([lattice.seed, number])
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    q = lattice.q @ rotation.T / wedge.cell
    frame, seen = _crossings(q, n_images)
    truth = lattice.truth[wedge.species][seen]
    scrambled = rng.permutation(truth)
    bad = frame > n_images * (1 - wedge.bad_images)
    sigma = np.hypot(noise * lattice.truth.mean(), 0.02 * truth) * np.ones(len(truth))
    level = rng.uniform(0.5, 2.0)
    value = wedge.strength * np.where(bad, 0.5 * (truth + scrambled), truth) + sigma * rng.normal(size=len(truth))
    k = np.rint(np.linalg.inv(lattice.cosets[rng.integers(len(lattice.cosets))])).astype(int)
    identifier = f"{lattice.seed:08x}-0000-0000-0000-{number:012x}"
    experiment = Experiment(
        identifier, ImageSet(name or f"/data/x{number:03d}_####.cbf"), Beam((0, 0, 1), WAVELENGTH),
        crystal=Crystal(wedge.cell * lattice.axes @ rotation.T).change_basis(k),
        scan=Scan((1, n_images), (0.0, WIDTH)),
    )  # fmt: skip
    d = wedge.cell / np.linalg.norm(lattice.q[seen], axis=1)
    table = _table(lattice.hkl[seen] @ k.T, level * value, np.square(level * sigma), d, frame, identifier)
    return experiment, table


def crystals(
    lattice: Lattice, wedges: list[Wedge], *, first: int = 0, **options: float
) -> tuple[ExperimentList, ReflectionTable]:
    """Several crystals as one list and one table."""
    return joined([crystal(lattice, w, first + i, **options) for i, w in enumerate(wedges)])  # type: ignore[arg-type]


def joined(parts: list[tuple[Experiment, ReflectionTable]]) -> tuple[ExperimentList, ReflectionTable]:
    """Experiments and tables of single crystals put together."""
    tables = []
    for i, (experiment, table) in enumerate(parts):
        own = table.copy()
        own["id"] = np.full(len(own), i)
        own.identifiers = {i: experiment.identifier}
        tables.append(own)
    return ExperimentList([e for e, _ in parts]), ReflectionTable.concat(tables)


def _crossings(q: np.ndarray, n_images: int) -> tuple[np.ndarray, np.ndarray]:
    """Frame coordinate at which points cross the Ewald sphere in a rotation about x, and which do so once."""
    angles = np.deg2rad(WIDTH) * np.linspace(0, n_images, 11)
    c, s = np.cos(angles), np.sin(angles)
    excitation = np.einsum("ni,ni->n", q, q)[:, None] - 2 / WAVELENGTH * (
        q[:, 1:2] * s + q[:, 2:3] * c
    )  # |s0 + q|² - |s0|² with the beam along -z
    change = np.diff(np.sign(excitation), axis=1) != 0
    rows = np.flatnonzero(change.sum(axis=1) == 1)
    step = np.argmax(change[rows], axis=1)
    low, high = excitation[rows, step], excitation[rows, step + 1]
    return (step + low / (low - high)) * n_images / 10, rows


def _table(
    hkl: np.ndarray, value: np.ndarray, variance: np.ndarray, d: np.ndarray, frame: np.ndarray, identifier: str
) -> ReflectionTable:
    n = len(hkl)
    ones = np.ones(n)
    position = np.stack([np.full(n, 500.0), np.full(n, 500.0), frame], axis=1)
    columns = {
        "id": np.zeros(n), "miller_index": hkl, "flags": np.full(n, int(Flag.INTEGRATED)), "d": d, "lp": ones,
        "qe": ones, "partiality": ones, "xyzobs.px.value": position, "xyzcal.px": position, "panel": np.zeros(n),
        "intensity.sum.value": value, "intensity.sum.variance": variance, "s1": np.tile([0.0, 0.0, 1.0], (n, 1)),
        "intensity.prf.value": value, "intensity.prf.variance": variance, "partial_id": np.arange(n),
    }  # fmt: skip
    return ReflectionTable(columns, {0: identifier})
