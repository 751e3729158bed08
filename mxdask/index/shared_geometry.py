"""Detector distance and orientation that several sweeps agree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from mxdask.models import Detector, Panel

MIN_SWEEPS = 3


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
        old, new = _frame(imported[0]), _frame(refined[0])
        vector = Rotation.from_matrix(new @ old.T).as_rotvec()
        return cls(old.T @ vector, refined[0].distance - imported[0].distance)

    def applied(self, detector: Detector) -> Detector:
        """Another detector displaced likewise; the point where the normal meets the first panel keeps its place on it."""
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


def agreed_displacement(pairs: Sequence[tuple[Detector, Detector]]) -> Displacement | None:
    """Median displacement of the (imported, refined) detectors of several sweeps; None for fewer than three.

    A crystal that slips or turns slowly while a narrow wedge is recorded looks like one on a turned or farther
    detector. It does so differently for every crystal, while the detector is the same: the median over the sweeps
    tells the one from the other. Beam centres are left out, for crystals are not all centred alike.
    """
    if len(pairs) < MIN_SWEEPS:
        return None
    found = [Displacement.between(*pair) for pair in pairs]
    return Displacement(
        np.median([d.rotation for d in found], axis=0), float(np.median([d.distance for d in found]))
    )
