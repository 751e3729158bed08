"""Beam, detector and goniometer: where they are, and where the headers say they are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mxdask.models import Beam, Detector, Goniometer, Panel, rotation_matrix
from mxdask.models.attenuation import attenuation_coefficient
from mxdask.models.detector import PARALLAX
from mxdask.simulate.params import SimulatedSet
from mxdask.simulate.seeds import generator

# Modules of 1030 × 514 pixels with gaps of 10 (fast) and 37 (slow) make up Eiger detectors: (modules fast, slow).
_MODULE, _GAP = (1030, 514), (10, 37)
_MODULES = {"500K": (1, 1), "1M": (1, 2), "4M": (2, 4), "9M": (3, 6), "16M": (4, 8)}

# Flags of the pixel mask as in NXmx: gap between modules, noisy pixel.
GAP, NOISY = 1, 16


@dataclass(frozen=True)
class Instrument:
    """Everything but the crystal.

    Attributes
    ----------
    beam : the true beam, which the headers know.
    detector, header_detector : true one, and the one the headers describe.
    mask : (slow, fast) uint32, 0 where good.
    hot, dead : (n, 2) (slow, fast) of pixels that are wrong without being masked.
    background : (slow, fast) float32 counts per pixel and image at nominal flux.
    d_min : Å at the corner of the true detector.
    """

    beam: Beam
    detector: Detector
    header_detector: Detector
    mask: np.ndarray
    hot: np.ndarray
    dead: np.ndarray
    hot_rates: np.ndarray
    background: np.ndarray
    d_min: float

    @property
    def panel(self) -> Panel:
        """The one panel, where it really is."""
        return self.detector[0]


@lru_cache(maxsize=2)
def build(sim: SimulatedSet) -> Instrument:
    """The instrument of a set; the same detector, with the same errors in its headers, for all its sweeps."""
    beam = Beam(np.array([0.0, 0.0, 1.0]), sim.beam.wavelength, polarization_fraction=sim.beam.polarization_fraction)
    header = _header_panel(sim)
    true = _displaced(header, sim)
    random = generator(sim.seed, "pixels")
    shape = header.image_size[1], header.image_size[0]
    mask = gap_mask(sim.detector.size)
    wrong = _some_pixels(random, mask, sim.detector.hot + sim.detector.dead + 5)
    hot, dead, noisy = np.split(wrong, [sim.detector.hot, sim.detector.hot + sim.detector.dead])
    mask[tuple(noisy.T)] = NOISY
    return Instrument(
        beam, Detector((true,)), Detector((header,)), mask, hot, dead, random.uniform(20, 400, len(hot)),
        _background(true, beam, shape, sim.beam.background), Detector((true,)).d_min(beam.s0),
    )  # fmt: skip


def image_shape(size: str) -> tuple[int, int]:
    """(slow, fast) pixels of a detector size."""
    if size == "512":
        return 512, 512
    fast, slow = (n * m + (n - 1) * g for n, m, g in zip(_MODULES[size], _MODULE, _GAP, strict=True))
    return slow, fast


def gap_mask(size: str) -> np.ndarray:
    """(slow, fast) uint32: 1 between modules."""
    mask = np.zeros(image_shape(size), np.uint32)
    if size != "512":
        fast, slow = ((np.arange(n) % (m + g)) >= m for n, m, g in zip(mask.shape[::-1], _MODULE, _GAP, strict=True))
        mask[slow[:, None] | fast[None, :]] = GAP
    return mask


def goniometer(sim: SimulatedSet) -> Goniometer:
    """Omega along +X, and between it and the crystal a chi axis along +Z if the set has one."""
    if sim.sweep.chi is None:
        return Goniometer.single_axis((1.0, 0.0, 0.0))
    return Goniometer.multi_axis(((0.0, 0.0, 1.0), (1.0, 0.0, 0.0)), (sim.sweep.chi, 0.0), ("chi", "omega"), 1)


def _header_panel(sim: SimulatedSet) -> Panel:
    """Square to the beam, fast along +X, slow along −Y, the beam near the centre."""
    kind = sim.detector
    slow, fast = image_shape(kind.size)
    offset = np.round(generator(sim.seed, "beam centre").uniform(-12, 12, 2), 1)
    centre = np.round(np.array([fast, slow]) / 2 + offset, 1)
    origin = np.array([-centre[0] * kind.pixel, centre[1] * kind.pixel, -kind.distance])
    return Panel(
        np.array([1.0, 0.0, 0.0]), np.array([0.0, -1.0, 0.0]), origin,
        (fast, slow), (kind.pixel, kind.pixel), trusted_range=(0, kind.saturation - 1), thickness=kind.thickness,
        material=kind.sensor, mu=attenuation_coefficient(kind.sensor, sim.beam.wavelength), px_mm_strategy=PARALLAX,
    )  # fmt: skip


def _displaced(panel: Panel, sim: SimulatedSet) -> Panel:
    """Where the detector is: moved and turned about its own place by what the headers do not know."""
    random = generator(sim.seed, "geometry")
    size = sim.detector.geometry_error
    shift = size * random.normal(0, (0.05, 0.05, 0.08))
    turn = np.eye(3)
    for axis, angle in zip(np.eye(3), size * random.normal(0, 0.001, 3), strict=True):
        turn = rotation_matrix(axis, angle) @ turn
    pivot = np.array([0.0, 0.0, panel.origin[2]])
    origin = pivot + turn @ (panel.origin - pivot) + shift
    return panel.with_frame(turn @ panel.fast_axis, turn @ panel.slow_axis, origin)


def _some_pixels(random: np.random.Generator, mask: np.ndarray, n: int) -> np.ndarray:
    """(n, 2) different good pixels (slow, fast)."""
    good = np.flatnonzero(mask.ravel() == 0)
    return np.column_stack(np.unravel_index(random.choice(good, n, replace=False), mask.shape))


def _background(panel: Panel, beam: Beam, shape: tuple[int, int], level: float) -> np.ndarray:
    """Air and solvent: high near the beam, a ring at 3.3 Å, falling with angle; times the pixels' solid angle."""
    slow, fast = np.indices(shape, dtype=np.float64) + 0.5
    xy = np.stack([fast.ravel(), slow.ravel()], axis=-1) * panel.pixel_size
    lab = panel.lab_coord(xy)
    length = np.linalg.norm(lab, axis=1)
    q = np.linalg.norm(lab / length[:, None] / beam.wavelength - beam.s0, axis=1)
    air = 2.5 * np.exp(-((q / 0.06) ** 2))
    solvent = 0.25 + 0.75 * np.exp(-(((q - 0.30) / 0.05) ** 2)) + 0.25 * np.exp(-((q / 0.5) ** 2))
    solid_angle = (panel.distance / length) ** 3
    return (level * (air + solvent) * solid_angle).reshape(shape).astype(np.float32)
