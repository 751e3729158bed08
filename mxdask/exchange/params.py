"""What the user can set for ``import_xds`` and ``import_mtz``."""

from __future__ import annotations

from pydantic import Field

from mxdask.params import StepParams


class Output(StepParams):
    """Names of the files."""

    experiments: str = Field("integrated.expt", description="experiments")
    reflections: str = Field("integrated.refl", description="reflections")


class Params(StepParams):
    """Parameters of ``mxdask import_xds`` and ``mxdask import_mtz``."""

    d_min: float | None = Field(None, gt=0, description="high-resolution limit", json_schema_extra={"unit": "Å"})
    output: Output = Output()
