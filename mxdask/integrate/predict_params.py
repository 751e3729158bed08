"""What users can set of predict."""

from __future__ import annotations

from pydantic import Field

from mxdask.params import StepParams


class Params(StepParams):
    """Parameters of predict."""

    d_min: float | None = Field(
        default=None,
        gt=0,
        description="highest resolution; Auto: the detector's far corner",
        json_schema_extra={"unit": "Å"},
    )
    buffer_size: int = Field(
        default=0,
        ge=0,
        description="predict this far beyond both ends of the scan",
        json_schema_extra={"unit": "images"},
    )
    force_static: bool = Field(default=False, description="ignore models that vary along the scan")
