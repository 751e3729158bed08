"""What the user can set for symmetry; names and defaults as in ``dials.symmetry`` (back.md 10)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mxdask.intensity.symmetry_params import SymmetryParams


class Params(SymmetryParams):
    """Parameters of symmetry."""

    normalisation: Literal["quasi", "kernel", "ml_iso", "ml_aniso"] | None = Field(
        default="ml_aniso", description="how intensities are brought to a common level over resolution"
    )
    outlier_zmax: float = Field(
        default=12.0, gt=0, description="observations farther from their equivalents are dropped"
    )
    laue_group: str | None = Field(default=None, description="known Laue group; only absences are looked at")
    space_group: str | None = Field(default=None, description="known space group: only its best setting is looked for")
    change_of_basis_op: str | None = Field(
        default=None, description="with space_group: how to get there (x,y,z or a,b,c or h,k,l)"
    )
    lattice_symmetry_max_delta: float = Field(
        default=2.0,
        ge=0,
        description="largest Le Page angle of a lattice symmetry axis",
        json_schema_extra={"unit": "degrees"},
    )
    seed: int = Field(default=230, description="of random pairs of unrelated reflections")
