"""Shadows of goniometers on detectors, as a function of the scan angle (front.md 5.2).

A goniometer's solid parts are given by points fixed to its axes. Seen from the sample, their convex hull hides the
detector.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np

from mxdask.masks.polygon import Runs, clip_to_rectangle, convex_hull, polygon_area, polygon_runs
from mxdask.models import Detector, Goniometer, Panel, rotation_matrix

# Points closer than this to the plane through the sample, parallel to the panel, cast no shadow on it.
_BEHIND = 1e-5


@dataclass(frozen=True, eq=False)
class Solid:
    """What of a goniometer casts a shadow.

    Attributes
    ----------
    points : (n, 3) mm, all angles at zero; ``axis`` (n,) the axis each is fixed to, from 0 at the crystal.
    is_aperture : the points bound an opening: all else is in the shadow (diamond anvil cell).
    arm : further points (n, 3) in the laboratory for the angles (deg) of all axes, or None.
    """

    points: np.ndarray
    axis: np.ndarray
    is_aperture: bool = False
    arm: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None


@dataclass(frozen=True, eq=False)
class Shadow:
    """The shadow of one goniometer on one detector; picklable, evaluated for one scan angle at a time."""

    detector: Detector
    goniometer: Goniometer
    solid: Solid

    def points(self, angle: float) -> np.ndarray:
        """(n, 3) mm points of the solid in the laboratory at a scan angle (deg)."""
        axes, angles = cast(np.ndarray, self.goniometer.axes), np.array(self.goniometer.angles)
        angles[self.goniometer.scan_axis] = angle
        points = self.solid.points
        for number, (axis, turn) in enumerate(zip(axes, angles, strict=True)):
            turned = points @ rotation_matrix(axis, np.deg2rad(turn)).T
            points = np.where((self.solid.axis <= number)[:, None], turned, points)
        if self.solid.arm is not None:
            points = np.concatenate([points, self.solid.arm(axes, angles)])
        return points

    def outlines(self, angle: float) -> list[np.ndarray]:
        """Per panel the (n, 2) corners (fast, slow; px) of the convex region that the points cover, (0, 2) for none."""
        points = self.points(angle)
        return [_outline(panel, points) for panel in self.detector.panels]

    def runs(self, angle: float) -> list[Runs]:
        """Per panel the pixels whose centre is within the outline (of an aperture: those that see the sample)."""
        return [
            polygon_runs(outline, (panel.image_size[1], panel.image_size[0]))
            for panel, outline in zip(self.detector.panels, self.outlines(angle), strict=True)
        ]

    def masks(self, angle: float) -> tuple[np.ndarray, ...]:
        """Per panel a (slow, fast) bool array, False in the shadow."""
        out = []
        for panel, runs in zip(self.detector.panels, self.runs(angle), strict=True):
            mask = np.full(panel.image_size[::-1], not self.solid.is_aperture)
            runs.fill(mask, self.solid.is_aperture)
            out.append(mask)
        return tuple(out)

    def fraction(self, angle: float) -> float:
        """Shadowed part of the detector's area, 0 to 1."""
        total = sum(panel.image_size[0] * panel.image_size[1] for panel in self.detector.panels)
        covered = sum(polygon_area(outline) for outline in self.outlines(angle)) / total
        return 1.0 - covered if self.solid.is_aperture else covered


def _outline(panel: Panel, points: np.ndarray) -> np.ndarray:
    v = points @ panel.D_matrix.T
    v = v[v[:, 2] > _BEHIND]
    if len(v) < 3:
        return np.zeros((0, 2))
    hull = convex_hull(v[:, :2] / v[:, 2:])
    if len(hull) < 3:
        return np.zeros((0, 2))
    width, height = (n * size for n, size in zip(panel.image_size, panel.pixel_size, strict=True))
    return clip_to_rectangle(hull, width, height) / panel.pixel_size
