"""Observed positions on the detector → angles, wave vectors, reciprocal lattice points (front.md 9.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.models import Beam, Detector, Experiment, Goniometer, rotation_matrix
from mxdask.table import ReflectionTable


@dataclass(frozen=True)
class MappedSpots:
    """Positions of n spots in every frame of reference.

    Attributes
    ----------
    s1 : (n, 3) Å⁻¹, diffracted wave vector, laboratory frame, |s1| = 1/λ.
    rlp : (n, 3) Å⁻¹, reciprocal lattice point in the goniometer datum frame.
    entering : (n,) bool, s1·(s0 × axis) < 0.
    """

    s1: np.ndarray
    rlp: np.ndarray
    entering: np.ndarray


def centroids_mm(experiment: Experiment, panel: np.ndarray, xyz_px: np.ndarray) -> np.ndarray:
    """(n, 3) mm, mm, rad of pixel/frame coordinates (n, 3)."""
    assert experiment.detector is not None and experiment.scan is not None
    xy = experiment.detector.pixel_to_mm(panel, xyz_px[:, :2])
    return np.column_stack([xy, experiment.scan.angle(xyz_px[:, 2])])


def variances_mm(experiment: Experiment, panel: np.ndarray, variance_px: np.ndarray) -> np.ndarray:
    """(n, 3) mm², mm², rad² of px², px², image² variances; a missing variance (0) becomes 1 px² (uniform weights)."""
    assert experiment.detector is not None and experiment.scan is not None
    sizes = np.array([p.pixel_size for p in experiment.detector.panels])[np.asarray(panel, dtype=np.int64)]
    width = np.deg2rad(experiment.scan.width)
    scale = np.column_stack([sizes**2, np.full(len(sizes), width**2)])
    return np.where(variance_px > 0, variance_px, 1.0) * scale


def wave_vectors(beam: Beam, detector: Detector, panel: np.ndarray, xy_mm: np.ndarray) -> np.ndarray:
    """(n, 3) s1 (Å⁻¹) of positions on panels (mm)."""
    panel = np.asarray(panel)
    lab = np.zeros((len(panel), 3))
    for index in np.unique(panel):
        rows = panel == index
        lab[rows] = detector[int(index)].lab_coord(xy_mm[rows])
    return lab / np.linalg.norm(lab, axis=1, keepdims=True) / beam.wavelength


def to_datum_frame(goniometer: Goniometer, q_lab: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """(n, 3) Fᵀ·R(e, −φ)·Sᵀ·q for laboratory vectors q (n, 3) at angles φ (n,) radians."""
    q = np.einsum("nij,nj->ni", rotation_matrix(goniometer.rotation_axis, -phi), q_lab @ goniometer.setting_rotation)
    return q @ goniometer.fixed_rotation


def is_entering(beam: Beam, goniometer: Goniometer, s1: np.ndarray) -> np.ndarray:
    """(n,) DIALS' definition: s1·(s0 × axis) < 0."""
    return s1 @ np.cross(beam.s0, goniometer.lab_axis) < 0


def map_spots(experiment: Experiment, panel: np.ndarray, xyz_mm: np.ndarray) -> MappedSpots:
    """All frames of reference of spots at (mm, mm, rad)."""
    beam, detector, goniometer = experiment.beam, experiment.detector, experiment.goniometer
    assert beam is not None and detector is not None and goniometer is not None
    s1 = wave_vectors(beam, detector, panel, xyz_mm[:, :2])
    rlp = to_datum_frame(goniometer, s1 - beam.s0, xyz_mm[:, 2])
    return MappedSpots(s1, rlp, is_entering(beam, goniometer, s1))


def map_centroids(experiment: Experiment, table: ReflectionTable) -> ReflectionTable:
    """The table with xyzobs.mm.*, s1, rlp and entering from xyzobs.px.* of ONE experiment's geometry."""
    out = table.copy()
    panel = table["panel"].astype(np.int64)
    xyz_mm = centroids_mm(experiment, panel, table["xyzobs.px.value"])
    mapped = map_spots(experiment, panel, xyz_mm)
    out["xyzobs.mm.value"] = xyz_mm
    out["xyzobs.mm.variance"] = variances_mm(experiment, panel, table["xyzobs.px.variance"])
    out["s1"], out["rlp"], out["entering"] = mapped.s1, mapped.rlp, mapped.entering
    return out
