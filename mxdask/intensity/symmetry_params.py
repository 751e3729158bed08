"""What symmetry and cosym ask their users alike; names and defaults as in DIALS (back.md 10, 11.1)."""

from __future__ import annotations

from pydantic import Field

from mxdask.params import StepParams


class SystematicAbsences(StepParams):
    """The space group from screw axes, once the Laue group is known."""

    check: bool = Field(default=True, description="look for screw axes; otherwise the group without any is taken")
    significance_level: float = Field(default=0.95, gt=0.5, lt=1, description="for intensities to differ from zero")


class SymmetryParams(StepParams):
    """Which observations are compared, which cells are alike, and how the space group is chosen."""

    partiality_threshold: float = Field(default=0.4, ge=0, le=1, description="least recorded fraction of a reflection")
    d_min: float | None = Field(
        default=None,
        gt=0,
        description="high resolution limit; Auto: by the two criteria below",
        json_schema_extra={"unit": "Å"},
    )
    min_i_mean_over_sigma_mean: float | None = Field(default=4.0, description="least mean(I)/mean(sigma) of a shell")
    min_cc_half: float | None = Field(default=0.6, description="least CC½ of a shell")
    best_monoclinic_beta: bool = Field(default=True, description="prefer I2 over C2 where its cell is less oblique")
    relative_length_tolerance: float = Field(
        default=0.05, gt=0, description="cells whose axes differ by more than this fraction are another crystal form"
    )
    absolute_angle_tolerance: float = Field(
        default=2.0, gt=0, description="and whose angles by more than this", json_schema_extra={"unit": "degrees"}
    )
    systematic_absences: SystematicAbsences = SystematicAbsences()
