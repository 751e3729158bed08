"""Parameters of ``cluster_unit_cell``, ``unit_cell_histogram`` and ``stereographic_projection``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mxdask.params import StepParams


class Plot(StepParams):
    name: str = Field("cluster_unit_cell.html", description="Picture of the tree; none: no picture")
    log: bool = Field(False, description="Logarithmic axis of distances")


class ClusterOutput(StepParams):
    clusters: bool = Field(False, description="Write cluster_N.expt and cluster_N.refl, the largest first")
    json_file: str = Field("cluster_unit_cell.json", description="Tree and clusters as data")


class ClusterParams(StepParams):
    """Parameters of cluster_unit_cell."""

    threshold: float = Field(
        5000.0, gt=0, description="Distance at which the tree is cut", json_schema_extra={"unit": "Å²"}
    )
    linkage: Literal["single", "average", "complete", "ward"] = Field(
        "single", description="Distance of clusters: nearest, mean, farthest members, or Ward's"
    )
    plot: Plot = Plot()
    output: ClusterOutput = ClusterOutput()


class HistogramParams(StepParams):
    """Parameters of unit_cell_histogram."""

    steps_per_angstrom: float = Field(20, gt=0, description="Bins per Å (and per degree)")
    iqr_ratio: float = Field(
        1.5, gt=0, description="Leave out what lies farther outside the quartiles, in their distance"
    )
    output: str = Field("unit_cell_histogram.html", description="The picture")


class ProjectionParams(StepParams):
    """Parameters of stereographic_projection."""

    hkl: tuple[tuple[int, int, int], ...] = Field(
        ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        description="Reflections whose directions are shown; may be given several times",
    )
    expand_to_p1: bool = Field(True, description="Show all symmetry equivalents")
    frame: Literal["laboratory", "crystal"] = Field("laboratory", description="Directions seen from where")
    phi_angle: float = Field(0.0, description="Angle of the goniometer's scan axis", json_schema_extra={"unit": "°"})
    use_starting_angle: bool = Field(False, description="Angle of each sweep's first image instead")
    plane_normal: tuple[float, float, float] | None = Field(
        None, description="Direction at the centre (crystal frame: as hkl); Auto: to the source, or the first hkl"
    )
    output: str = Field("stereographic_projection.html", description="The picture")
    json_file: str | None = Field(None, description="Also write the points to this file")
