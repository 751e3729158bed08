"""Integrated reflections of made-up crystals, without images: wedges of one structure in hidden settings.

python tests/bench/generated_crystals.py N FOLDER [--reflections 5000] [--wedge 10]     writes integrated.expt, .refl

The structure is cubic (I 2 3, the lattice of insulin) and every crystal is indexed in its primitive P 1 cell, by one
of the 24 rotations of the lattice at random: the hardest case for cosym, as 24 settings are possible before the Laue
group is known. ``truth.npz`` keeps what each crystal's setting is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gemmi
import numpy as np

from mxdask.intensity.merged_set import canonical_keys
from mxdask.io.expt import write_expt
from mxdask.io.refl import write_refl
from mxdask.lattice.cells import minimum_cell, real_space
from mxdask.lattice.metric import lattice_group
from mxdask.lattice.operators import left_cosets, point_group, setting_in
from mxdask.models import Beam, Crystal, Detector, Experiment, ExperimentList, Goniometer, ImageSet, Panel, Scan
from mxdask.table import Flag, ReflectionTable

CELL, GROUP = (78.0, 78.0, 78.0, 90.0, 90.0, 90.0), "I 2 3"
WIDTH = 0.1  # degrees of an image
DISTANCE, PIXEL, SIZE = 200.0, 0.172, 2400


def generate(n: int, *, reflections: int, wedge: float, seed: int = 1) -> tuple[ExperimentList, ReflectionTable, dict]:
    """n crystals of about so many reflections each; and the hidden coset of each, with the Laue group."""
    group = gemmi.SpaceGroup(GROUP)
    P, minimum = minimum_cell(CELL, group.centring_type())
    lattice = lattice_group(minimum, 0.5)
    laue = setting_in(point_group(group), P)
    cosets = left_cosets(lattice, laue)
    axes = real_space(minimum)
    d_min = _resolution_for(reflections, wedge, float(abs(np.linalg.det(axes))))
    grid, q = _indices(axes, minimum, d_min)
    _, family = np.unique(canonical_keys(grid, laue), return_inverse=True)
    s2 = np.einsum("ni,ni->n", q, q)
    rng = np.random.default_rng(seed)
    true = rng.exponential(1.0, family.max() + 1)[family] * 2000 * np.exp(-15 * s2)
    beam = Beam(np.array([0.0, 0.0, 1.0]), 1.0)
    detector = _detector()
    goniometer = Goniometer.single_axis([1.0, 0.0, 0.0])
    scan = Scan((1, round(wedge / WIDTH)), (0.0, WIDTH))
    experiments, tables, hidden = [], [], []
    for i in range(n):
        rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        rotation *= np.sign(np.linalg.det(rotation))
        turned = q @ rotation.T
        rows, phi = _crossings(turned, s2, np.deg2rad(wedge))
        choice = int(rng.integers(len(lattice)))
        own = np.rint(np.linalg.inv(lattice[choice])).astype(np.int64)  # h_own = own·h_true
        hidden.append(_coset_of(lattice[choice], cosets, laue))
        identifier = f"{seed:08x}-0000-0000-0000-{i:012x}"
        experiments.append(
            Experiment(
                identifier, ImageSet(f"crystal{i:05d}_#####.cbf"), beam, detector, goniometer, scan,
                Crystal(axes @ rotation.T).change_basis(own),
            )
        )  # fmt: skip
        scale = rng.uniform(0.5, 2.0)
        tables.append(_table(i, identifier, grid[rows] @ own.T, turned[rows], phi, scale * true[rows], rng))
    return ExperimentList(experiments), ReflectionTable.concat(tables), {"hidden": np.array(hidden), "d_min": d_min}


def _resolution_for(reflections: int, wedge: float, volume: float) -> float:
    """d_min (Å) at which a wedge records about so many: a point at q passes twice a turn, mean |sin| included."""
    fraction = 0.98 * 2 * wedge / 360
    return float((4 / 3 * np.pi * volume * fraction / reflections) ** (1 / 3))


def _indices(axes: np.ndarray, minimum: np.ndarray, d_min: float) -> tuple[np.ndarray, np.ndarray]:
    limit = int(max(minimum[:3]) / d_min) + 1
    grid = np.stack(np.meshgrid(*[np.arange(-limit, limit + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    q = grid @ np.linalg.inv(axes).T
    s = np.linalg.norm(q, axis=1)
    keep = (s > 0) & (s < 1 / d_min)
    return grid[keep], q[keep]


def _crossings(q: np.ndarray, s2: np.ndarray, wedge: float) -> tuple[np.ndarray, np.ndarray]:
    """Points that pass the Ewald sphere while turning about x by ``wedge``, and the angle (radians) where."""

    def excitation(which: np.ndarray | slice, angle: np.ndarray | float) -> np.ndarray:
        # s0 = (0, 0, -1): |s0 + q|² - 1 = q² - 2 q_z after the turn
        return s2[which] - 2 * (np.sin(angle) * q[which, 1] + np.cos(angle) * q[which, 2])

    first, last = excitation(slice(None), 0.0), excitation(slice(None), wedge)
    rows = np.flatnonzero(first * last < 0)
    low, high, rising = np.zeros(len(rows)), np.full(len(rows), wedge), last[rows] > 0
    for _ in range(30):
        middle = (low + high) / 2
        above = (excitation(rows, middle) > 0) == rising
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return rows, (low + high) / 2


def _coset_of(op: np.ndarray, cosets: list[np.ndarray], laue: np.ndarray) -> int:
    for c, representative in enumerate(cosets):
        quotient = np.rint(np.linalg.inv(representative)).astype(np.int64) @ op
        if np.any(np.all(laue == quotient, axis=(1, 2))):
            return c
    raise ValueError("operator is not in the lattice group")


def _detector() -> Detector:
    half = SIZE * PIXEL / 2
    panel = Panel(
        np.array([1.0, 0.0, 0.0]), np.array([0.0, -1.0, 0.0]), np.array([-half, half, -DISTANCE]), (SIZE, SIZE),
        (PIXEL, PIXEL),
    )  # fmt: skip
    return Detector((panel,))


def _table(
    row: int, identifier: str, hkl: np.ndarray, q: np.ndarray, phi: np.ndarray, true: np.ndarray,
    rng: np.random.Generator,
) -> ReflectionTable:  # fmt: skip
    n = len(hkl)
    c, s = np.cos(phi), np.sin(phi)
    s1 = np.stack([q[:, 0], c * q[:, 1] - s * q[:, 2], s * q[:, 1] + c * q[:, 2] - 1.0], axis=1)
    x, y = -DISTANCE * s1[:, 0] / s1[:, 2], -DISTANCE * s1[:, 1] / s1[:, 2]
    frame = np.rad2deg(phi) / WIDTH
    xyz = np.stack([x / PIXEL + SIZE / 2, SIZE / 2 - y / PIXEL, frame], axis=1)
    variance = true + 30.0 + (0.03 * true) ** 2
    value = true + np.sqrt(variance) * rng.normal(size=n)
    ones = np.ones(n)
    columns = {
        "id": np.full(n, row), "panel": np.zeros(n), "miller_index": hkl, "flags": np.full(n, int(Flag.INTEGRATED)),
        "partial_id": np.arange(n), "partiality": ones, "d": 1 / np.linalg.norm(q, axis=1), "lp": ones, "qe": ones,
        "s1": s1, "xyzcal.px": xyz, "xyzobs.px.value": xyz,
        "intensity.sum.value": value, "intensity.sum.variance": variance,
        "intensity.prf.value": value, "intensity.prf.variance": variance,
    }  # fmt: skip
    return ReflectionTable(columns, {row: identifier})


def write(folder: Path, n: int, *, reflections: int, wedge: float, seed: int = 1) -> None:
    """``integrated.expt``, ``integrated.refl`` and ``truth.npz``."""
    folder.mkdir(parents=True, exist_ok=True)
    experiments, table, truth = generate(n, reflections=reflections, wedge=wedge, seed=seed)
    write_expt(folder / "integrated.expt", experiments)
    write_refl(folder / "integrated.refl", table)
    np.savez(folder / "truth.npz", **truth)
    print(f"{n} crystals, {len(table) / n:.0f} reflections each to {truth['d_min']:.2f} Å: {folder}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--reflections", type=int, default=5000)
    parser.add_argument("--wedge", type=float, default=10.0)
    arguments = parser.parse_args()
    write(arguments.folder, arguments.n, reflections=arguments.reflections, wedge=arguments.wedge)


if __name__ == "__main__":
    main()
