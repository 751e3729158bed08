"""Predicted positions of given reflections (front.md 11.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.geometry.predict_kernels import crossings
from mxdask.models import Experiment, Goniometer


@dataclass(frozen=True)
class Prediction:
    """Where n reflections are expected.

    Attributes
    ----------
    s1 : (n, 3) Å⁻¹, laboratory frame.
    xyz_mm : (n, 3) mm, mm on the given panel, radians.
    xyz_px : (n, 3) pixels, pixels, image coordinate.
    possible : (n,) bool, False where the point never meets the Ewald sphere or the ray goes away from the panel;
        the other fields hold the closest approach there.
    """

    s1: np.ndarray
    xyz_mm: np.ndarray
    xyz_px: np.ndarray
    possible: np.ndarray


def unit_axis(goniometer: Goniometer) -> np.ndarray:
    """(3,) the scan axis at datum as a unit vector: headers give it to a few digits only."""
    axis = goniometer.rotation_axis
    return axis / np.linalg.norm(axis)


def predict_given(
    experiment: Experiment,
    miller_index: np.ndarray,
    entering: np.ndarray,
    panel: np.ndarray,
    phi_observed: np.ndarray,
    A: np.ndarray | None = None,
    block: np.ndarray | None = None,
) -> Prediction:
    """Positions of reflections that were observed: the root is known, the turn is that nearest to the observation.

    Parameters
    ----------
    miller_index : (n, 3) integers.
    entering : (n,) bool, s1·(s0 × axis) < 0.
    panel : (n,) panel each reflection was observed on.
    phi_observed : (n,) radians.
    A, block : (b, 3, 3) Å⁻¹ setting matrices and, per reflection, which one holds; default the static crystal's.
    """
    beam, detector, goniometer = experiment.beam, experiment.detector, experiment.goniometer
    scan, crystal = experiment.scan, experiment.crystal
    assert beam is not None and detector is not None and goniometer is not None and scan is not None
    n = len(miller_index)
    if A is None:
        assert crystal is not None
        A = crystal.A[None]
    block = np.zeros(n, dtype=np.int64) if block is None else np.ascontiguousarray(block, dtype=np.int64)
    S = goniometer.setting_rotation
    s1, phi, crosses = np.empty((n, 3)), np.empty(n), np.empty(n, dtype=np.bool_)
    crossings(
        np.ascontiguousarray(miller_index, dtype=np.float64), block, goniometer.fixed_rotation @ A,
        S.T @ beam.s0, unit_axis(goniometer), np.ascontiguousarray(entering, dtype=np.bool_),
        np.ascontiguousarray(phi_observed, dtype=np.float64), s1, phi, crosses,
    )  # fmt: skip
    s1 = s1 @ S.T
    xy_mm, xy_px, forward = np.empty((n, 2)), np.empty((n, 2)), np.zeros(n, dtype=np.bool_)
    panel = np.asarray(panel, dtype=np.int64)
    for index in np.unique(panel):
        rows = panel == index
        xy_mm[rows], forward[rows] = detector[int(index)].ray_mm(s1[rows])
        xy_px[rows] = detector[int(index)].mm_to_pixel(xy_mm[rows])
    return Prediction(
        s1,
        np.column_stack([xy_mm, phi]),
        np.column_stack([xy_px, scan.frame(phi)]),
        crosses & forward,
    )
