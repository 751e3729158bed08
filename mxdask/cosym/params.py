"""What the user can set for cosym; names and defaults as in ``dials.cosym`` (back.md 11.1)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mxdask.intensity.symmetry_params import SymmetryParams
from mxdask.params import StepParams


class Landmarks(StepParams):
    """For many crystals: solve some, then place the others among them."""

    above: int = Field(default=300, ge=2, description="solve all crystals at once up to this number of them")
    number: int = Field(default=200, ge=2, description="crystals solved together when there are more")


class Minimization(StepParams):
    """The search for coordinates."""

    max_iterations: int = Field(default=300, ge=1, description="of the L-BFGS minimiser")


class Params(SymmetryParams):
    """Parameters of cosym."""

    min_reflections: int = Field(default=10, ge=1, description="crystals with fewer usable reflections are left out")
    normalisation: Literal["quasi", "kernel", "ml_iso", "ml_aniso"] | None = Field(
        default="ml_iso", description="how intensities are brought to a common level over resolution"
    )
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
    dimensions: int | None = Field(default=None, ge=1, description="of the coordinates kept; Auto: elbow of the target")
    weights: Literal["count", "standard_error"] | None = Field(
        default="count",
        description="weight of a correlation: its number of pairs, or the inverse of its standard error",
    )
    cc_weights: Literal["sigma"] | None = Field(
        default=None, description="weights of reflections within a correlation: none, or by their errors"
    )
    min_pairs: int = Field(default=3, ge=2, description="correlations of fewer common reflections are not used")
    reference: str | None = Field(
        default=None, description="MTZ, mmCIF or .expt (with .refl) whose setting all crystals are to take"
    )
    landmarks: Landmarks = Landmarks()
    minimization: Minimization = Minimization()
    seed: int = Field(default=230, description="of the start of the minimisation")
