"""The box of pixels and images around each predicted reflection (back.md 3.2)."""

from __future__ import annotations

import numpy as np

from mxdask.geometry.kabsch import local_axes, rays_at
from mxdask.integrate.profile_model import ProfileModel
from mxdask.models import Experiment, Scan

# Boxes are twice as wide as the foreground, so that they hold enough background.
WIDTH_MULTIPLIER = 2.0


def bounding_boxes(
    experiment: Experiment,
    panel: np.ndarray,
    s1: np.ndarray,
    phi: np.ndarray,
    zeta: np.ndarray,
    model: ProfileModel,
) -> np.ndarray:
    """(n, 6) i4 boxes x0, x1, y0, y1, z0, z1 (half-open; z absolute).

    The corners (±δb, ±δb) of Kabsch's frame, projected on the panel, bound x and y (not clipped to the panel);
    φ ± δm/ζ bounds z, clipped to the scan: a reflection outside keeps the image nearest to it.
    """
    beam, detector, scan = experiment.beam, experiment.detector, experiment.scan
    assert beam is not None and detector is not None and scan is not None
    e1, e2 = local_axes(beam.s0, s1)
    sigma_b, sigma_m = model.widths_at(scan.frame(phi), scan.array_range[0])
    full = model.n_sigma * WIDTH_MULTIPLIER * sigma_b
    corners = np.empty((4, len(s1), 2))
    for i, (a, b) in enumerate(((-1, -1), (-1, 1), (1, -1), (1, 1))):
        rays = rays_at(s1, e1, e2, a * full, b * full)
        for index in np.unique(panel):
            rows = panel == index
            p = detector[int(index)]
            xy_mm, _ = p.ray_mm(rays[rows])
            corners[i, rows] = p.mm_to_pixel(xy_mm)
    box = np.empty((len(s1), 6), dtype=np.int32)
    low, high = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
    box[:, 0], box[:, 2] = low.T
    box[:, 1], box[:, 3] = high.T
    box[:, 4:] = _image_range(scan, phi, zeta, model.n_sigma * sigma_m)
    return box


def _image_range(scan: Scan, phi: np.ndarray, zeta: np.ndarray, delta_m: np.ndarray) -> np.ndarray:
    first, last = scan.array_range
    half = delta_m / np.abs(zeta)
    ends = np.sort(np.column_stack([scan.frame(phi - half), scan.frame(phi + half)]), axis=1)
    z0 = np.clip(np.floor(ends[:, 0]), first, last - 1)
    z1 = np.clip(np.ceil(ends[:, 1]), first + 1, last)
    return np.column_stack([z0, np.maximum(z1, z0 + 1)])
