"""The spots of the sweeps that are indexed together, in reciprocal space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mxdask.geometry.mapping import map_spots, to_datum_frame
from mxdask.models import Detector, Experiment
from mxdask.table import ReflectionTable


@dataclass(frozen=True, eq=False)
class SweepSpots:
    """Spots of one or several sweeps of (perhaps) one crystal.

    Attributes
    ----------
    sweeps : one experiment without crystal per sweep, with the geometry that ``rlp`` was computed with.
    table : all spots; ``imageset_id`` counts the entries of ``sweeps``.
    rlp : (n, 3) Å⁻¹, goniometer datum frame.
    """

    sweeps: tuple[Experiment, ...]
    table: ReflectionTable
    rlp: np.ndarray

    @classmethod
    def of(cls, sweeps: Sequence[Experiment], table: ReflectionTable) -> SweepSpots:
        """Map positions (xyzobs.mm.value) to reciprocal space with the geometry of the sweeps."""
        rlp = np.zeros((len(table), 3))
        for k, experiment in enumerate(sweeps):
            rows = table["imageset_id"] == k
            rlp[rows] = map_spots(experiment, table["panel"][rows], table["xyzobs.mm.value"][rows]).rlp
        return cls(tuple(sweeps), table, rlp)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def d(self) -> np.ndarray:
        """(n,) resolution of every spot, Å."""
        return 1.0 / np.maximum(np.linalg.norm(self.rlp, axis=1), 1e-9)

    @cached_property
    def shift_gradient(self) -> np.ndarray:
        """(n, 3, 2) Å⁻¹ per px: how the points move when all spots move along the panel's fast and slow axis."""
        gradient = np.zeros((len(self.table), 3, 2))
        for k, experiment in enumerate(self.sweeps):
            assert experiment.detector is not None and experiment.beam is not None and experiment.goniometer is not None
            rows = np.nonzero(self.table["imageset_id"] == k)[0]
            mm = self.table["xyzobs.mm.value"][rows]
            for index in np.unique(self.table["panel"][rows]):
                panel = experiment.detector[int(index)]
                here = self.table["panel"][rows] == index
                lab = panel.lab_coord(mm[here, :2])
                length = np.linalg.norm(lab, axis=1, keepdims=True)
                for axis, vector in enumerate(_shift_vectors(experiment.detector)):
                    across = vector - lab / length**2 * (lab @ vector)[:, None]
                    ds1 = across / length / experiment.beam.wavelength
                    gradient[rows[here], :, axis] = to_datum_frame(experiment.goniometer, ds1, mm[here, 2])
        return gradient

    def with_geometry(self, sweeps: Sequence[Experiment]) -> SweepSpots:
        """The same spots seen with other models."""
        return SweepSpots.of(sweeps, self.table)

    def shifted(self, shift_px: np.ndarray) -> SweepSpots:
        """All detectors moved by (fast, slow) pixels; detectors that were shared stay so."""
        if not np.any(shift_px):
            return self
        moved: dict[int, Detector] = {}
        sweeps = []
        for experiment in self.sweeps:
            detector = experiment.detector
            assert detector is not None
            if id(detector) not in moved:
                offset = sum(s * v for s, v in zip(shift_px, _shift_vectors(detector), strict=True))
                moved[id(detector)] = detector.with_panels(
                    tuple(replace(p, origin=p.origin + offset) for p in detector.panels)
                )
            sweeps.append(experiment.evolve(detector=moved[id(detector)]))
        return self.with_geometry(sweeps)

    def with_axis_inverted(self) -> SweepSpots:
        """The same spots as if every rotation axis pointed the other way."""
        table = self.table.copy()
        table["entering"] = ~table["entering"].astype(bool)
        sweeps = [e.evolve(goniometer=e.goniometer.with_scan_axis_inverted()) for e in self.sweeps if e.goniometer]
        return SweepSpots.of(sweeps, table)

    def select(self, rows: np.ndarray) -> SweepSpots:
        """Some of the spots."""
        return SweepSpots(self.sweeps, self.table.select(rows), self.rlp[rows])


def _shift_vectors(detector: Detector) -> tuple[np.ndarray, np.ndarray]:
    """One pixel (mm, laboratory frame) along the fast and slow axes of the first panel."""
    panel = detector[0]
    return panel.fast_axis * panel.pixel_size[0], panel.slow_axis * panel.pixel_size[1]
