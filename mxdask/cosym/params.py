"""What the user can set for cosym; names and defaults as in ``dials.cosym`` (back.md 11.1)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mxdask.params import StepParams


class Landmarks(StepParams):
    """For many crystals: solve some, then place the others among them."""

    above: int = Field(default=300, ge=2, description="solve all crystals at once up to this number of them")
    number: int = Field(default=200, ge=2, description="crystals solved together when there are more")


class Minimization(StepParams):
    """The search for coordinates."""

    max_iterations: int = Field(default=300, ge=1, description="of the L-BFGS minimiser")


class SystematicAbsences(StepParams):
    """The space group from screw axes, once the Laue group is known."""

    check: bool = Field(default=True, description="look for screw axes; otherwise the group without any is taken")
    significance_level: float = Field(default=0.95, gt=0.5, lt=1, description="for intensities to differ from zero")


class Params(StepParams):
    """Parameters of cosym."""

    partiality_threshold: float = Field(default=0.4, ge=0, le=1, description="least recorded fraction of a reflection")
    min_reflections: int = Field(default=10, ge=1, description="crystals with fewer usable reflections are left out")
    normalisation: Literal["quasi", "kernel", "ml_iso", "ml_aniso"] | None = Field(
        default="ml_iso", description="how intensities are brought to a common level over resolution"
    )
    d_min: float | None = Field(
        default=None,
        gt=0,
        description="high resolution limit; Auto: by the two criteria below",
        json_schema_extra={"unit": "Å"},
    )
    min_i_mean_over_sigma_mean: float | None = Field(default=4.0, description="least mean(I)/mean(sigma) of a shell")
    min_cc_half: float | None = Field(default=0.6, description="least CC½ of a shell")
    space_group: str | None = Field(
        default=None, description="known space group: only the indexing ambiguity is resolved"
    )
    lattice_group: str | None = Field(default=None, description="symmetry of the lattice; Auto: from the median cell")
    lattice_symmetry_max_delta: float = Field(
        default=5.0,
        ge=0,
        description="largest Le Page angle of a lattice symmetry axis",
        json_schema_extra={"unit": "degrees"},
    )
    best_monoclinic_beta: bool = Field(default=True, description="prefer I2 over C2 where its cell is less oblique")
    relative_length_tolerance: float = Field(
        default=0.05, gt=0, description="cells whose axes differ by more than this fraction are another crystal form"
    )
    absolute_angle_tolerance: float = Field(
        default=2.0, gt=0, description="and whose angles by more than this", json_schema_extra={"unit": "degrees"}
    )
    dimensions: int | None = Field(default=None, ge=1, description="of the coordinates kept; Auto: elbow of the target")
    weights: Literal["count", "standard_error"] | None = Field(
        default="count",
        description="weight of a correlation: its number of pairs, or the inverse of its standard error",
    )
    min_pairs: int = Field(default=3, ge=2, description="correlations of fewer common reflections are not used")
    reference: str | None = Field(
        default=None, description="MTZ with merged intensities or amplitudes whose setting all crystals are to take"
    )
    systematic_absences: SystematicAbsences = SystematicAbsences()
    landmarks: Landmarks = Landmarks()
    minimization: Minimization = Minimization()
    seed: int = Field(default=230, description="of the start of the minimisation")
