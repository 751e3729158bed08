"""Parameters of ``refine_bravais_settings``; names are DIALS' where the thing is the same."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mxdask.modelfit.options import FitOptions
from mxdask.params import StepParams


class Cluster(StepParams):
    relative_length_tolerance: float = Field(
        0.05, gt=0, description="Crystals whose reduced axes differ by less get one list of settings"
    )
    absolute_angle_tolerance: float = Field(
        2.0, gt=0, description="The same for angles", json_schema_extra={"unit": "°"}
    )


class Params(StepParams):
    """Parameters of refine_bravais_settings."""

    lepage_max_delta: float = Field(
        5.0, gt=0, description="Largest angle between a direct and a reciprocal axis of a two-fold",
        json_schema_extra={"unit": "°"},
    )  # fmt: skip
    best_monoclinic_beta: bool = Field(True, description="Allow I2 where its β is nearer to 90° than that of C2")
    crystal_id: int | None = Field(None, ge=0, description="Only this crystal (its row among the crystals of the list)")
    cluster: Cluster = Cluster()
    geometry: Literal["fixed", "refined"] = Field(
        "fixed", description="Beam and detector: held, or refined with every setting (as DIALS 3.12 does)"
    )
    algorithm: Literal["tukey", "mcd", "null"] = Field("tukey", description="Outlier rejection in the second fit")
    reflections_per_degree: float | None = Field(
        100.0, gt=0, description="Random sample per degree of scan; None: all", json_schema_extra={"unit": "1/°"}
    )
    random_seed: int = Field(42, description="Seed of that sample")


def fit_options(params: Params) -> FitOptions:
    """Options of the second fit: as many reflections as DIALS would use, and no priors, so that rmsds compare."""
    held = params.geometry == "fixed"
    return FitOptions(
        beam_fix=("all",) if held else ("in_spindle_plane", "wavelength"),
        detector_fix=("all",) if held else (),
        outlier=params.algorithm,
        reflections_per_degree=params.reflections_per_degree,
        exclude_truncated=False,
        min_reflections_per_parameter=1,
        seed=params.random_seed,
    )
