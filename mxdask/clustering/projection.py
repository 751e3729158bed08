"""Directions of reflections on a plane, seen stereographically."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.clustering.params import ProjectionParams
from mxdask.errors import MxdaskError
from mxdask.lattice.operators import point_group
from mxdask.models import Crystal, Experiment, ExperimentList


@dataclass(frozen=True, eq=False)
class Poles:
    """Points of one reflection and its equivalents over all crystals.

    Attributes
    ----------
    xy : (n, 2) within the unit circle. row : (n,) experiment. hkl : (n, 3).
    """

    label: str
    xy: np.ndarray
    row: np.ndarray
    hkl: np.ndarray


def stereographic(directions: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """(n, 2) points of directions (n, 3) projected from the pole opposite to ``normal`` on the plane across it.

    A direction and its opposite are one: that on the side of the normal is taken. x is horizontal where the normal is
    the beam: the plane's axes are those of the frame with the normal turned to z the shortest way.
    """
    n = np.asarray(normal, dtype=float) / np.linalg.norm(normal)
    v = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    v = _turned_to_z(n) @ v.T
    v = np.where(v[2] < 0, -v, v)
    return (v[:2] / (1 + v[2])).T


def _turned_to_z(n: np.ndarray) -> np.ndarray:
    """Rotation that takes the unit vector n to z by the shortest way."""
    c = n[2]
    if c < -1 + 1e-12:
        return np.diag([1.0, -1.0, -1.0])
    w = np.cross(n, [0.0, 0.0, 1.0])
    K = np.array([[0, -w[2], w[1]], [w[2], 0, -w[0]], [-w[1], w[0], 0]])
    return np.eye(3) + K + K @ K / (1 + c)


def equivalents(hkl: np.ndarray, crystal: Crystal) -> np.ndarray:
    """(n, 3) distinct symmetry equivalents, of a pair h, -h only one."""
    found = {tuple(int(x) for x in W @ hkl) for W in point_group(crystal.space_group)}
    return np.array(sorted({max(h, tuple(-x for x in h)) for h in found}, reverse=True))


def poles(experiments: ExperimentList, params: ProjectionParams) -> list[Poles]:
    """Points of every reflection asked for, over all crystals.

    Raises
    ------
    MxdaskError : no experiment has a crystal.
    """
    with_crystal = [(row, e) for row, e in enumerate(experiments) if e.crystal is not None]
    if not with_crystal:
        raise MxdaskError("no experiment has a crystal; index the data first")
    out = []
    for hkl in params.hkl:
        xy, rows, indices = [], [], []
        for row, experiment in with_crystal:
            assert experiment.crystal is not None
            h = equivalents(np.array(hkl), experiment.crystal) if params.expand_to_p1 else np.array([hkl])
            vectors, normal = _directions(experiment, h, params)
            xy.append(stereographic(vectors, normal))
            rows += [row] * len(h)
            indices.append(h)
        out.append(Poles(" ".join(map(str, hkl)), np.concatenate(xy), np.array(rows), np.concatenate(indices)))
    return out


def _directions(experiment: Experiment, hkl: np.ndarray, params: ProjectionParams) -> tuple[np.ndarray, np.ndarray]:
    crystal = experiment.crystal
    assert crystal is not None
    if params.frame == "crystal":
        centre = np.array(params.hkl[0] if params.plane_normal is None else params.plane_normal)
        return hkl @ crystal.B.T, crystal.B @ centre
    turn = np.eye(3)
    if experiment.goniometer is not None:
        start = 0.0 if experiment.scan is None else experiment.scan.oscillation_range[0]
        turn = experiment.goniometer.rotation(np.deg2rad(start if params.use_starting_angle else params.phi_angle))
    normal = np.array([0.0, 0.0, 1.0])
    if params.plane_normal is not None:
        normal = np.array(params.plane_normal)
    elif experiment.beam is not None:
        normal = experiment.beam.direction
    return hkl @ (turn @ crystal.A).T, normal
