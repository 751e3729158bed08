"""Crystals with a hidden setting: wedges of one set of true intensities, each reindexed by a random operator."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np

from mxdask.intensity.merged_set import canonical_keys
from mxdask.lattice.cells import minimum_cell, real_space
from mxdask.lattice.metric import lattice_group
from mxdask.lattice.operators import left_cosets, point_group, setting_in
from mxdask.models.crystal import Crystal
from mxdask.models.experiment import Experiment, ExperimentList
from mxdask.models.scan import Scan
from mxdask.table import Flag, ReflectionTable


@dataclass
class Fake:
    """Experiments in primitive P1 cells, their reflections, and the hidden coset of each."""

    experiments: ExperimentList
    reflections: ReflectionTable
    hidden: np.ndarray
    laue: np.ndarray


def fake_crystals(
    n: int,
    *,
    cell: tuple[float, ...] = (78.0, 78.0, 78.0, 90.0, 90.0, 90.0),
    space_group: str = "I 2 3",
    wedge: float = 10.0,
    d_min: float = 4.0,
    noise: float = 0.1,
    seed: int = 1,
) -> Fake:
    """n crystals in random orientations; intensities follow Wilson's law and obey the space group's Laue group.

    noise : σ as a fraction of the mean intensity.
    """
    rng = np.random.default_rng(seed)
    group = gemmi.SpaceGroup(space_group)
    P, minimum = minimum_cell(cell, group.centring_type())
    lattice = lattice_group(minimum, 0.5)
    laue = setting_in(point_group(group), P)
    cosets = left_cosets(lattice, laue)
    axes = real_space(minimum)
    limit = int(max(minimum[:3]) / d_min) + 1
    grid = np.stack(np.meshgrid(*[np.arange(-limit, limit + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    q = grid @ np.linalg.inv(axes).T
    s = np.linalg.norm(q, axis=1)
    keep = (s > 0) & (s < 1 / d_min)
    grid, q, s = grid[keep], q[keep], s[keep]
    keys, family = np.unique(canonical_keys(grid, laue), return_inverse=True)
    true = rng.exponential(1.0, len(keys))[family] * 1000 * np.exp(-20 * s**2)
    experiments, tables, hidden = [], [], []
    for i in range(n):
        rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        rotation *= np.sign(np.linalg.det(rotation))
        rows = np.flatnonzero(_recorded(q @ rotation.T, wedge))
        choice = int(rng.integers(len(cosets)))
        k = np.rint(np.linalg.inv(cosets[choice])).astype(int)  # own frame: h_own = k·h_true
        sigma = noise * true.mean()
        scale = rng.uniform(0.5, 2.0)
        value = scale * (true[rows] + sigma * rng.normal(size=len(rows)))
        crystal = Crystal(axes @ rotation.T).change_basis(k)
        scan = Scan((1, round(wedge / 0.1)), (0.0, 0.1))
        identifier = f"{seed:08x}-0000-0000-0000-{i:012x}"
        experiments.append(Experiment(identifier, crystal=crystal, scan=scan))
        tables.append(
            _table(grid[rows] @ k.T, value, np.full(len(rows), (scale * sigma) ** 2), 1 / s[rows], i, identifier)
        )
        hidden.append(choice)
    return Fake(ExperimentList(experiments), ReflectionTable.concat(tables), np.array(hidden), laue)


def _recorded(q: np.ndarray, wedge: float, wavelength: float = 1.0) -> np.ndarray:
    """Reciprocal-lattice points that pass the Ewald sphere within a rotation of ``wedge`` degrees about x."""

    def excitation(angle: float) -> np.ndarray:
        c, s = np.cos(angle), np.sin(angle)
        z = s * q[:, 1] + c * q[:, 2]
        return np.einsum("ni,ni->n", q, q) + 2 * z / wavelength

    half = np.deg2rad(wedge) / 2
    return excitation(-half) * excitation(half) < 0


def _table(
    hkl: np.ndarray, value: np.ndarray, variance: np.ndarray, d: np.ndarray, i: int, identifier: str
) -> ReflectionTable:
    n = len(hkl)
    ones = np.ones(n)
    columns = {
        "id": np.full(n, i), "miller_index": hkl, "flags": np.full(n, int(Flag.INTEGRATED)), "d": d, "lp": ones,
        "qe": ones, "partiality": ones, "xyzobs.px.value": np.full((n, 3), 50.0), "panel": np.zeros(n),
        "intensity.sum.value": value, "intensity.sum.variance": variance,
        "intensity.prf.value": value, "intensity.prf.variance": variance, "partial_id": np.arange(n),
    }  # fmt: skip
    return ReflectionTable(columns, {i: identifier})


def hidden_split_found(summary: dict, hidden: np.ndarray) -> float:
    """Fraction of crystals whose class agrees with the hidden one up to one renaming of the classes."""
    found = np.array([row.get("class", -1) for row in summary["rows"]])
    agree = 0
    for c in np.unique(found[found >= 0]):
        agree += int(np.bincount(hidden[found == c]).max())
    return agree / len(hidden)


__all__ = ["Fake", "fake_crystals", "hidden_split_found"]
