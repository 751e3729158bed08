"""What the user can set for cosym; names and defaults as in ``dials.cosym`` (back.md 11.1)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mxdask.params import StepParams


class Landmarks(StepParams):
    """For many crystals: solve some, then place the others among them."""

    above: int = Field(300, ge=2, description="solve all crystals at once up to this number of them")
    number: int = Field(200, ge=2, description="crystals solved together when there are more")


class Minimization(StepParams):
    """The search for coordinates."""

    max_iterations: int = Field(300, ge=1, description="of the L-BFGS minimiser")


class Params(StepParams):
    """Parameters of cosym."""

    partiality_threshold: float = Field(0.4, ge=0, le=1, description="least recorded fraction of a reflection")
    min_reflections: int = Field(10, ge=1, description="crystals with fewer usable reflections are left out")
    normalisation: Literal["quasi", "kernel", "ml_iso", "ml_aniso"] | None = Field(
        "ml_iso", description="how intensities are brought to a common level over resolution"
    )
    d_min: float | None = Field(
        None, gt=0, description="high resolution limit; Auto: from the two criteria below", json_schema_extra={"unit": "Å"}
    )
    min_i_mean_over_sigma_mean: float | None = Field(4.0, description="resolution limit where mean(I)/mean(sigma) falls below")
    min_cc_half: float | None = Field(0.6, description="resolution limit where CC½ falls below")
    space_group: str | None = Field(None, description="known space group: only the indexing ambiguity is resolved")
    lattice_group: str | None = Field(None, description="symmetry of the lattice; Auto: from the median cell")
    lattice_symmetry_max_delta: float = Field(
        5.0, ge=0, description="largest Le Page angle of a lattice symmetry axis", json_schema_extra={"unit": "degrees"}
    )
    best_monoclinic_beta: bool = Field(True, description="prefer I2 over C2 where its cell is less oblique")
    relative_length_tolerance: float = Field(
        0.05, gt=0, description="cells whose axes differ by more than this fraction are another crystal form"
    )
    absolute_angle_tolerance: float = Field(
        2.0, gt=0, description="and whose angles by more than this", json_schema_extra={"unit": "degrees"}
    )
    dimensions: int | None = Field(None, ge=1, description="of the coordinates kept for analysis; Auto: elbow of the target")
    weights: Literal["count", "standard_error"] | None = Field(
        "count", description="weight of a correlation: its number of pairs, or the inverse of its standard error"
    )
    min_pairs: int = Field(3, ge=2, description="correlations of fewer common reflections are not used")
    reference: str | None = Field(
        None, description="MTZ with merged intensities or amplitudes whose setting all crystals are to take"
    )
    landmarks: Landmarks = Landmarks()
    minimization: Minimization = Minimization()
    seed: int = Field(230, description="of the start of the minimisation")
