"""Parameters of a detector: six of a rigid body, for all panels together or per group (front.md 12.4)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mxdask.modelfit.rotations import composed, nearest_values
from mxdask.models import Beam, Detector, Panel

NAMES = ("Dist", "Shift1", "Shift2", "Tau1", "Tau2", "Tau3")
_WORDS = {"all": range(6), "position": (0, 1, 2), "orientation": (3, 4, 5), "distance": (0, 4, 5)}


@dataclass(frozen=True)
class RigidGroup:
    """Panels that move together.

    The frame (fast, slow, normal) is that of one panel; turns are about the foot of the normal from the sample, so
    that tilts change the distance of no ray there: x' = Q·(x − P) + P + Dist·n + Q·(Shift1·f + Shift2·s) with
    Q = R(s, Tau3)·R(f, Tau2)·R(n, Tau1); lengths in mm, angles in mrad.
    """

    panels: tuple[int, ...]
    fast: np.ndarray
    slow: np.ndarray
    normal: np.ndarray
    foot: np.ndarray

    @classmethod
    def of(cls, detector: Detector, panels: tuple[int, ...], beam: Beam) -> RigidGroup:
        """The frame is that of the panel the beam would come closest to in direction."""
        direction = beam.s0 / np.linalg.norm(beam.s0)
        centres = [_centre(detector[i]) for i in panels]
        nearest = int(np.argmax([c @ direction / np.linalg.norm(c) for c in centres]))
        panel = detector[panels[nearest]]
        normal = panel.normal
        return cls(panels, panel.fast_axis, np.cross(normal, panel.fast_axis), normal, (panel.origin @ normal) * normal)

    @cached_property
    def axes(self) -> np.ndarray:
        return np.array([self.normal, self.fast, self.slow])

    def moved(self, d: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Panel matrices (k, 3, 3) after the move, and derivatives (k, 6, 3, 3).

        ``d`` (k, 3, 3) has the columns fast, slow, origin.
        """
        Q, dQ = composed(self.axes, values[3:])
        arm = d.copy()
        arm[:, :, 2] += values[1] * self.fast + values[2] * self.slow - self.foot
        new = Q @ arm
        new[:, :, 2] += self.foot + values[0] * self.normal
        derivative = np.zeros((len(d), 6, 3, 3))
        derivative[:, 0, :, 2] = self.normal
        derivative[:, 1, :, 2] = Q @ self.fast
        derivative[:, 2, :, 2] = Q @ self.slow
        derivative[:, 3:] = dQ @ arm[:, None]
        return new, derivative


@dataclass(frozen=True)
class DetectorParameters:
    """Shifts about a starting detector: six per group, in the order of NAMES."""

    detector: Detector
    groups: tuple[RigidGroup, ...]

    @classmethod
    def of(cls, detector: Detector, beam: Beam, hierarchy_level: int = 0) -> DetectorParameters:
        """``hierarchy_level`` 0 moves all panels as one body, 1 the root's children, and so on."""
        members = panel_groups(detector, hierarchy_level)
        return cls(detector, tuple(RigidGroup.of(detector, panels, beam) for panels in members))

    @property
    def size(self) -> int:
        """Three shifts and three turns for every rigid group."""
        return 6 * len(self.groups)

    @property
    def names(self) -> list[str]:
        """Names of the parameters."""
        if len(self.groups) == 1:
            return list(NAMES)
        return [f"Group{g + 1}{name}" for g in range(len(self.groups)) for name in NAMES]

    @cached_property
    def panel_offset(self) -> np.ndarray:
        """(panels,) first parameter of each panel's group."""
        offset = np.full(len(self.detector), -1, dtype=np.int64)
        for g, group in enumerate(self.groups):
            offset[list(group.panels)] = 6 * g
        return offset

    @cached_property
    def _d0(self) -> np.ndarray:
        return np.array([panel.d_matrix for panel in self.detector.panels])

    def d_and_derivatives(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """d (panels, 3, 3) and dd (panels, 6, 3, 3) by the parameters of the panel's own group."""
        d, derivative = self._d0.copy(), np.zeros((len(self.detector), 6, 3, 3))
        for g, group in enumerate(self.groups):
            rows = list(group.panels)
            d[rows], derivative[rows] = group.moved(self._d0[rows], values[6 * g : 6 * g + 6])
        return d, derivative

    def values_of(self, detector: Detector) -> np.ndarray:
        """The parameters at which this detector's panels are nearest to another's (which has as many)."""
        out = np.zeros(self.size)
        for g, group in enumerate(self.groups):
            rows = list(group.panels)
            # A turn of 1 rad counts as much as a shift by the distance.
            scale = np.array([1.0, 1.0, 1.0 / max(float(np.linalg.norm(group.foot)), 1.0)])
            target = np.array([detector[i].d_matrix for i in rows]) * scale

            def state(
                values: np.ndarray, group: RigidGroup = group, rows: list[int] = rows, scale: np.ndarray = scale
            ) -> tuple[np.ndarray, np.ndarray]:
                d, derivative = group.moved(self._d0[rows], values)
                return d * scale, np.moveaxis(derivative * scale, 1, 0)

            out[6 * g : 6 * g + 6] = nearest_values(state, target, 6)
        return out

    def model(self, values: np.ndarray) -> Detector:
        """The detector at parameter values (size,)."""
        d, _ = self.d_and_derivatives(values)
        panels = tuple(p.with_frame(m[:, 0], m[:, 1], m[:, 2]) for p, m in zip(self.detector.panels, d, strict=True))
        return self.detector.with_panels(panels)

    def fixed(self, fix: tuple[str, ...]) -> np.ndarray:
        """(size,) mask of the parameters that the words all, position, orientation, distance hold."""
        mask = np.zeros(6, dtype=bool)
        for word in fix:
            mask[list(_WORDS[word])] = True
        return np.tile(mask, len(self.groups))


def panel_groups(detector: Detector, level: int) -> list[tuple[int, ...]]:
    """Panels of each group at a level of the hierarchy; a branch that ends earlier counts as a group."""
    if level == 0 or detector.hierarchy is None:
        return [tuple(range(len(detector)))]
    nodes: list[dict[str, Any]] = [detector.hierarchy]
    for _ in range(level):
        nodes = [child for node in nodes for child in node.get("children", [node])]
    return [tuple(sorted(_panels(node))) for node in nodes]


def _panels(node: dict[str, Any]) -> list[int]:
    if "panel" in node:
        return [int(node["panel"])]
    return [index for child in node.get("children", []) for index in _panels(child)]


def _centre(panel: Panel) -> np.ndarray:
    size = np.multiply(panel.image_size, panel.pixel_size)
    return panel.lab_coord(0.5 * size)
