"""Observations of one crystal as an XDS_ASCII file, ready for XSCALE (back.md 15.2).

XDS's laboratory frame may be any; here the detector's fast and slow axes are x and y, as DIALS writes it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.intensity.asu import map_to_asu
from mxdask.intensity.observations import lp_qe_factor
from mxdask.merge.exportable import Exportable
from mxdask.models import Experiment, rotation_matrix

Items = dict[str, tuple[Any, str]]


def xds_ascii(chosen: Exportable, row: int) -> tuple[list[tuple[str, str]], Items]:
    """Header entries and columns for the experiment of a row of the list.

    Raises
    ------
    MxdaskError : the experiment lacks a model, or no reflection is left of it.
    """
    experiment = chosen.experiments[row]
    absent = [m for m in ("beam", "detector", "goniometer", "scan", "crystal") if getattr(experiment, m) is None]
    if absent:
        raise MxdaskError(f"{experiment.name}: no {' and no '.join(absent)}, which XDS_ASCII needs")
    observations = chosen.observations.select(chosen.observations.experiment == row)
    if len(observations) == 0:
        raise MxdaskError(f"{experiment.name}: no reflection is fit for export")
    assert experiment.crystal is not None
    order = np.argsort(map_to_asu(observations.hkl, experiment.crystal.space_group).group, kind="stable")
    observations = observations.select(order)
    table = chosen.table.select(observations.row)
    n = len(observations)
    xyz = table["xyzcal.px"] if "xyzcal.px" in table else observations.xyz  # noqa: SIM401  a table has no get
    turn = detector_frame(experiment)
    correlation = 100.0 * table["profile.correlation"] if "profile.correlation" in table else np.full(n, 100.0)
    items: Items = {name: (observations.hkl[:, i], "%d") for i, name in enumerate("HKL")}
    items |= {
        "IOBS": (observations.intensity, "%f"), "SIGMA(IOBS)": (np.sqrt(observations.variance), "%f"),
        "XD": (xyz[:, 0], "%f"), "YD": (xyz[:, 1], "%f"), "ZD": (xyz[:, 2], "%f"),
        "RLP": (lp_qe_factor(table), "%f"), "PEAK": (100.0 * observations.partiality, "%.1f"),
        "CORR": (correlation, "%.1f"), "MAXC": (np.zeros(n, dtype=np.int64), "%d"),
        "PSI": (azimuth(experiment, turn, observations.hkl, xyz[:, 2]), "%f"),
    }  # fmt: skip
    return header(experiment, turn), items


def detector_frame(experiment: Experiment) -> np.ndarray:
    """(3, 3) rotation of the laboratory after which the first panel's fast axis is x and the slow one in xy."""
    assert experiment.detector is not None
    panel = experiment.detector[0]
    normal = np.cross(panel.fast_axis, panel.slow_axis)
    fast = panel.fast_axis / np.linalg.norm(panel.fast_axis)
    normal = normal / np.linalg.norm(normal)
    return np.stack([fast, np.cross(normal, fast), normal])


def header(experiment: Experiment, turn: np.ndarray) -> list[tuple[str, str]]:
    """Entries of the header: scan, axes, crystal at angle 0, beam, detector."""
    beam, detector, goniometer = experiment.beam, experiment.detector, experiment.goniometer
    scan, crystal = experiment.scan, experiment.crystal
    assert beam is not None and detector is not None and goniometer is not None
    assert scan is not None and crystal is not None
    panel = detector[0]
    real = np.linalg.inv(setting(experiment, turn))
    origin, fast, slow = turn @ panel.origin, turn @ panel.fast_axis, turn @ panel.slow_axis
    start, width = scan.oscillation or (0.0, 0.0)
    qx, qy = panel.pixel_size

    def line(values: Any, form: str) -> str:
        return " ".join(form % v for v in values)

    return [
        ("DATA_RANGE", line(scan.image_range, "%d")), ("ROTATION_AXIS", line(turn @ goniometer.lab_axis, "%9.6f")),
        ("OSCILLATION_RANGE", f"{width:f}"), ("STARTING_ANGLE", f"{start:f}"),
        ("STARTING_FRAME", f"{scan.image_range[0]}"), ("SPACE_GROUP_NUMBER", f"{crystal.space_group.number}"),
        ("UNIT_CELL_CONSTANTS", line(crystal.cell[:3], "%9.3f") + " " + line(crystal.cell[3:], "%7.3f")),
        *((f"UNIT_CELL_{n}-AXIS", line(v, "%9.3f")) for n, v in zip("ABC", real, strict=True)),
        ("X-RAY_WAVELENGTH", f"{beam.wavelength:f}"), ("INCIDENT_BEAM_DIRECTION", line(turn @ beam.s0, "%f")),
        ("NX", f"{panel.image_size[0]} NY= {panel.image_size[1]} QX= {qx:f} QY= {qy:f}"),
        ("ORGX", f"{-origin @ fast / qx:9.2f} ORGY= {-origin @ slow / qy:9.2f}"),
        ("DETECTOR_DISTANCE", f"{origin[2]:8.3f}"), ("DIRECTION_OF_DETECTOR_X-AXIS", line(fast, "%9.5f")),
        ("DIRECTION_OF_DETECTOR_Y-AXIS", line(slow, "%9.5f")), ("VARIANCE_MODEL", "1.000e+00 0.000e+00"),
    ]  # fmt: skip


def setting(experiment: Experiment, turn: np.ndarray) -> np.ndarray:
    """(3, 3) A of the crystal at scan angle 0 in the turned laboratory, goniometer applied."""
    assert experiment.crystal is not None and experiment.goniometer is not None
    return turn @ experiment.goniometer.rotation(0.0) @ experiment.crystal.A


def azimuth(experiment: Experiment, turn: np.ndarray, hkl: np.ndarray, z: np.ndarray) -> np.ndarray:
    """(n,) ψ in degrees: turn about the scattering vector (Schwarzenbach & Flack 1989, J. Appl. Cryst. 22, 601)."""
    beam, goniometer, scan = experiment.beam, experiment.goniometer, experiment.scan
    assert beam is not None and goniometer is not None and scan is not None
    A = setting(experiment, turn)
    rotation = rotation_matrix(turn @ goniometer.lab_axis, scan.angle(z))
    s0 = turn @ beam.s0
    s1 = s0 + np.einsum("nij,nj->ni", rotation, hkl @ A.T)
    g = np.cross(s1, s0)
    e = -(s1 + s0)
    h, k, el = hkl.T
    diagonal = (h == k) & (k == el)
    across = np.where(diagonal[:, None], np.stack([h, -h, 0 * h], axis=1), np.stack([k - el, el - h, h - k], axis=1))
    q = np.einsum("nij,nj->ni", rotation, across @ np.linalg.inv(A))
    cosine = np.sum(q * g, axis=1) / (np.linalg.norm(q, axis=1) * np.linalg.norm(g, axis=1))
    psi = np.rad2deg(np.arccos(np.clip(cosine, -1.0, 1.0)))
    return np.where(np.sum(q * e, axis=1) < 0, -psi, psi)
