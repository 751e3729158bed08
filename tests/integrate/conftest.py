"""A small simulated sweep with known intensities, served from memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import erf

from mxdask.errors import FileError
from mxdask.geometry.kabsch import local_axes, zeta
from mxdask.geometry.predict_all import PredictedReflections, predict_all
from mxdask.models import Beam, Crystal, Detector, Experiment, Goniometer, ImageSet, Panel, Scan
from mxdask.table import Flag, ReflectionTable

SIGMA_B, SIGMA_M = np.deg2rad(0.06), np.deg2rad(0.1)
N = 240


class MemoryReader:
    def __init__(self, stack: MemoryStack) -> None:
        self._stack = stack

    def __enter__(self) -> MemoryReader:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, z: int) -> tuple[np.ndarray, ...]:
        if z in self._stack.broken:
            raise FileError(f"memory: frame {z} is truncated")
        return (self._stack.frames[z],)


@dataclass
class MemoryStack:
    """The interface of mxdask.images.ImageStack over an array (frame, slow, fast)."""

    frames: np.ndarray
    good: np.ndarray
    broken: frozenset[int] = frozenset()

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        return (self.frames.shape[1:],)

    def mask(self) -> tuple[np.ndarray, ...]:
        return (self.good,)

    def mask_of(self, z: int) -> tuple[np.ndarray, ...]:
        return self.mask()

    def reader(self) -> MemoryReader:
        return MemoryReader(self)


@dataclass
class Sweep:
    """An experiment, its frames, every predicted reflection and its true intensity."""

    experiment: Experiment
    stack: MemoryStack
    predictions: PredictedReflections
    intensity: np.ndarray
    spots: ReflectionTable


def make_experiment(
    n_images: int = 30, width: float = 0.2, cell: tuple[float, ...] = (50, 56, 62, 90, 95, 90)
) -> Experiment:
    panel = Panel(
        fast_axis=[1, 0, 0], slow_axis=[0, -1, 0], origin=[-N * 0.1, N * 0.1 + 3.0, -120.0], image_size=(N, N),
        pixel_size=(0.2, 0.2), trusted_range=(0, 60000), thickness=0.45, material="Si", mu=3.9,
        px_mm_strategy="ParallaxCorrectedPxMmStrategy",
    )  # fmt: skip
    angle = np.deg2rad([20.0, 35.0, 50.0])
    turn = np.eye(3)
    for k, a in enumerate(angle):
        i, j = (k + 1) % 3, (k + 2) % 3
        step = np.eye(3)
        step[[i, j, i, j], [i, j, j, i]] = np.cos(a), np.cos(a), -np.sin(a), np.sin(a)
        turn = step @ turn
    from mxdask.models.crystal import orthogonalisation_matrix

    crystal = Crystal((turn @ orthogonalisation_matrix(cell)).T, " P 1")
    return Experiment(
        identifier="synthetic", imageset=ImageSet("synthetic_####.cbf"), beam=Beam([0, 0, 1], 0.7),
        detector=Detector((panel,)), goniometer=Goniometer.single_axis([1, 0, 0]),
        scan=Scan((1, n_images), (10.0, width)), crystal=crystal,
    )  # fmt: skip


def expected_frames(
    experiment: Experiment, p: PredictedReflections, intensity: np.ndarray, background: float
) -> np.ndarray:
    """(frame, slow, fast) expected counts: Gaussians in Kabsch's frame, integrated over pixels by 3 × 3 points."""
    beam, goniometer, scan, detector = experiment.beam, experiment.goniometer, experiment.scan, experiment.detector
    frames = np.full((scan.n_images, N, N), background)
    e1, e2 = local_axes(beam.s0, p.s1)
    z = zeta(goniometer.lab_axis, beam.s0, p.s1)
    boundary = scan.angle(np.arange(scan.n_images + 1))
    one = SIGMA_B / np.sqrt(2)
    fine = np.arange(-0.5, 0.5, 1 / 3) + 1 / 6
    for i in range(len(p)):
        x, y = np.floor(p.xyz_px[i, :2]).astype(int)
        xs = np.arange(max(x - 5, 0), min(x + 6, N))
        ys = np.arange(max(y - 5, 0), min(y + 6, N))
        if not len(xs) or not len(ys):
            continue
        gy, gx = np.meshgrid((ys[:, None] + 0.5 + fine).ravel(), (xs[:, None] + 0.5 + fine).ravel(), indexing="ij")
        lab = detector.lab_of_pixels(np.zeros(gx.size, int), np.column_stack([gx.ravel(), gy.ravel()]))
        ray = lab / np.linalg.norm(lab, axis=1, keepdims=True)
        density = np.exp(-0.5 * ((ray @ e1[i]) ** 2 + (ray @ e2[i]) ** 2) / one**2)
        total = density.reshape(len(ys), 3, len(xs), 3).sum(axis=(1, 3))
        # the sum over a spot that is not cut by the panel's edge
        point = lab[len(lab) // 2]
        solid_angle = 0.04 * abs(point @ detector[0].normal) / np.linalg.norm(point) ** 3
        full = 9 * 2 * np.pi * one**2 / solid_angle
        c = abs(z[i]) / (np.sqrt(2) * SIGMA_M)
        rocking = 0.5 * np.abs(np.diff(erf(c * (boundary - p.xyz_mm[i, 2]))))
        frames[:, ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1] += intensity[i] * rocking[:, None, None] * total / full
    return frames


def spots_of(p: PredictedReflections, intensity: np.ndarray, experiment: Experiment) -> ReflectionTable:
    """A strong-spot table without shoeboxes, with the moments such spots have."""
    scan = experiment.scan
    first, last = scan.array_range
    z = zeta(experiment.goniometer.lab_axis, experiment.beam.s0, p.s1)
    rows = np.flatnonzero(
        (intensity > 300) & (p.xyz_px[:, 2] > first + 2) & (p.xyz_px[:, 2] < last - 2) & (np.abs(z) > 0.1)
    )
    spread_px = SIGMA_B / np.sqrt(2) * 120 / 0.2
    spread_z = SIGMA_M / np.abs(z[rows]) / np.deg2rad(scan.width)
    total = intensity[rows]
    variance = (
        np.column_stack([np.full((len(rows), 2), spread_px**2 + 1 / 12), spread_z**2 + 1 / 12]) / total[:, None]
        + 1 / 12
    )
    depth = np.ceil(2.5 * spread_z).astype(int)
    centre = np.floor(p.xyz_px[rows]).astype(int)
    box = np.column_stack(
        [
            centre[:, 0] - 3,
            centre[:, 0] + 4,
            centre[:, 1] - 3,
            centre[:, 1] + 4,
            centre[:, 2] - depth,
            centre[:, 2] + depth + 1,
        ]
    )
    return ReflectionTable(
        {
            "miller_index": p.miller_index[rows], "entering": p.entering[rows], "panel": p.panel[rows],
            "id": np.zeros(len(rows)),
            "flags": np.full(len(rows), Flag.STRONG | Flag.INDEXED | Flag.USED_IN_REFINEMENT),
            "bbox": box, "n_signal": np.full(len(rows), 500), "intensity.sum.value": total,
            "xyzobs.px.value": p.xyz_px[rows], "xyzobs.px.variance": variance, "xyzcal.px": p.xyz_px[rows],
        },
        {0: experiment.identifier},
    )  # fmt: skip


def make_sweep(
    seed: int = 1, background: float = 0.4, n_images: int = 30, weak: float = 1.0, d_min: float | None = None,
    cell: tuple[float, ...] = (50, 56, 62, 90, 95, 90),
) -> Sweep:  # fmt: skip
    experiment = make_experiment(n_images, cell=cell)
    p = predict_all(experiment, d_min=d_min, padding=1.0)
    rng = np.random.default_rng(seed)
    intensity = weak * 10 ** rng.uniform(0.5, 4.0, len(p))
    frames = rng.poisson(expected_frames(experiment, p, intensity, background)).astype(np.uint16)
    stack = MemoryStack(frames, np.ones((N, N), dtype=bool))
    return Sweep(experiment, stack, p, intensity, spots_of(p, intensity, experiment))


@pytest.fixture(scope="session")
def sweep() -> Sweep:
    return make_sweep()


@pytest.fixture
def simulate() -> SimpleNamespace:
    """The functions that make sweeps."""
    return SimpleNamespace(expected_frames=expected_frames, spots_of=spots_of, make_sweep=make_sweep)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch):
    """``serve(sweep, frames=…, good=…, broken=…)``: the images the integration will read."""

    def set_stack(sweep: Sweep, **changes: object) -> None:
        stack = replace(sweep.stack, **changes)
        monkeypatch.setattr("mxdask.integrate.measure.open_stack", lambda _: stack)

    return set_stack
