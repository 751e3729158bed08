"""What the user can set for correlation_matrix; names as in ``dials.correlation_matrix`` (back.md 12.2, 12.3)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mxdask.params import StepParams


class HierarchicalClustering(StepParams):
    """The two trees."""

    linkage_method: Literal["ward", "average"] = Field("ward", description="distance of clusters")


class SignificantClusters(StepParams):
    """Groups that noise does not explain."""

    output: bool = Field(False, description="write cluster_N.expt and cluster_N.refl")
    min_points: int = Field(1, ge=1, description="crystals of a group worth writing")


class Output(StepParams):
    """Files."""

    html: str | None = Field("dials.correlation_matrix.html", description="the report; None: none")
    json_file: str | None = Field("dials.correlation_matrix.json", description="everything as data; None: none")


class Params(StepParams):
    """Parameters of ``mxdask correlation_matrix``."""

    partiality_threshold: float = Field(0.4, ge=0, le=1, description="least recorded fraction of a reflection")
    min_reflections: int = Field(10, ge=1, description="crystals with fewer usable reflections are left out")
    normalisation: Literal["quasi", "kernel", "ml_iso", "ml_aniso"] | None = Field(
        "ml_iso", description="how intensities are brought to a common level over resolution"
    )
    d_min: float | None = Field(
        None, gt=0, description="high-resolution limit", json_schema_extra={"unit": "Å"}
    )  # fmt: skip
    min_pairs: int = Field(3, ge=2, description="correlations of fewer common reflections are not used")
    cc_weights: Literal["sigma"] | None = Field(
        "sigma", description="weights of reflections within a correlation: by their errors, or none"
    )
    weights: Literal["count", "standard_error"] | None = Field(
        "count", description="weight of a correlation in the search for coordinates"
    )
    dimensions: int | None = Field(None, ge=1, description="of the coordinates kept; Auto: elbow of the target")
    max_dimensions: int = Field(20, ge=2, description="most dimensions tried")
    hierarchical_clustering: HierarchicalClustering = HierarchicalClustering()
    significant_clusters: SignificantClusters = SignificantClusters()
    output: Output = Output()
    seed: int = Field(42, ge=0, description="of the start of the minimisation")
