"""What the user can set for symmetry; names and defaults as in ``dials.symmetry`` (back.md 10)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mxdask.params import StepParams


class SystematicAbsences(StepParams):
    """The space group from screw axes."""

    check: bool = Field(True, description="look for screw axes; otherwise the group without any is taken")
    significance_level: Literal[0.95, 0.975, 0.99] = Field(0.95, description="for intensities to differ from zero")


class Params(StepParams):
    """Parameters of symmetry."""

    partiality_threshold: float = Field(0.4, ge=0, le=1, description="least recorded fraction of a reflection")
    normalisation: Literal["quasi", "kernel", "ml_iso", "ml_aniso"] | None = Field(
        "ml_aniso", description="how intensities are brought to a common level over resolution"
    )
    d_min: float | None = Field(
        None, gt=0, description="high resolution limit; Auto: from the two criteria below", json_schema_extra={"unit": "Å"}
    )
    min_i_mean_over_sigma_mean: float | None = Field(4.0, description="resolution limit where mean(I)/mean(sigma) falls below")
    min_cc_half: float | None = Field(0.6, description="resolution limit where CC½ falls below")
    outlier_zmax: float = Field(12.0, gt=0, description="observations that deviate more from their equivalents are dropped")
    laue_group: str | None = Field(None, description="known Laue group (any space group of it); only absences are looked at")
    space_group: str | None = Field(None, description="known space group: cell and indices are brought to its best setting")
    change_of_basis_op: str | None = Field(
        None, description="with space_group: the change of basis to it (x,y,z or a,b,c or h,k,l); Auto: found from the cell"
    )
    lattice_symmetry_max_delta: float = Field(
        2.0, ge=0, description="largest Le Page angle of a lattice symmetry axis", json_schema_extra={"unit": "degrees"}
    )
    best_monoclinic_beta: bool = Field(True, description="prefer I2 over C2 where its cell is less oblique")
    relative_length_tolerance: float = Field(0.05, gt=0, description="axes that differ by more than this fraction do not fit")
    absolute_angle_tolerance: float = Field(
        2.0, gt=0, description="nor angles by more than this", json_schema_extra={"unit": "degrees"}
    )
    systematic_absences: SystematicAbsences = SystematicAbsences()
    seed: int = Field(230, description="of random pairs of unrelated reflections")
