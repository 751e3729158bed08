"""``plot_scan_varying_model``: how cell, orientation and beam centre change along every sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field
from scipy.spatial.transform import Rotation

from mxdask.errors import MxdaskError, ParameterError
from mxdask.models import Experiment, ExperimentList
from mxdask.models.crystal import busing_levy, cell_parameters
from mxdask.params import StepParams

Axis = tuple[float, float, float]

CELL = ("a", "b", "c", "alpha", "beta", "gamma")


class Decomposition(StepParams):
    """Rotations that the orientation is taken apart into: about e1 first, e3 last."""

    e1: Axis = Field((1.0, 0.0, 0.0), description="first axis, in the laboratory")
    e2: Axis = Field((0.0, 1.0, 0.0), description="second axis, orthogonal to both others")
    e3: Axis = Field((0.0, 0.0, 1.0), description="third axis")
    relative_to_static_orientation: bool = Field(True, description="changes from the sweep's mean orientation")


class Output(StepParams):
    """Files; None for none."""

    html: str | None = Field("scan_varying_model.html", description="curves")
    json_file: str | None = Field("scan_varying_model.json", description="all numbers")


class Params(StepParams):
    """Parameters of plot_scan_varying_model."""

    orientation_decomposition: Decomposition = Decomposition()
    output: Output = Output()


@dataclass(frozen=True)
class Course:
    """One sweep, one value at each boundary of its images.

    Attributes
    ----------
    phi : (n,) degrees.
    cell : (n, 6) Å and degrees. volume : (n,) Å³.
    angles : (n, 3) degrees about e1, e2, e3.
    beam_centre : (n, 2) px on the panel that the beam hits, or None where the beam stays or hits none.
    """

    name: str
    phi: np.ndarray
    cell: np.ndarray
    volume: np.ndarray
    angles: np.ndarray
    beam_centre: np.ndarray | None

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        cell = dict(zip(CELL, self.cell.T.tolist(), strict=True))
        angles = {f"phi{i + 1}": self.angles[:, i].tolist() for i in range(3)}
        centre = {} if self.beam_centre is None else {"beam_centre": self.beam_centre.tolist()}
        return {
            "sweep": self.name,
            "phi": self.phi.tolist(),
            **cell,
            "volume": self.volume.tolist(),
            **angles,
            **centre,
        }


def courses(experiments: ExperimentList, params: Decomposition) -> list[Course]:
    """Of all experiments whose crystal varies along the scan.

    Raises
    ------
    MxdaskError : there is none. ParameterError : the axes are not orthogonal.
    """
    axes = np.array([params.e1, params.e2, params.e3], dtype=float)
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    if abs(axes[0] @ axes[1]) > 1e-6 or abs(axes[1] @ axes[2]) > 1e-6:
        raise ParameterError("orientation_decomposition: e2 must be orthogonal to e1 and to e3")
    found = [_course(e, axes, relative=params.relative_to_static_orientation) for e in experiments if _varies(e)]
    if not found:
        raise MxdaskError("no crystal varies along its scan; refine with scan_varying=true, or give refined.expt")
    return found


def _varies(experiment: Experiment) -> bool:
    crystal = experiment.crystal
    return crystal is not None and crystal.A_at_scan_points is not None and experiment.scan is not None


def _course(experiment: Experiment, axes: np.ndarray, *, relative: bool) -> Course:
    crystal, scan = experiment.crystal, experiment.scan
    assert crystal is not None and crystal.A_at_scan_points is not None and scan is not None
    A = crystal.A_at_scan_points
    cell = np.array([cell_parameters(np.linalg.inv(a)) for a in A])
    U = np.array([a @ np.linalg.inv(busing_levy(c)) for a, c in zip(A, cell, strict=True)])
    if relative:
        U = U @ crystal.U.T
    angles = Rotation.from_matrix(U).as_davenport(axes, "extrinsic", degrees=True)
    first = scan.image_range[0] - 1
    phi = np.rad2deg(scan.angle(np.arange(first, first + len(A), dtype=float)))
    return Course(experiment.name, phi, cell, 1.0 / np.linalg.det(A), angles, _beam_centre(experiment))


def _beam_centre(experiment: Experiment) -> np.ndarray | None:
    beam, detector = experiment.beam, experiment.detector
    if beam is None or detector is None or beam.s0_at_scan_points is None:
        return None
    panel, xy = detector.ray_intersection(beam.s0_at_scan_points)
    return detector.mm_to_pixel(panel, xy) if (panel >= 0).all() else None
