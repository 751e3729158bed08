"""The columns that symmetry, scaling and merging need, made from what other programs write."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np

from mxdask.models import Experiment
from mxdask.table import Flag, ReflectionTable


@dataclass(frozen=True, eq=False)
class Observed:
    """Reflections of one experiment.

    Attributes
    ----------
    hkl : (n, 3) as measured, consistent with the crystal's orientation.
    xyz : (n, 3) px, px, frame coordinate.
    intensity, sigma : (n,) corrected for Lorentz and polarisation.
    correction : (n,) factor between counts and corrected intensity, 1 where unknown.
    partiality : (n,) recorded fraction; intensities are of the whole reflection all the same.
    correlation : (n,) of the fitted profile, or None.
    """

    hkl: np.ndarray
    xyz: np.ndarray
    intensity: np.ndarray
    sigma: np.ndarray
    correction: np.ndarray
    partiality: np.ndarray
    correlation: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.hkl)


def reflection_table(experiment: Experiment, observed: Observed, *, oriented: bool = True) -> ReflectionTable:
    """Integrated reflections with id 0; the intensity is written as profile-fitted and as summed.

    Parameters
    ----------
    oriented : whether the crystal's orientation is known, so that directions can be computed.
    """
    assert experiment.crystal is not None and experiment.scan is not None
    n = len(observed)
    table = ReflectionTable(identifiers={0: experiment.identifier})
    table["id"] = np.zeros(n, dtype=np.int32)
    table["imageset_id"] = np.zeros(n, dtype=np.int32)
    table["panel"] = np.zeros(n, dtype=np.uint64)
    table["partial_id"] = np.arange(n, dtype=np.uint64)
    table["miller_index"] = observed.hkl
    flags = Flag.PREDICTED | Flag.OBSERVED | Flag.INDEXED | Flag.INTEGRATED
    table["flags"] = np.full(n, int(flags), dtype=np.uint64)
    table["xyzobs.px.value"], table["xyzobs.px.variance"] = observed.xyz, np.ones((n, 3))
    table["xyzcal.px"] = observed.xyz
    factor = observed.correction
    table["intensity.prf.value"] = observed.intensity / factor
    table["intensity.prf.variance"] = (observed.sigma / factor) ** 2
    # There is one intensity; some programs of DIALS want a summed one, which counts what was recorded only.
    table["intensity.sum.value"] = table["intensity.prf.value"] * observed.partiality
    table["intensity.sum.variance"] = table["intensity.prf.variance"] * observed.partiality**2
    table["lp"], table["qe"] = factor, np.ones(n)
    table["partiality"] = observed.partiality
    if observed.correlation is not None:
        table["profile.correlation"] = observed.correlation
    table["d"] = gemmi.UnitCell(*experiment.crystal.cell).calculate_d_array(observed.hkl.astype(np.int32))
    phi = experiment.scan.angle(observed.xyz[:, 2])
    if oriented:
        table["s1"] = diffracted(experiment, observed.hkl, observed.xyz[:, 2])
        table["entering"] = _is_entering(experiment, table["s1"])
    mm = observed.xyz[:, :2]
    if experiment.detector is not None:
        mm = experiment.detector.pixel_to_mm(np.zeros(n, dtype=np.int64), mm)
    table["xyzcal.mm"] = np.column_stack([mm, phi])
    table["xyzobs.mm.value"], table["xyzobs.mm.variance"] = table["xyzcal.mm"], np.ones((n, 3))
    return table


def diffracted(experiment: Experiment, hkl: np.ndarray, z: np.ndarray) -> np.ndarray:
    """(n, 3) s1 (Å⁻¹) of reflections at the frame coordinates they were seen, brought onto the Ewald sphere."""
    beam, goniometer, crystal, scan = experiment.beam, experiment.goniometer, experiment.crystal, experiment.scan
    assert beam is not None and goniometer is not None and crystal is not None and scan is not None
    q = hkl @ crystal.A.T
    if crystal.A_at_scan_points is not None:
        at = np.clip(np.rint(z).astype(np.int64) - scan.array_range[0], 0, len(crystal.A_at_scan_points) - 1)
        q = np.einsum("nij,nj->ni", crystal.A_at_scan_points[at], hkl)
    q = np.einsum("nij,nj->ni", goniometer.rotation(scan.angle(z)), q)
    s1 = beam.s0 + q
    return s1 / np.linalg.norm(s1, axis=1, keepdims=True) / beam.wavelength


def _is_entering(experiment: Experiment, s1: np.ndarray) -> np.ndarray:
    assert experiment.beam is not None and experiment.goniometer is not None
    return s1 @ np.cross(experiment.beam.s0, experiment.goniometer.lab_axis) < 0
