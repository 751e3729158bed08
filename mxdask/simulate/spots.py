"""Reflections without images: strong-spot and integrated tables of any number of crystals.

For benchmarks of indexing, cosym and scaling with a thousand crystals, where pixels would take all the time.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mxdask.models import Crystal, Detector, Experiment, ExperimentList, ImageSet, Scan
from mxdask.models.crystal import hall_of
from mxdask.simulate.crystals import TrueCrystal, true_crystal
from mxdask.simulate.instrument import build, goniometer
from mxdask.simulate.params import SimulatedSet
from mxdask.simulate.predict import TrueReflections, predict
from mxdask.simulate.render import touches_bad_pixels
from mxdask.simulate.seeds import generator
from mxdask.simulate.structure import indexing_settings, space_group
from mxdask.table import Flag, ReflectionTable

_SYSTEMATIC = 0.02  # relative error of intensities that counting does not explain
_HALF_BOX = 3.0  # standard deviations on each side of a spot that its box spans


def strong_spots(sim: SimulatedSet, *, spurious: float = 0.05) -> tuple[ExperimentList, ReflectionTable]:
    """What import and spot finding would give: experiments with the headers' geometry, and a strong.refl.

    Parameters
    ----------
    spurious : number of spots that belong to no lattice, as a fraction of the others.
    """
    detector, models = build(sim).header_detector, []
    tables = []
    for index in range(sim.crystals.count):
        models.append(_experiment(sim, index, detector, None))
        tables.append(_strong_table(sim, index, models[-1].identifier, spurious))
    return _share_models(models), ReflectionTable.concat(tables)


def integrated(
    sim: SimulatedSet, *, known_symmetry: bool = False, indices: Iterable[int] | None = None
) -> tuple[ExperimentList, ReflectionTable]:
    """What refinement and integration would give: the true geometry, and an integrated.refl.

    Crystals come in their own indexing setting (:attr:`TrueCrystal.setting`), as an indexing program finds them.

    Parameters
    ----------
    known_symmetry : in the structure's cell and space group; else in the primitive cell with P 1.
    indices : which crystals (default all); their numbers decide everything random, not their company.
    """
    models, tables = [], []
    for row, index in enumerate(range(sim.crystals.count) if indices is None else indices):
        crystal = true_crystal(sim, index)
        basis = np.eye(3) if known_symmetry else primitive_basis(space_group(sim.structure).centring_type())
        hall = hall_of(space_group(sim.structure)) if known_symmetry else " P 1"
        model = Crystal.from_A(crystal.A_lattice @ np.linalg.inv(basis), hall)
        models.append(_experiment(sim, index, build(sim).detector, model))
        tables.append(_integrated_table(sim, crystal, index, row, basis, models[-1].identifier))
    return _share_models(models), ReflectionTable.concat(tables)


def primitive_basis(centring: str) -> np.ndarray:
    """(3, 3) P with h_primitive = P·h: rows are the primitive cell's axes in terms of the conventional ones."""
    bases = {
        "P": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        "I": ((-0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.5, 0.5, -0.5)),
        "F": ((0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)),
        "A": ((1, 0, 0), (0, 0.5, -0.5), (0, 0.5, 0.5)),
        "B": ((0.5, 0, -0.5), (0, 1, 0), (0.5, 0, 0.5)),
        "C": ((0.5, -0.5, 0), (0.5, 0.5, 0), (0, 0, 1)),
        "R": ((2 / 3, 1 / 3, 1 / 3), (-1 / 3, 1 / 3, 1 / 3), (-1 / 3, -2 / 3, 1 / 3)),
    }
    return np.array(bases[centring])


def _experiment(sim: SimulatedSet, index: int, detector: Detector, crystal: Crystal | None) -> Experiment:
    n, start = sim.sweep.images, true_crystal(sim, index).start
    times = tuple(sim.sweep.exposure * np.arange(n))
    identifier = generator(sim.seed, "identifier", index).bytes(16).hex()
    dashed = "-".join((identifier[:8], identifier[8:12], identifier[12:16], identifier[16:20], identifier[20:]))
    return Experiment(
        dashed, ImageSet(f"{sim.sweep_name(index)}.nxs", tuple(range(n))), build(sim).beam, detector, goniometer(sim),
        Scan((1, n), (start, sim.sweep.width), (sim.sweep.exposure,) * n, times), crystal,
    )  # fmt: skip


def _share_models(experiments: list[Experiment]) -> ExperimentList:
    """All sweeps of a set have one beam, detector and goniometer."""
    first = experiments[0]
    shared = {"beam": first.beam, "detector": first.detector, "goniometer": first.goniometer}
    return ExperimentList(e.evolve(**shared) for e in experiments)


def _background_under(sim: SimulatedSet, reflections: TrueReflections) -> np.ndarray:
    """(n,) counts per pixel and image."""
    background = build(sim).background
    column, row = np.clip(reflections.xyz[:, :2].astype(int), 0, np.array(background.shape[::-1]) - 1).T
    return background[row, column].astype(np.float64)


def _box_of(sim: SimulatedSet, crystal: TrueCrystal, xyz: np.ndarray, reflections: TrueReflections) -> np.ndarray:
    """(n, 6) int32 boxes around positions; their z is clipped to the sweep."""
    sigma_z = crystal.sigma_M / np.maximum(np.abs(reflections.zeta), 0.02) / np.deg2rad(sim.sweep.width)
    reach = _HALF_BOX * np.column_stack([np.sqrt(reflections.covariance[:, [0, 2]]), sigma_z])
    low, high = np.floor(xyz - reach).astype(np.int32), np.ceil(xyz + reach).astype(np.int32)
    low[:, 2] = np.clip(low[:, 2], 0, sim.sweep.images - 1)
    high[:, 2] = np.clip(high[:, 2], low[:, 2] + 1, sim.sweep.images)
    return np.stack([low, high], axis=-1).reshape(-1, 6)


def _strong_table(sim: SimulatedSet, index: int, identifier: str, spurious: float) -> ReflectionTable:
    """Spots of at least 25 counts and five times the background's noise, with centroids as counting allows."""
    crystal = true_crystal(sim, index)
    true = predict(sim, crystal, index)
    random = generator(sim.seed, "strong spots", index)
    true = true.select((true.fraction > 0.3) & ~touches_bad_pixels(build(sim), true))
    counts = random.poisson(true.counts_recorded).astype(np.float64)
    bbox = _box_of(sim, crystal, true.xyz, true)
    volume = np.prod(np.diff(bbox.reshape(-1, 3, 2), axis=2)[..., 0], axis=1)
    under = _background_under(sim, true) * volume
    strong = counts > 25 + 5 * np.sqrt(under)
    true, counts, bbox, under, volume = true.select(strong), counts[strong], bbox[strong], under[strong], volume[strong]
    width = np.deg2rad(sim.sweep.width)
    sigma_z2 = (crystal.sigma_M / np.maximum(np.abs(true.zeta), 0.02) / width) ** 2 + 1 / 12
    spread = np.column_stack([true.covariance[:, [0, 2]] + 1 / 12, sigma_z2])
    variance = spread / counts[:, None] * (1 + 2 * under / counts)[:, None]
    xyz = true.xyz + np.sqrt(variance) * random.standard_normal(true.xyz.shape)
    n_wrong = round(spurious * len(xyz))
    wrong = random.uniform(0, (*build(sim).panel.image_size, sim.sweep.images), (n_wrong, 3))
    wrong_low = np.floor(wrong).astype(np.int32)
    n = len(xyz) + n_wrong
    table = ReflectionTable(
        {
            "id": np.full(n, index), "imageset_id": np.full(n, index), "panel": np.zeros(n),
            "flags": np.full(n, int(Flag.STRONG)),
            "xyzobs.px.value": np.clip(np.vstack([xyz, wrong]), 0, (np.inf, np.inf, sim.sweep.images)),
            "xyzobs.px.variance": np.vstack([variance, np.full((n_wrong, 3), 0.05)]),
            "intensity.sum.value": np.concatenate([counts, np.full(n_wrong, 30.0)]),
            "intensity.sum.variance": np.concatenate([counts + under, np.full(n_wrong, 30.0)]),
            "bbox": np.vstack([bbox, np.stack([wrong_low, wrong_low + 1], axis=-1).reshape(-1, 6)]),
            "n_signal": np.concatenate([np.maximum(3, volume // 8), np.full(n_wrong, 3)]),
        },
        {index: identifier},
    )  # fmt: skip
    z = table["xyzobs.px.value"][:, 2]
    return table.select(np.argsort(z, kind="stable"))


def _integrated_table(
    sim: SimulatedSet, crystal: TrueCrystal, index: int, row: int, basis: np.ndarray, identifier: str
) -> ReflectionTable:
    """Summed and fitted intensities with counting noise and a systematic error that the variances do not know."""
    true = predict(sim, crystal, index)
    true = true.select(~touches_bad_pixels(build(sim), true) & (np.abs(true.zeta) > 0.05))
    random = generator(sim.seed, "integrated", index)
    bbox = _box_of(sim, crystal, true.xyz, true)
    volume = np.prod(np.diff(bbox.reshape(-1, 3, 2), axis=2)[..., 0], axis=1)
    mean = _background_under(sim, true)
    under = mean * volume
    expected = true.counts_recorded * (1 + _SYSTEMATIC * random.standard_normal(len(true)))
    summed = random.poisson(np.maximum(expected, 0) + under) - under
    # A fitted profile lets about half of the background's noise through, and recovers the part outside the sweep.
    fitted = (random.poisson(np.maximum(expected, 0) + 0.5 * under) - 0.5 * under) / true.fraction
    settings = indexing_settings(sim.structure.space_group, sim.structure.cell)
    hkl = np.rint(true.hkl @ (basis @ np.array(settings[crystal.setting])).T)
    n, s0 = len(true), build(sim).beam.s0
    panel_mm = build(sim).panel.pixel_to_mm(true.xyz[:, :2])
    entering = true.s1 @ np.cross(s0, goniometer(sim).lab_axis) < 0
    fitted_ok = true.fraction > 0.5
    flags = np.where(fitted_ok, int(Flag.PREDICTED | Flag.INTEGRATED), int(Flag.PREDICTED | Flag.INTEGRATED_SUM))
    table = ReflectionTable(
        {
            "miller_index": hkl, "id": np.full(n, row), "imageset_id": np.full(n, row), "panel": np.zeros(n),
            "flags": flags, "partial_id": np.arange(n), "entering": entering, "s1": true.s1,
            "xyzcal.px": true.xyz, "xyzcal.mm": np.column_stack([panel_mm, true.phi]),
            "xyzobs.px.value": true.xyz, "xyzobs.px.variance": np.full((n, 3), 0.01),
            "xyzobs.mm.value": np.column_stack([panel_mm, true.phi]),
            "xyzobs.mm.variance": np.full((n, 3), 1e-5),
            "bbox": bbox, "zeta": true.zeta, "d": true.d, "partiality": true.fraction, "lp": true.lp, "qe": true.qe,
            "background.mean": mean, "background.sum.value": under, "background.sum.variance": under,
            "intensity.sum.value": summed, "intensity.sum.variance": np.maximum(summed, 0) + 2 * under + 1e-6,
            "intensity.prf.value": np.where(fitted_ok, fitted, 0.0),
            "intensity.prf.variance": np.where(fitted_ok, np.maximum(fitted, 0) / true.fraction + under + 1e-6, 0.0),
            "profile.correlation": np.where(fitted_ok, 0.9, 0.0),
            "num_pixels.valid": volume, "num_pixels.foreground": volume,
            "num_pixels.background": volume, "num_pixels.background_used": volume,
        },
        {row: identifier},
    )  # fmt: skip
    return table.select(np.argsort(table["xyzcal.px"][:, 2], kind="stable"))
