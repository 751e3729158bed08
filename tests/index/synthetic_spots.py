"""Strong spots of crystals that are known exactly: predicted positions, noise, foreign spots, a wrong beam centre."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import gemmi
import numpy as np
from scipy.spatial.transform import Rotation

from mxdask.geometry.predict_all import predict_all
from mxdask.lattice.powder import ice_lines
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
from mxdask.models.crystal import hall_of, orthogonalisation_matrix
from mxdask.table import Flag, ReflectionTable

SIZE, PIXEL, DISTANCE, WAVELENGTH = (1030, 1065), 0.075, 150.0, 0.9763
CUBIC_I = ((77.9, 77.9, 77.9, 90.0, 90.0, 90.0), "I 2 3")
CUBIC_I_PRIMITIVE = (67.463, 67.463, 67.463, 109.4712, 109.4712, 109.4712)
TRICLINIC = ((41.3, 52.7, 63.1, 82.0, 77.5, 71.2), "P 1")


@dataclass(frozen=True, eq=False)
class SyntheticSweep:
    """A sweep as it would be recorded, and what it really is.

    Attributes
    ----------
    experiment : without crystal; its detector is off by the beam centre's error.
    truth : one crystal per lattice, in its conventional cell.
    table : spots in px with id 0, in random order.
    lattice : (n,) which crystal each spot comes from, -1 for foreign ones. hkl : (n, 3).
    """

    experiment: Experiment
    truth: tuple[Crystal, ...]
    table: ReflectionTable
    lattice: np.ndarray
    hkl: np.ndarray


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """(3, 3) uniformly distributed rotation."""
    q = rng.normal(size=4)
    w, x, y, z = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def blank_experiment(
    name: str,
    *,
    wedge: float,
    width: float = 0.1,
    start: float = 0.0,
    distance: float = DISTANCE,
    wavelength: float = WAVELENGTH,
) -> Experiment:
    """A sweep on a flat detector with the beam in its middle."""
    corner = np.array([-0.5 * SIZE[0] * PIXEL, 0.5 * SIZE[1] * PIXEL, -distance])
    panel = Panel(np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), corner, SIZE, (PIXEL, PIXEL))
    n_images = round(wedge / width)
    return Experiment(
        identifier=name,
        imageset=ImageSet(f"{name}.nxs", tuple(range(n_images))),
        beam=Beam(np.array([0.0, 0, 1]), wavelength),
        detector=Detector((panel,)),
        goniometer=Goniometer.single_axis((1.0, 0.0, 0.0)),
        scan=Scan((1, n_images), (start, width), (0.1,) * n_images, (0.0,) * n_images),
    )


def make_sweep(
    seed: int,
    crystal: tuple[Sequence[float], str] = CUBIC_I,
    *,
    name: str = "synthetic",
    n_spots: int = 200,
    foreign: float = 0.2,
    ice: float = 0.0,
    wedge: float = 5.0,
    beam_error_px: float = 0.0,
    distance: float = DISTANCE,
    distance_error: float = 0.0,
    tilt_mrad: float = 0.0,
    wavelength: float = WAVELENGTH,
    axis_is_inverted: bool = False,
    drift: float = 0.0,
    noise_px: float = 0.2,
    noise_images: float = 0.1,
    n_lattices: int = 1,
    strength_of_others: float = 1.0,
    d_min: float = 2.0,
) -> SyntheticSweep:
    """One sweep of randomly oriented crystals.

    Parameters
    ----------
    crystal : cell (Å, degrees) and space group.
    n_spots : of the first lattice; low resolution is more likely (B = 10 d_min²/2).
    foreign : fraction of all spots that belong to no lattice. ice : fraction of those of lattices added on ice rings.
    beam_error_px : length of the beam centre's error, in a random direction.
    distance_error : fraction by which the recorded distance is too long.
    tilt_mrad : rotation of the recorded detector about each of its axes, at random with this standard deviation.
    axis_is_inverted : the recorded rotation axis points the wrong way.
    drift : degrees that the crystals turn by themselves during the sweep.
    strength_of_others : spots of each further lattice, as a fraction of the first one's.
    """
    rng = np.random.default_rng(seed)
    cell, symbol = crystal
    group = gemmi.find_spacegroup_by_name(symbol)
    start = float(rng.uniform(-180, 180))
    true = blank_experiment(name, wedge=wedge, start=start, distance=distance, wavelength=wavelength)
    truth, parts, lattices, indices = [], [], [], []
    for number in range(n_lattices):
        rows = orthogonalisation_matrix(cell).T @ random_rotation(rng).T
        truth.append(Crystal(rows, hall_of(group)))
        predicted = predict_all(true.evolve(crystal=_drifting(truth[-1], true, drift, rng)), d_min=d_min, padding=0.0)
        present = ~group.operations().systematic_absences(predicted.miller_index)
        resolution = np.linalg.norm(predicted.miller_index @ truth[-1].A.T, axis=1)
        weight = np.where(present, np.exp(-2.5 * (d_min * resolution) ** 2), 0.0)
        wanted = n_spots if number == 0 else round(strength_of_others * n_spots)
        count = min(wanted, int(np.count_nonzero(weight)))
        chosen = rng.choice(len(predicted), size=count, replace=False, p=weight / weight.sum())
        parts.append(predicted.xyz_px[chosen])
        lattices.append(np.full(count, number))
        indices.append(predicted.miller_index[chosen])
    of_lattices = sum(len(p) for p in parts)
    on_rings = _ice_spots(true, round(ice * of_lattices), rng)
    z_range = true.scan.array_range
    n_foreign = round(foreign / (1 - foreign) * of_lattices)
    strangers = rng.uniform((0, 0, z_range[0]), (*SIZE, z_range[1]), size=(n_foreign, 3))
    xyz = np.concatenate([*parts, on_rings, strangers])
    xyz += rng.normal(size=xyz.shape) * (noise_px, noise_px, noise_images)
    lattice = np.concatenate([*lattices, np.full(len(on_rings) + n_foreign, -1)])
    hkl = np.concatenate([*indices, np.zeros((len(on_rings) + n_foreign, 3), dtype=int)])
    inside = np.all((xyz >= (0, 0, z_range[0])) & (xyz < (*SIZE, z_range[1])), axis=1)
    order = rng.permutation(np.flatnonzero(inside))
    angle = rng.uniform(0, 2 * np.pi)
    error = beam_error_px * PIXEL * np.array([np.cos(angle), np.sin(angle), 0.0])
    error[2] = -distance_error * distance
    panel = _turned(replace(true.detector[0], origin=true.detector[0].origin + error), tilt_mrad, rng)
    axis = (-1.0, 0.0, 0.0) if axis_is_inverted else (1.0, 0.0, 0.0)
    recorded = true.evolve(detector=Detector((panel,)), goniometer=Goniometer.single_axis(axis))
    table = _table(xyz[order], (noise_px, noise_px, noise_images), name)
    return SyntheticSweep(recorded, tuple(truth), table, lattice[order], hkl[order])


def _drifting(crystal: Crystal, experiment: Experiment, degrees: float, rng: np.random.Generator) -> Crystal:
    """The crystal turning evenly about a random axis, as it is given in the middle of the scan."""
    if degrees == 0:
        return crystal
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    angles = np.deg2rad(degrees) * np.linspace(-0.5, 0.5, experiment.scan.n_images + 1)
    return replace(crystal, A_at_scan_points=np.array([rotation_matrix(axis, a) @ crystal.A for a in angles]))


def _turned(panel: Panel, mrad: float, rng: np.random.Generator) -> Panel:
    """A panel turned about its middle."""
    if mrad == 0:
        return panel
    turn = Rotation.from_rotvec(1e-3 * mrad * rng.normal(size=3)).as_matrix()
    middle = np.array([0.0, 0.0, panel.origin[2]])
    return panel.with_frame(turn @ panel.fast_axis, turn @ panel.slow_axis, middle + turn @ (panel.origin - middle))


def _ice_spots(experiment: Experiment, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 3) positions (px, px, frame) at random on the rings of ice."""
    if count == 0:
        return np.zeros((0, 3))
    rings = np.sqrt(ice_lines(1.9))
    theta = np.arcsin(0.5 * experiment.beam.wavelength * rng.choice(rings, count))
    turn = rng.uniform(0, 2 * np.pi, count)
    distance = experiment.detector[0].distance
    radius = distance * np.tan(2 * theta) / PIXEL
    first, last = experiment.scan.array_range
    x, y = 0.5 * SIZE[0] + radius * np.cos(turn), 0.5 * SIZE[1] + radius * np.sin(turn)
    return np.column_stack([x, y, rng.uniform(first, last, count)])


def _table(xyz: np.ndarray, noise: Sequence[float], name: str) -> ReflectionTable:
    n = len(xyz)
    corner = np.floor(xyz).astype(np.int32)
    return ReflectionTable(
        {
            "id": np.zeros(n),
            "panel": np.zeros(n),
            "flags": np.full(n, int(Flag.STRONG)),
            "bbox": np.column_stack([x for k in range(3) for x in (corner[:, k] - 1, corner[:, k] + 2)]),
            "xyzobs.px.value": xyz,
            "xyzobs.px.variance": np.tile(np.square(noise), (n, 1)),
        },
        {0: name},
    )


def join(sweeps: Sequence[SyntheticSweep]) -> tuple[ExperimentList, ReflectionTable]:
    """Input of the step ``index`` from several sweeps (names must differ)."""
    experiments = ExperimentList([s.experiment for s in sweeps])
    tables = []
    for number, sweep in enumerate(sweeps):
        table = sweep.table.copy()
        table["id"] = np.full(len(table), number)
        table.identifiers = {number: sweep.experiment.identifier}
        tables.append(table)
    return experiments, ReflectionTable.concat(tables)
