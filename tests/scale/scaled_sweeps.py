"""Sweeps of one crystal form with known scales, B factors and errors."""

from __future__ import annotations

import gemmi
import numpy as np

from mxdask.models import Beam, Crystal, Detector, Experiment, ExperimentList, Goniometer, ImageSet, Panel, Scan
from mxdask.models.crystal import hall_of, orthogonalisation_matrix
from mxdask.table import Flag, ReflectionTable

GROUP = gemmi.SpaceGroup("P 4 3 2")
EDGE = 60.0


def sweep(name: str, n_images: int = 50, width: float = 0.1) -> Experiment:
    hall = hall_of(GROUP)
    crystal = Crystal(orthogonalisation_matrix((EDGE, EDGE, EDGE, 90, 90, 90)).T, hall)
    panel = Panel((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (-100.0, 100.0, -150.0), (2000, 2000), (0.1, 0.1), (0.0, 1e6))
    return Experiment(
        identifier=name, imageset=ImageSet(f"{name}_####.cbf"), beam=Beam((0.0, 0.0, 1.0), 1.0),
        detector=Detector((panel,)), goniometer=Goniometer.single_axis((1.0, 0.0, 0.0)),
        scan=Scan((1, n_images), (0.0, width)), crystal=crystal,
    )  # fmt: skip


def truth(hkl: np.ndarray) -> np.ndarray:
    """A true intensity that depends on the unique reflection only."""
    unique = np.sort(np.abs(hkl), axis=1)
    key = (unique @ np.array([7919, 104729, 1299709])).astype(np.uint64)
    uniform = ((key * np.uint64(2654435761)) % np.uint64(2**32)).astype(np.float64) / 2**32
    return -200.0 * np.log(1.0 - uniform * 0.999)


def table(
    index: int, n: int = 3000, scale: float = 1.0, b: float = 0.0, a: float = 1.0, noise_b: float = 0.02, seed: int = 0,
    n_images: int = 50,
) -> ReflectionTable:  # fmt: skip
    """Integrated reflections: I = scale·exp(b/2d²)·truth, with the variance that counts claim.

    The real error is a·√(expected counts + background + (noise_b·I)²).
    """
    rng = np.random.default_rng(1000 * seed + index)
    hkl = rng.integers(-14, 15, (3 * n, 3))
    d = EDGE / np.sqrt(np.maximum((hkl**2).sum(axis=1), 1))
    keep = np.flatnonzero((d > 4.0) & (d < 40.0))[:n]
    hkl, d = hkl[keep], d[keep]
    expected = scale * np.exp(b / (2 * d**2)) * truth(hkl)
    value = expected + a * np.sqrt(expected + 20.0 + (noise_b * expected) ** 2) * rng.normal(size=len(d))
    variance = np.abs(value) + 20.0
    frame = rng.uniform(0, n_images, len(d))
    xyz = np.column_stack([rng.uniform(0, 2000, (len(d), 2)), frame])
    s1 = rng.normal(size=(len(d), 3))
    columns = {
        "id": np.full(len(d), index), "miller_index": hkl, "d": d, "partiality": np.ones(len(d)),
        "partial_id": np.arange(len(d)), "lp": np.ones(len(d)), "qe": np.ones(len(d)), "xyzobs.px.value": xyz,
        "xyzcal.px": xyz, "s1": s1, "flags": np.full(len(d), int(Flag.INTEGRATED_PRF | Flag.INTEGRATED_SUM)),
        "intensity.prf.value": value, "intensity.prf.variance": variance,
        "intensity.sum.value": value + rng.normal(size=len(d)) * np.sqrt(variance),
        "intensity.sum.variance": 2 * variance,
    }  # fmt: skip
    return ReflectionTable(columns, {index: f"x{index}"})


def job(settings: list[dict[str, float]], **common: float) -> tuple[ExperimentList, ReflectionTable]:
    """Experiments x0, x1 … and their reflections; one dictionary of :func:`table` arguments each."""
    experiments = ExperimentList([sweep(f"x{i}") for i in range(len(settings))])
    return experiments, ReflectionTable.concat([table(i, **(common | s)) for i, s in enumerate(settings)])  # type: ignore[arg-type]
