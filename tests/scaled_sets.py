"""Scaled observations of made-up crystals: some good, and one each that is damaged, weak, of another form."""

from __future__ import annotations

import gemmi
import numpy as np

from mxdask.assess.observations import ScaledObservations

CELL, GROUP = gemmi.UnitCell(50, 60, 70, 90, 90, 90), gemmi.SpaceGroup("P 21 21 21")
B_FACTOR = 20.0


def unique_reflections(d_min: float = 3.0) -> np.ndarray:
    return gemmi.make_miller_array(CELL, GROUP, d_min, 40.0, True).astype(np.int32)


def true_intensities(hkl: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    s = 1.0 / CELL.calculate_d_array(hkl) ** 2
    centric = GROUP.operations().centric_flag_array(hkl)
    shape = np.where(centric, rng.normal(size=len(hkl)) ** 2, rng.exponential(size=len(hkl)))
    return 1000.0 * np.exp(-B_FACTOR * s / 2) * shape


def crystals(
    n_good: int, *, bad: bool = True, fraction: float = 0.4, noise: float = 20.0, seed: int = 0
) -> tuple[ScaledObservations, dict[str, int]]:
    """Crystals of 20 images each; ``bad`` adds three and tells which sweep is which."""
    rng = np.random.default_rng(seed)
    hkl = unique_reflections()
    s = 1.0 / CELL.calculate_d_array(hkl) ** 2
    truth, other = true_intensities(hkl, rng), true_intensities(hkl, rng)
    kinds = ["good"] * n_good + (["damaged", "weak", "other form"] if bad else [])
    parts: list[tuple[np.ndarray, ...]] = []
    for sweep, kind in enumerate(kinds):
        rows = np.flatnonzero(rng.random(len(hkl)) < fraction)
        z = rng.uniform(0.0, 20.0, len(rows))
        intensity, sigma = truth[rows].copy(), np.full(len(rows), noise)
        if kind == "damaged":  # strong differential fading, and fall-off that scaling has blown up again
            changed = np.exp(0.06 * z * rng.normal(size=len(rows)))
            intensity *= changed
            sigma = sigma * np.exp(6.0 * s[rows])
        elif kind == "weak":
            sigma = sigma * 25.0
        elif kind == "other form":
            intensity = 0.4 * intensity + 0.6 * other[rows]
        observed = intensity + sigma * rng.normal(size=len(rows))
        parts.append((hkl[rows], observed, sigma**2, np.full(len(rows), sweep, np.int32), z))
    columns = [np.concatenate(c) for c in zip(*parts, strict=True)]
    names = tuple(f"crystal_{i:02d}" for i in range(len(kinds)))
    data = ScaledObservations(columns[0], columns[1], columns[2], columns[3], columns[4], CELL, GROUP, names)
    return data, {k: i for i, k in enumerate(kinds) if k != "good"}
