"""Every reflection of a rotation scan: which, where on the detector, at which angle (back.md 4, front.md 11).

The indices inside the resolution limit are enumerated once; solving for their angles costs the same for 10 images as
for 10,000 (limits.md 5), so nothing is gained by cutting the scan.
"""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np

from mxdask.errors import MxdaskError
from mxdask.geometry.predict_all_kernels import indices_in_sphere, static_crossings, varying_crossings
from mxdask.models import Crystal, Experiment, Goniometer, rotation_matrix


@dataclass(frozen=True)
class PredictedReflections:
    """n predicted reflections, ordered by frame coordinate, then h, k, l.

    Attributes
    ----------
    miller_index : (n, 3) i4.
    entering : (n,) bool, s1·(s0 × axis) < 0.
    panel : (n,) i8.
    s1 : (n, 3) Å⁻¹, laboratory frame.
    xyz_px : (n, 3) pixels, pixels, frame coordinate.
    xyz_mm : (n, 3) mm, mm, radians.
    """

    miller_index: np.ndarray
    entering: np.ndarray
    panel: np.ndarray
    s1: np.ndarray
    xyz_px: np.ndarray
    xyz_mm: np.ndarray

    def __len__(self) -> int:
        return len(self.panel)


def predict_all(
    experiment: Experiment,
    *,
    d_min: float | None = None,
    padding: float = 1.0,
    force_static: bool = False,
    only: np.ndarray | None = None,
) -> PredictedReflections:
    """All reflections of a scan that hit the detector.

    Parameters
    ----------
    experiment : with beam, detector, goniometer, scan (Δφ ≠ 0) and crystal; a crystal (or beam, or setting rotation)
        known at the image boundaries is predicted image by image along a straight path in between.
    d_min : Å; None takes the detector's far corner. Never beyond λ/2.
    padding : degrees before and after the scan in which reflections are predicted too; their tails are on the images.
    force_static : ignore scan-varying models.
    only : (m, 3) indices to look for; None looks for all inside d_min.

    Raises
    ------
    MxdaskError : still images, or a model is missing.
    """
    beam, detector, goniometer = experiment.beam, experiment.detector, experiment.goniometer
    scan, crystal = experiment.scan, experiment.crystal
    if beam is None or detector is None or goniometer is None or scan is None or crystal is None:
        raise MxdaskError(
            f"{experiment.name}: prediction needs beam, detector, goniometer, scan and crystal; index first"
        )
    if scan.is_still:
        raise MxdaskError(f"{experiment.name}: the images are stills; only rotation data can be predicted")
    limit = max(detector.d_min(beam.s0) if d_min is None else d_min, beam.wavelength / 2)
    first, last = scan.array_range
    pad = padding / abs(scan.width)
    varying = not force_static and (
        crystal.A_at_scan_points is not None
        or beam.s0_at_scan_points is not None
        or goniometer.setting_rotation_at_scan_points is not None
    )
    if varying:
        indices, s1, z = _varying(experiment, limit, pad, only)
    else:
        indices, s1, z = _static(experiment, limit, first - pad, last + pad, only)
    return _on_detector(experiment, indices, s1, z)


def centring_translations(crystal: Crystal) -> np.ndarray:
    """(n, 3) i8 lattice-centring translations in twelfths of the cell, without the null translation."""
    operations = crystal.space_group.operations()
    translations = np.array(list(operations.cen_ops), dtype=np.int64) * 12 // gemmi.Op.DEN
    return translations[np.any(translations != 0, axis=1)]


def allowed_indices(crystal: Crystal, A: np.ndarray, d_min: float) -> np.ndarray:
    """(n, 3) i4 indices inside 1/d_min of setting matrix ``A`` (3, 3), without those that centring forbids."""
    real = np.linalg.inv(A)
    limits = np.floor(np.linalg.norm(real, axis=1) / d_min).astype(np.int64) + 1
    return indices_in_sphere(np.ascontiguousarray(A), float(d_min), centring_translations(crystal), limits)


def _candidates(crystal: Crystal, A: np.ndarray, d_min: float, only: np.ndarray | None) -> np.ndarray:
    """(n, 3) i4 distinct indices to solve for."""
    if only is None:
        return allowed_indices(crystal, A, d_min)
    distinct = np.unique(np.asarray(only, dtype=np.int32).reshape(-1, 3), axis=0)
    q = np.linalg.norm(distinct @ A.T, axis=1)
    return np.ascontiguousarray(distinct[(q > 0) & (q <= 1 / d_min)])


def _static(
    experiment: Experiment, d_min: float, z_a: float, z_b: float, only: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    beam, goniometer, scan, crystal = experiment.beam, experiment.goniometer, experiment.scan, experiment.crystal
    assert beam is not None and goniometer is not None and scan is not None and crystal is not None
    A = goniometer.rotation(0.0) @ crystal.A
    indices = _candidates(crystal, A, d_min, only)
    low, high = sorted((float(scan.angle(z_a)), float(scan.angle(z_b))))
    axis = goniometer.lab_axis / np.linalg.norm(goniometer.lab_axis)
    rows, phi = static_crossings(indices, np.ascontiguousarray(A), beam.s0, axis, low, high)
    h = indices[rows]
    r = np.einsum("nij,nj->ni", rotation_matrix(axis, phi), h @ A.T)
    return h, beam.s0 + r, np.asarray(scan.frame(phi))


def _varying(
    experiment: Experiment, d_min: float, pad: float, only: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    beam, goniometer, scan, crystal = experiment.beam, experiment.goniometer, experiment.scan, experiment.crystal
    assert beam is not None and goniometer is not None and scan is not None and crystal is not None
    first, last = scan.array_range
    n_pad = int(np.ceil(pad))
    boundary = np.arange(first - n_pad, last + n_pad + 1)
    phi = np.asarray(scan.angle(boundary))
    inside = np.clip(boundary - first, 0, last - first)
    points = len(inside)
    crystals = _at_boundaries(crystal.A_at_scan_points, crystal.A, inside)
    beams = _at_boundaries(beam.s0_at_scan_points, beam.s0, inside)
    settings = _at_boundaries(goniometer.setting_rotation_at_scan_points, goniometer.setting_rotation, inside)
    rotations = rotation_matrix(goniometer.rotation_axis, phi)
    matrices = settings @ rotations @ goniometer.fixed_rotation @ crystals

    # The middle boundary's models are the static ones from which the images to search are found.
    middle = points // 2
    axis = settings[middle] @ goniometer.rotation_axis
    axis = axis / np.linalg.norm(axis)
    turned_back = rotation_matrix(axis, -phi) @ matrices
    A = turned_back[middle]
    epsilon = float(np.linalg.norm(turned_back @ np.linalg.inv(A) - np.eye(3), ord=2, axis=(1, 2)).max())
    delta = float(np.linalg.norm(beams - beams[middle], axis=1).max())
    indices = _candidates(crystal, A, d_min / (1 + epsilon), only)
    rows, frame, alpha = varying_crossings(
        indices, np.ascontiguousarray(A), beams[middle], axis, 1.01 * epsilon + 1e-9, 1.01 * delta,
        float(phi[0]), float(np.deg2rad(scan.width)), np.ascontiguousarray(matrices), np.ascontiguousarray(beams),
        1.0 / d_min**2,
    )  # fmt: skip
    h = indices[rows]
    ends = [np.einsum("nij,nj->ni", matrices[frame + i], h) for i in (0, 1)]
    r = ends[0] + alpha[:, None] * (ends[1] - ends[0])
    s0 = beams[frame] + alpha[:, None] * (beams[frame + 1] - beams[frame])
    z = boundary[frame] + alpha
    keep = (z >= first - pad) & (z <= last + pad)
    return h[keep], (s0 + r)[keep], z[keep]


def _at_boundaries(points: np.ndarray | None, constant: np.ndarray, inside: np.ndarray) -> np.ndarray:
    if points is None:
        return np.broadcast_to(constant, (len(inside), *constant.shape))
    return points[np.minimum(inside, len(points) - 1)]


def _on_detector(experiment: Experiment, h: np.ndarray, s1: np.ndarray, z: np.ndarray) -> PredictedReflections:
    beam, detector, goniometer, scan = experiment.beam, experiment.detector, experiment.goniometer, experiment.scan
    assert beam is not None and detector is not None and goniometer is not None and scan is not None
    panel, xy_mm = detector.ray_intersection(s1)
    hit = panel >= 0
    h, s1, z, panel, xy_mm = h[hit], s1[hit], z[hit], panel[hit], xy_mm[hit]
    order = np.lexsort((h[:, 2], h[:, 1], h[:, 0], z))
    h, s1, z, panel, xy_mm = h[order], s1[order], z[order], panel[order], xy_mm[order]
    xy_px = detector.mm_to_pixel(panel, xy_mm)
    entering = _entering(beam.s0, goniometer, s1)
    return PredictedReflections(
        h.astype(np.int32), entering, panel, s1, np.column_stack([xy_px, z]), np.column_stack([xy_mm, scan.angle(z)])
    )


def _entering(s0: np.ndarray, goniometer: Goniometer, s1: np.ndarray) -> np.ndarray:
    return s1 @ np.cross(s0, goniometer.lab_axis) < 0
