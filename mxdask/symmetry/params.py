"""What the user can set for symmetry; names and defaults as in ``dials.symmetry`` (back.md 10)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mxdask.params import StepParams


class SystematicAbsences(StepParams):
    """The space group from screw axes."""

    check: bool = Field(default=True, description="look for screw axes; otherwise the group without any is taken")
    significance_level: float = Field(default=0.95, gt=0.5, lt=1, description="for intensities to differ from zero")


class Params(StepParams):
    """Parameters of symmetry."""

    partiality_threshold: float = Field(default=0.4, ge=0, le=1, description="least recorded fraction of a reflection")
    normalisation: Literal["quasi", "kernel", "ml_iso", "ml_aniso"] | None = Field(
        default="ml_aniso", description="how intensities are brought to a common level over resolution"
    )
    d_min: float | None = Field(
        default=None,
        gt=0,
        description="high resolution limit; Auto: by the two criteria below",
        json_schema_extra={"unit": "Å"},
    )
    min_i_mean_over_sigma_mean: float | None = Field(default=4.0, description="least mean(I)/mean(sigma) of a shell")
    min_cc_half: float | None = Field(default=0.6, description="least CC½ of a shell")
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
    best_monoclinic_beta: bool = Field(default=True, description="prefer I2 over C2 where its cell is less oblique")
    relative_length_tolerance: float = Field(
        default=0.05, gt=0, description="axes that differ by a larger fraction do not fit"
    )
    absolute_angle_tolerance: float = Field(
        default=2.0, gt=0, description="nor angles by more than this", json_schema_extra={"unit": "degrees"}
    )
    systematic_absences: SystematicAbsences = SystematicAbsences()
    seed: int = Field(default=230, description="of random pairs of unrelated reflections")
