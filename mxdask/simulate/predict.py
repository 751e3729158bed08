"""The reflections of a crystal's sweep: where they fall, how wide, how many counts."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np
from scipy.spatial.transform import Rotation

from mxdask.models import Beam, Panel, rotation_matrix
from mxdask.simulate.crystals import TrueCrystal
from mxdask.simulate.instrument import build, goniometer
from mxdask.simulate.params import SimulatedSet
from mxdask.simulate.predict_kernels import crossings
from mxdask.simulate.render_kernels import rocking
from mxdask.simulate.seeds import generator
from mxdask.simulate.structure import full_sphere, true_intensities

MARGIN = 8.0  # px beyond the edge to which spots are kept: their flanks reach the panel
_ROCKING_SIGMAS = 4.0
_MAX_PADDING = np.deg2rad(5.0)


@dataclass(frozen=True)
class TrueReflections:
    """Reflections of one sweep, sorted by h, k, l, z.

    Attributes
    ----------
    hkl : (n, 3) int32 in the structure's indexing.
    xyz : (n, 3) px, px, frames (image j covers [j, j + 1)).
    phi : (n,) radians. d : (n,) Å. zeta : (n,). s1 : (n, 3) Å⁻¹.
    covariance : (n, 3) px²: xx, xy, yy of the spot on the detector.
    lp, qe : (n,) I_corrected = counts·lp/qe.
    I : (n,) true intensity.
    counts_full : (n,) expected counts of the whole reflection at constant flux and volume and without decay.
    counts_recorded : (n,) expected counts in the images.
    fraction : (n,) part of the rocking curve inside the sweep.
    """

    hkl: np.ndarray
    xyz: np.ndarray
    phi: np.ndarray
    d: np.ndarray
    zeta: np.ndarray
    s1: np.ndarray
    covariance: np.ndarray
    lp: np.ndarray
    qe: np.ndarray
    I: np.ndarray
    counts_full: np.ndarray
    counts_recorded: np.ndarray
    fraction: np.ndarray

    def __len__(self) -> int:
        return len(self.phi)

    def select(self, rows: np.ndarray) -> TrueReflections:
        """Some of the reflections, by mask or row numbers."""
        return TrueReflections(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


def counts_per_intensity(sim: SimulatedSet) -> float:
    """Counts per unit of intensity and of qe/lp, such that a reflection of a crystal of scale 1 has ``beam.counts``.

    The Lorentz factor is taken as 1.5/sin 2θ, its median over directions of the scattered ray.
    """
    true = true_intensities(sim.structure, sim.seed, 0, build(sim).d_min)
    d = d_spacing(true.hkl, sim.structure.cell)
    sin_theta = np.minimum(sim.beam.wavelength / (2 * d), 0.999)
    lorentz = 1.5 / np.sin(2 * np.arcsin(sin_theta))
    return float(sim.beam.counts / np.mean(true.I * lorentz))


def d_spacing(hkl: np.ndarray, cell: tuple[float, ...]) -> np.ndarray:
    """(n,) Å."""
    return gemmi.UnitCell(*cell).calculate_d_array(np.asarray(hkl, dtype=np.int32))


def predict(sim: SimulatedSet, crystal: TrueCrystal, index: int) -> TrueReflections:
    """All reflections of which more than a thousandth is recorded on (or next to) the panel.

    Orientation drifts with the image: angle and position are solved again with the orientation at the frame found.
    """
    instrument = build(sim)
    beam, panel = instrument.beam, instrument.panel
    fixed, axis = goniometer(sim).fixed_rotation, goniometer(sim).lab_axis
    sphere = full_sphere(sim.structure, instrument.d_min)
    start = np.deg2rad(crystal.start)
    end = np.deg2rad(crystal.start + sim.sweep.images * sim.sweep.width)
    rows, phi = _crossings(
        sphere.hkl, fixed @ crystal.A, beam.s0, axis, (start, end), crystal.sigma_M, instrument.d_min
    )
    hkl = sphere.hkl[rows]
    p = (hkl @ crystal.A.T) @ fixed.T
    for _ in range(2):
        frame = np.rad2deg(phi - start) / sim.sweep.width
        p = np.einsum("nij,nj->ni", _drift_at(crystal, frame), hkl @ crystal.A.T) @ fixed.T
        phi = _nearest_crossing(p, beam.s0, axis, phi)
    s1 = np.einsum("nij,nj->ni", rotation_matrix(axis, phi), p) + beam.s0
    xy_mm, forward = panel.ray_mm(s1)
    xy = panel.mm_to_pixel(xy_mm)
    inside = forward & np.all((xy > -MARGIN) & (xy < np.array(panel.image_size) + MARGIN), axis=1)
    kept = np.flatnonzero(inside)
    out = _measured(sim, crystal, rows[kept], phi[kept], s1[kept], xy[kept])
    scatter = generator(sim.seed, "scatter", index).normal(0, 1, (len(out), 2)) * sim.crystals.scatter
    out.xyz[:, :2] += scatter
    out = out.select(out.fraction > 1e-3)
    h, k, l = out.hkl.T
    return out.select(np.lexsort((out.xyz[:, 2], l, k, h)))


def _crossings(
    hkl: np.ndarray,
    A: np.ndarray,
    s0: np.ndarray,
    axis: np.ndarray,
    sweep: tuple[float, float],
    sigma_m: float,
    d_min: float,
) -> tuple[np.ndarray, np.ndarray]:
    room = max(1024, len(hkl) // 8)
    while True:
        rows, phi = np.zeros(room, np.int64), np.zeros(room)
        found = crossings(
            hkl, np.ascontiguousarray(A), s0, axis, *sweep, sigma_m, _ROCKING_SIGMAS, _MAX_PADDING, 1 / d_min, rows, phi
        )
        if found <= room:
            return rows[:found], phi[:found]
        room = found


def _drift_at(crystal: TrueCrystal, frame: np.ndarray) -> np.ndarray:
    """(n, 3, 3) small rotations at frame coordinates (n,), linear between the middles of images, constant outside."""
    middles = np.arange(len(crystal.drift)) + 0.5
    vectors = np.column_stack([np.interp(frame, middles, crystal.drift[:, i]) for i in range(3)])
    return Rotation.from_rotvec(vectors).as_matrix()


def _nearest_crossing(p: np.ndarray, s0: np.ndarray, axis: np.ndarray, near: np.ndarray) -> np.ndarray:
    """(n,) angle closest to ``near`` at which R(axis, φ)·p lies on the sphere; ``near`` where there is none."""
    m1 = np.cross(axis, s0)
    m1 /= np.linalg.norm(m1)
    m3 = np.cross(m1, axis)
    p1, p2, p3 = p @ m1, p @ axis, p @ m3
    q3 = (-0.5 * np.sum(p * p, axis=1) - p2 * (s0 @ axis)) / (s0 @ m3)
    square = p1**2 + p3**2 - q3**2
    q1 = np.sqrt(np.maximum(square, 0))
    best = near.copy()
    closest = np.full(len(near), np.inf)
    for sign in (-1, 1):
        angle = np.arctan2(sign * q1, q3) - np.arctan2(p1, p3)
        change = np.remainder(angle - near + np.pi, 2 * np.pi) - np.pi
        better = (np.abs(change) < closest) & (square > 0)
        best[better], closest[better] = (near + change)[better], np.abs(change)[better]
    return best


def _measured(
    sim: SimulatedSet, crystal: TrueCrystal, rows: np.ndarray, phi: np.ndarray, s1: np.ndarray, xy: np.ndarray
) -> TrueReflections:
    """Counts and widths of crossings that meet the detector; ``rows`` in the full sphere."""
    instrument, axis = build(sim), goniometer(sim).lab_axis
    beam, panel = instrument.beam, instrument.panel
    sphere = full_sphere(sim.structure, instrument.d_min)
    I = true_intensities(sim.structure, sim.seed, crystal.species, instrument.d_min).I[sphere.unique[rows]]
    d = 1 / np.linalg.norm(s1 - beam.s0, axis=1)
    e1 = np.cross(s1, beam.s0)
    e1 /= np.linalg.norm(e1, axis=1, keepdims=True)
    zeta = e1 @ axis
    lp, qe = lorentz_polarisation(s1, beam, axis), efficiency(s1, panel)
    half_q2 = 1 / (2 * d**2)
    full = counts_per_intensity(sim) * crystal.scale * I * np.exp(-crystal.b_extra * half_q2) * qe / lp
    start, width = np.deg2rad(crystal.start), np.deg2rad(sim.sweep.width)
    recorded, fraction = np.zeros(len(phi)), np.zeros(len(phi))
    factor, decay = crystal.image_factor, crystal.decay_b
    rocking(phi, zeta, half_q2, crystal.sigma_M, start, width, factor, decay, recorded, fraction)
    xyz = np.column_stack([xy, (phi - start) / width])
    covariance = _spot_covariance(panel, s1, e1, crystal.sigma_D, sim.crystals.spot_size)
    return TrueReflections(
        sphere.hkl[rows], xyz, phi, d, zeta, s1, covariance, lp, qe, I, full, full * recorded, fraction
    )


def lorentz_polarisation(s1: np.ndarray, beam: Beam, axis: np.ndarray) -> np.ndarray:
    """(n,) L/P of back.md 9.1 (Kabsch, 2010): corrected intensity = counts·lp.

    Written apart from what integration uses: code that both share, the simulation could not put to the test.
    """
    s0 = beam.s0
    lorentz = np.abs(s1 @ np.cross(axis, s0)) / (s0 @ s0)
    unit, unit0 = s1 * beam.wavelength, s0 * beam.wavelength
    p = beam.polarization_fraction
    polarisation = (1 - 2 * p) * (1 - (unit @ beam.polarization_normal) ** 2) + p * (1 + (unit @ unit0) ** 2)
    return lorentz / polarisation


def efficiency(s1: np.ndarray, panel: Panel) -> np.ndarray:
    """(n,) part of the photons that the sensor stops."""
    cosine = np.abs(s1 @ panel.normal) / np.linalg.norm(s1, axis=1)
    return 1 - np.exp(-panel.mu * panel.thickness / cosine)


def _spot_covariance(panel: Panel, s1: np.ndarray, e1: np.ndarray, sigma_d: float, spot_mm: float) -> np.ndarray:
    """(n, 3) px²: a round Gaussian of ``sigma_d`` in Kabsch's (e1, e2), the crystal's size, the depth of absorption.

    Rays are absorbed exponentially with depth, which smears spots along their direction on the panel.
    """
    length = np.linalg.norm(s1, axis=1, keepdims=True)
    e2 = np.cross(s1, e1) / length
    size = np.array(panel.pixel_size)
    step = 1e-5
    here, _ = panel.ray_mm(s1)
    columns = [(panel.ray_mm(s1 + step * length * e)[0] - here) / step / size for e in (e1, e2)]
    unit = s1 / length
    path = panel.thickness / np.abs(unit @ panel.normal)
    absorbed = 1 - np.exp(-panel.mu * path)
    mean = 1 / panel.mu - path * np.exp(-panel.mu * path) / absorbed
    square = 2 / panel.mu**2 - np.exp(-panel.mu * path) * (path**2 + 2 * path / panel.mu) / absorbed
    depth = np.sqrt(np.maximum(square - mean**2, 0))
    smear = np.stack([unit @ panel.fast_axis, unit @ panel.slow_axis], axis=-1) * depth[:, None] / size
    parts = [sigma_d * columns[0], sigma_d * columns[1], smear]
    xx = sum(v[:, 0] ** 2 for v in parts) + (spot_mm / size[0]) ** 2
    yy = sum(v[:, 1] ** 2 for v in parts) + (spot_mm / size[1]) ** 2
    return np.column_stack([xx, sum(v[:, 0] * v[:, 1] for v in parts), yy])
