"""What a user can set for integration; names as in DIALS where they mean the same."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from mxdask.params import StepParams


def _unit(unit: str) -> dict[str, Any]:
    return {"unit": unit}


class Prediction(StepParams):
    """Which reflections are looked for."""

    d_min: float | None = Field(
        default=None,
        gt=0,
        description="highest resolution; Auto: the detector's far corner",
        json_schema_extra=_unit("Å"),
    )
    d_max: float | None = Field(
        default=None, gt=0, description="lowest resolution; Auto: none", json_schema_extra=_unit("Å")
    )
    padding: float = Field(
        default=1.0, ge=0, description="predict this far beyond both ends of the scan", json_schema_extra=_unit("°")
    )
    force_static: bool = Field(default=False, description="ignore models that vary along the scan")


class MinSpots(StepParams):
    """Spots a crystal needs for widths of its own; either limit is enough."""

    overall: int = Field(default=50, ge=1, description="reference spots in the whole sweep")
    per_degree: float = Field(default=20.0, gt=0, description="reference spots per degree of rotation")


class Widths(StepParams):
    """Widths given instead of estimated."""

    sigma_b: float | None = Field(
        default=None, ge=1e-4, le=5, description="beam divergence; Auto: from spots", json_schema_extra=_unit("°")
    )
    sigma_m: float | None = Field(
        default=None, ge=1e-4, le=5, description="mosaicity; Auto: from spots", json_schema_extra=_unit("°")
    )
    n_sigma: float = Field(default=3.0, gt=0.5, le=10, description="half size of a reflection in units of its widths")


class Filter(StepParams):
    """Reflections that are left alone or marked."""

    min_zeta: float = Field(
        default=0.05, ge=0, lt=1, description="leave out reflections that cross the sphere at a smaller |ζ|"
    )
    ice_rings: bool = Field(default=False, description="mark reflections near the powder rings of ice")


class Fitting(StepParams):
    """Profile fitting."""

    fit: bool = Field(default=True, description="fit profiles; False: summation only")
    deconvolution: bool = Field(
        default=True,
        description="fit reflections that share pixels together; False: leave the pixels nearer to a neighbour out",
    )
    scan_step: float = Field(
        default=5.0, gt=0, description="learn the profile anew after this much rotation", json_schema_extra=_unit("°")
    )


class GaussianRs(StepParams):
    """The Gaussian profile model in Kabsch's frame."""

    scan_varying: bool = Field(default=False, description="let the widths vary along the scan")
    min_spots: MinSpots = Field(default=MinSpots(), description="")
    parameters: Widths = Field(default=Widths(), description="")
    filter: Filter = Field(default=Filter(), description="")
    fitting: Fitting = Field(default=Fitting(), description="")


class Profile(StepParams):
    """The profile model."""

    gaussian_rs: GaussianRs = Field(default=GaussianRs(), description="")


class Robust(StepParams):
    """The robust Poisson background."""

    algorithm: Literal["constant2d", "constant3d", "loglinear2d", "loglinear3d"] = Field(
        default="constant3d",
        description="level on each image, level in the box, plane on each image, plane through the box",
    )


class Glm(StepParams):
    """Background by a robust generalised linear model."""

    robust: Robust = Field(default=Robust(), description="")
    rings: bool = Field(
        default=True,
        description="where pixels contradict a level background (constant3d), let it vary with the scattering angle",
    )


class Outlier(StepParams):
    """Background pixels that are left out."""

    algorithm: Literal["null", "nsigma", "truncated", "normal", "plane", "tukey"] = Field(
        default="nsigma", description="which pixels are outliers"
    )
    lower: float | None = Field(
        default=None,
        ge=0,
        description="standard deviations (nsigma), fraction (truncated), interquartile ranges (tukey); "
        "Auto: 3, 0.01, 1.5",
    )
    upper: float | None = Field(default=None, ge=0, description="the same upwards; plane: both ways, Auto: 4")


class SimpleModel(StepParams):
    """Shape of the simple background."""

    algorithm: Literal["constant2d", "constant3d", "linear2d", "linear3d"] = Field(
        default="constant3d",
        description="level on each image, level in the box, plane on each image, plane through the box",
    )


class Simple(StepParams):
    """Background as mean or plane of the pixels that are no outliers."""

    outlier: Outlier = Field(default=Outlier(), description="")
    model: SimpleModel = Field(default=SimpleModel(), description="")


class Background(StepParams):
    """Background under the reflections."""

    algorithm: Literal["glm", "simple"] = Field(
        default="glm", description="glm: robust Poisson fit; simple: least squares without outliers"
    )
    exclude_neighbours: bool = Field(
        default=True, description="leave pixels that belong to the spots of other reflections out of the background"
    )
    glm: Glm = Field(default=Glm(), description="")
    simple: Simple = Field(default=Simple(), description="")


class Block(StepParams):
    """How a sweep is cut into tasks. The result does not depend on it."""

    size: int | None = Field(
        default=None,
        ge=1,
        description="images per task; Auto: as many as memory allows",
        json_schema_extra=_unit("images"),
    )
    memory: float = Field(
        default=400.0, gt=0, description="pixels a task may hold when the size is Auto", json_schema_extra=_unit("MB")
    )


class Params(StepParams):
    """Parameters of integrate."""

    prediction: Prediction = Field(default=Prediction(), description="")
    profile: Profile = Field(default=Profile(), description="")
    background: Background = Field(default=Background(), description="")
    block: Block = Field(default=Block(), description="")
    images_from: Literal["auto", "images", "zarr"] = Field(
        default="auto",
        description="read the original images or the Zarr stores of converted.expt; Auto: the stores if they are there",
    )
    valid_foreground_threshold: float = Field(
        default=0.75, ge=0, le=1, description="leave out reflections with a smaller part of usable foreground pixels"
    )
