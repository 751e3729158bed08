"""Absorption as spherical harmonics of the beams' directions in the crystal (Blessing 1995, Acta Cryst. A51, 33)."""

from __future__ import annotations

import numpy as np
from scipy.special import sph_harm_y

from mxdask.models import Experiment, rotation_matrix


def n_terms(lmax: int) -> int:
    """Harmonics of degree 1 … lmax."""
    return lmax * (lmax + 2)


def crystal_frame_directions(
    experiment: Experiment, frame: np.ndarray, s1: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors towards the source and along the diffracted beam, in the crystal.

    Parameters
    ----------
    frame : (n,) absolute frame coordinates.
    s1 : (n, 3) diffracted wave vectors, laboratory.

    Returns
    -------
    incident, diffracted : (n, 3), the goniometer turned back, rotation axis along z.
    """
    beam, goniometer, scan = experiment.beam, experiment.goniometer, experiment.scan
    assert beam is not None and goniometer is not None and scan is not None
    turn_back = np.swapaxes(
        goniometer.setting_rotation @ rotation_matrix(goniometer.rotation_axis, scan.angle(frame)), 1, 2
    )
    align = _onto_z(goniometer.rotation_axis)
    incident = np.einsum("ij,njk,k->ni", align, turn_back, beam.direction)
    unit = s1 / np.linalg.norm(s1, axis=1, keepdims=True)
    return incident, np.einsum("ij,njk,nk->ni", align, turn_back, unit)


def harmonics(incident: np.ndarray, diffracted: np.ndarray, lmax: int) -> np.ndarray:
    """(n, lmax² + 2·lmax) mean of the real harmonics at both directions; order l = 1 … lmax, m = -l … l."""
    return 0.5 * (_real_harmonics(incident, lmax) + _real_harmonics(diffracted, lmax))


def _real_harmonics(direction: np.ndarray, lmax: int) -> np.ndarray:
    theta = np.arccos(np.clip(direction[:, 2], -1.0, 1.0))
    phi = np.arctan2(direction[:, 1], direction[:, 0])
    columns = []
    for degree in range(1, lmax + 1):
        values = {m: sph_harm_y(degree, m, theta, phi) for m in range(degree + 1)}
        for m in range(-degree, degree + 1):
            if m == 0:
                columns.append(values[0].real)
            else:
                part = values[abs(m)].imag if m < 0 else values[m].real
                columns.append(np.sqrt(2.0) * (-1) ** m * part)
    return np.stack(columns, axis=1)


def _onto_z(axis: np.ndarray) -> np.ndarray:
    """(3, 3) rotation that brings a vector onto z."""
    unit = np.asarray(axis) / np.linalg.norm(axis)
    across = np.cross(unit, [0.0, 0.0, 1.0])
    sine = np.linalg.norm(across)
    if sine < 1e-9:
        return np.eye(3) if unit[2] > 0 else np.diag([1.0, -1.0, -1.0])
    return rotation_matrix(across / sine, np.arctan2(sine, unit[2]))
