"""Indexed reflections of made-up sweeps: known models, Gaussian noise on the positions."""

from __future__ import annotations

import gemmi
import numpy as np

from mxdask.geometry.predict import predict_given
from mxdask.models import (
    Beam,
    Crystal,
    Detector,
    Experiment,
    ExperimentList,
    Goniometer,
    ImageSet,
    Panel,
    Scan,
    rotation_matrix,
)
from mxdask.models.crystal import b_matrix, hall_of
from mxdask.table import Flag, ReflectionTable

PIXEL = 0.1
CUBIC = (78.0, 78.0, 78.0, 90.0, 90.0, 90.0)
TRICLINIC = (41.0, 52.0, 63.0, 81.0, 95.0, 103.0)


def a_beam() -> Beam:
    return Beam(np.array([0.0, 0.0, 1.0]), 0.98)


def a_detector(distance: float = 150.0, n_panels: int = 1) -> Detector:
    """A square of 2000 pixels across the beam, cut into vertical strips."""
    width = 2000 // n_panels
    panels = tuple(
        Panel(
            np.array([1.0, 0.0, 0.0]), np.array([0.0, -1.0, 0.0]),
            np.array([-100.0 + i * width * PIXEL, 100.0, -distance]), (width, 2000), (PIXEL, PIXEL),
            thickness=0.45, material="Si", mu=2.4, px_mm_strategy="ParallaxCorrectedPxMmStrategy",
        )
        for i in range(n_panels)
    )  # fmt: skip
    return Detector(panels)


def a_crystal(seed: int, cell: tuple[float, ...] = CUBIC, space_group: str = "P 1") -> Crystal:
    """A crystal in a random orientation."""
    rng = np.random.default_rng(seed)
    U = rotation_matrix(rng.normal(size=3), rng.uniform(0, np.pi))
    return Crystal.from_A(U @ b_matrix(cell), hall_of(gemmi.SpaceGroup(space_group)))


def a_sweep(
    name: str,
    crystal: Crystal,
    *,
    beam: Beam | None = None,
    detector: Detector | None = None,
    n_images: int = 100,
    width: float = 0.1,
) -> Experiment:
    return Experiment(
        f"id-{name}", ImageSet(f"{name}_#####.cbf"), beam or a_beam(), detector or a_detector(),
        Goniometer.single_axis([1.0, 0.0, 0.0]), Scan((1, n_images), (20.0, width)), crystal,
    )  # fmt: skip


def spots(
    experiment: Experiment, n: int, *, row: int = 0, seed: int = 0, noise: float = 0.1, d_min: float = 2.5
) -> ReflectionTable:
    """Up to n reflections of the experiment at random; noise in pixels (images in z)."""
    rng = np.random.default_rng(seed)
    assert experiment.crystal is not None and experiment.scan is not None and experiment.detector is not None
    limit = np.ceil(experiment.crystal.cell[:3] / d_min).astype(int)
    hkl = rng.integers(-limit, limit + 1, (400 * n, 3))
    hkl = np.unique(hkl[np.linalg.norm(hkl @ experiment.crystal.A.T, axis=1) < 1 / d_min], axis=0)
    hkl = rng.permutation(hkl[np.any(hkl != 0, axis=1)])
    entering = rng.random(len(hkl)) < 0.5
    middle = np.full(len(hkl), experiment.scan.angle(np.mean(experiment.scan.array_range)))
    panel, place = _on_detector(experiment, hkl, entering, middle)
    first, last = experiment.scan.array_range
    good = place.possible & (panel >= 0) & (place.xyz_px[:, 2] > first) & (place.xyz_px[:, 2] < last)
    rows = np.flatnonzero(good)[:n]
    px = place.xyz_px[rows] + noise * rng.normal(size=(len(rows), 3))
    px[:, 2] = np.clip(px[:, 2], first, last)
    mm = np.column_stack([experiment.detector.pixel_to_mm(panel[rows], px[:, :2]), experiment.scan.angle(px[:, 2])])
    unit = np.array([PIXEL, PIXEL, np.deg2rad(experiment.scan.width)])
    return ReflectionTable(
        {
            "id": np.full(len(rows), row),
            "imageset_id": np.full(len(rows), row),
            "panel": panel[rows],
            "miller_index": hkl[rows],
            "entering": entering[rows],
            "flags": np.full(len(rows), int(Flag.INDEXED | Flag.STRONG)),
            "xyzobs.px.value": px,
            "xyzobs.px.variance": np.full((len(rows), 3), max(noise, 1e-3) ** 2),
            "xyzobs.mm.value": mm,
            "xyzobs.mm.variance": np.tile((max(noise, 1e-3) * unit) ** 2, (len(rows), 1)),
        },
        {row: experiment.identifier},
    )


def _on_detector(experiment, hkl, entering, phi):
    """The panel each ray hits (-1: none) and its prediction there."""
    panel = np.zeros(len(hkl), dtype=np.int64)
    s1 = predict_given(experiment, hkl, entering, panel, phi).s1
    panel, _ = experiment.detector.ray_intersection(s1)
    return panel, predict_given(experiment, hkl, entering, np.maximum(panel, 0), phi)


def disturbed(crystal: Crystal, seed: int, cell: float = 0.002, mrad: float = 2.0) -> Crystal:
    """A crystal a little off in cell (relative) and orientation."""
    rng = np.random.default_rng(seed)
    turn = rotation_matrix(rng.normal(size=3), 1e-3 * mrad)
    return crystal.with_A(turn @ crystal.A * (1.0 + cell * rng.uniform(-1, 1)))


def several(n_sweeps: int, n_spots: int, *, shared: bool = True, **others) -> tuple[ExperimentList, ReflectionTable]:
    """Sweeps of different crystals, with one beam and detector or (equal) ones of their own, and their spots."""
    beam, detector = a_beam(), a_detector()
    sweeps, tables = [], []
    for i in range(n_sweeps):
        own = {"beam": beam, "detector": detector} if shared else {"beam": a_beam(), "detector": a_detector()}
        sweeps.append(a_sweep(f"sweep{i}", a_crystal(i), **own, **others))
        tables.append(spots(sweeps[-1], n_spots, row=i, seed=100 + i))
    return ExperimentList(sweeps), ReflectionTable.concat(tables)
