"""Detector distance and orientation that several sweeps agree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from mxdask.models import Detector, Panel

MIN_SWEEPS = 3
# How far a detector may be expected off its import (standard deviation): rad, and fraction of the distance.
_TILT, _DISTANCE = 2e-3, 0.01


@dataclass(frozen=True, eq=False)
class Displacement:
    """How a refined detector lies against the imported one.

    Attributes
    ----------
    rotation : (3,) rotation vector (rad) along the imported normal, fast and slow axes of the first panel.
    distance : mm by which it is farther away, along the normal.
    """

    rotation: np.ndarray
    distance: float

    @classmethod
    def between(cls, imported: Detector, refined: Detector) -> Displacement:
        """What turns the imported detector into the refined one, both seen from their first panel."""
        old, new = _frame(imported[0]), _frame(refined[0])
        vector = Rotation.from_matrix(new @ old.T).as_rotvec()
        return cls(old.T @ vector, refined[0].distance - imported[0].distance)

    def applied(self, detector: Detector) -> Detector:
        """Another detector displaced likewise; the foot of the normal keeps its place on the first panel."""
        panel = detector[0]
        frame = _frame(panel)
        turn = Rotation.from_rotvec(frame @ self.rotation).as_matrix()
        foot = (panel.origin @ panel.normal) * panel.normal
        moved = foot * (1.0 + self.distance / panel.distance)

        def place(p: Panel) -> Panel:
            return p.with_frame(turn @ p.fast_axis, turn @ p.slow_axis, turn @ (p.origin - foot) + moved)

        return detector.with_panels(tuple(place(p) for p in detector.panels))


def _frame(panel: Panel) -> np.ndarray:
    """(3, 3) columns normal, fast, slow (made orthogonal)."""
    normal = panel.normal
    return np.column_stack([normal, panel.fast_axis, np.cross(normal, panel.fast_axis)])


def with_beam_centre_of(detector: Detector, s0: np.ndarray, other: Detector, other_s0: np.ndarray) -> Detector:
    """A detector moved in its plane so that the direct beam meets the first panel where it does on another detector."""
    here, there = detector[0].ray_mm(s0[None])[0][0], other[0].ray_mm(other_s0[None])[0][0]
    shift = (here - there) @ np.array([detector[0].fast_axis, detector[0].slow_axis])
    panels = [p.with_frame(p.fast_axis, p.slow_axis, p.origin + shift) for p in detector.panels]
    return detector.with_panels(tuple(panels))


def agreed_displacement(
    found: Sequence[Displacement], weights: Sequence[float], distance: float
) -> Displacement | None:
    """Displacement that the detectors of several sweeps have in common; None for fewer than three.

    A crystal that slips or turns slowly while a narrow wedge is recorded looks like one on a turned or farther
    detector. It does so differently for every crystal, while the detector is the same: the median over the sweeps
    tells the one from the other. Beam centres are left out, for crystals are not all centred alike. Where the sweeps
    scatter, the imported value keeps the weight that its own uncertainty gives it.

    Parameters
    ----------
    found : of each sweep, by itself.
    weights : of each sweep in the median (its number of indexed spots).
    distance : mm, of the imported detector.
    """
    if len(found) < MIN_SWEEPS:
        return None
    values = np.array([[*d.rotation, d.distance] for d in found])
    sigmas = [_TILT, _TILT, _TILT, _DISTANCE * distance]
    middle = [_shrunk(column, np.asarray(weights, dtype=float), s) for column, s in zip(values.T, sigmas, strict=True)]
    return Displacement(np.array(middle[:3]), middle[3])


def _shrunk(values: np.ndarray, weights: np.ndarray, sigma: float) -> float:
    """Weighted median, drawn towards zero as its uncertainty compares with the ``sigma`` expected of the value."""
    middle = _weighted_median(values, weights)
    spread = 1.4826 * _weighted_median(np.abs(values - middle), weights)
    return middle * sigma**2 / (sigma**2 + spread**2 / len(values))


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """Where half of the weight lies on either side, interpolated between values (each in the middle of its weight)."""
    order = np.argsort(values, kind="stable")
    share = weights[order] / weights.sum()
    return float(np.interp(0.5, np.cumsum(share) - 0.5 * share, values[order]))
