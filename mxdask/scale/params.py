"""What the user can set for scaling; names as in DIALS where it is the same thing (back.md 13, 18)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mxdask.params import StepParams


class PhysicalModel(StepParams):
    """The physical model: scale, decay and absorption against the rotation."""

    scale_interval: float | None = Field(
        None, gt=0, description="rotation between scale parameters; None: 1 to 15 by the width of the sweep",
        json_schema_extra={"unit": "°"},
    )  # fmt: skip
    decay_correction: bool = Field(True, description="correct for radiation damage and scattering power by a B factor")
    decay_interval: float | None = Field(
        None, gt=0, description="rotation between decay parameters; None: 1.5 to 20 by the width of the sweep",
        json_schema_extra={"unit": "°"},
    )  # fmt: skip
    decay_restraint: float = Field(
        1.0, ge=0, description="weight that holds B factors, as B/2d² at the resolution limit, near zero"
    )
    absorption_correction: bool | None = Field(None, description="None: for sweeps wider than 60°")
    absorption_level: Literal["low", "medium", "high"] | None = Field(
        None, description="how much absorption is expected: sets lmax and surface_weight"
    )
    lmax: int | None = Field(None, ge=1, le=8, description="degree of the absorption surface; None: 4, or 6 by level")
    surface_weight: float | None = Field(None, ge=0, description="weight that holds the absorption surface near one")


class KBModel(StepParams):
    """The KB model: one scale and one B factor per sweep or still."""

    decay_correction: bool = Field(True, description="refine B as well as the scale")


class DoseDecayModel(StepParams):
    """A smooth scale, one B factor, and a decay that grows evenly with the rotation (the dose)."""

    scale_interval: float = Field(
        2.0, gt=0, description="rotation between scale parameters", json_schema_extra={"unit": "°"}
    )
    relative_B_correction: bool = Field(True, description="one B factor per crystal")
    resolution_dependence: Literal["quadratic", "linear"] = Field(
        "quadratic", description="the decay goes with 1/d² or 1/d"
    )
    absorption_correction: bool = Field(False, description="absorption surface")
    lmax: int = Field(4, ge=1, le=8, description="degree of the absorption surface")
    surface_weight: float = Field(1e6, ge=0, description="weight that holds the absorption surface near one")


class ArrayModel(StepParams):
    """The array model: values on grids of resolution and rotation, and of rotation and place on the detector."""

    decay_interval: float = Field(
        20.0, ge=1, description="rotation between points of both grids", json_schema_extra={"unit": "°"}
    )
    n_resolution_bins: int = Field(10, ge=1, description="intervals of 1/d²")
    absorption_correction: bool = Field(True, description="correct by the place on the detector")
    n_absorption_bins: int = Field(3, ge=1, description="intervals in x and in y")


class Combine(StepParams):
    """Profile-fitted or summed intensities."""

    joint_analysis: bool = Field(True, description="one choice for all crystals")
    Imid: float | None = Field(
        None, ge=0, description="counts where both weigh the same; 0 profile-fitted only, 1 summed only; None: find"
    )


class ReflectionSelection(StepParams):
    """Which observations the models are refined against."""

    min_isigi: float = Field(1.0, description="least mean I/σ(I) of a group of equivalents")
    min_partiality: float = Field(0.95, ge=0, le=1, description="least recorded fraction")
    combine: Combine = Combine()


class OutlierRejection(StepParams):
    """Observations that do not agree with their equivalents."""

    outlier_rejection: Literal["standard", "simple", "none"] = Field(
        "standard",
        description="standard: the worst one is taken out and the mean made anew, of pairs the improbable one; "
        "simple: one pass",
    )
    outlier_zmax: float = Field(6.0, gt=0, description="deviation, in standard deviations, that rejects")
    emax: float = Field(10.0, gt=0, description="normalised amplitude |E| that rejects")


class ErrorModel(StepParams):
    """σ'² = a²(σ² + (b⟨I⟩)²)."""

    error_model: Literal["extended", "basic", "none"] = Field(
        "extended",
        description="extended: counts as expected, own factors for background and cut reflections; basic: a and b on "
        "the integrated variances, as DIALS; none leaves these as they are",
    )
    a: float | None = Field(None, gt=0, description="fixed value of a; None: refined")
    b: float | None = Field(None, ge=0, description="fixed value of b; None: refined")
    grouping: Literal["combined", "individual"] = Field("combined", description="one error model, or one per crystal")
    min_Ih: float | None = Field(
        None, gt=0, description="least expected intensity of the observations used; None: twice their σ, or 25 (basic)",
        json_schema_extra={"unit": "counts"},
    )  # fmt: skip
    n_bins: int = Field(10, ge=2, description="intensity bins")


class CutData(StepParams):
    """Data left out."""

    d_min: float | None = Field(None, gt=0, description="high-resolution limit", json_schema_extra={"unit": "Å"})
    d_max: float | None = Field(None, gt=0, description="low-resolution limit", json_schema_extra={"unit": "Å"})
    partiality_cutoff: float = Field(0.4, ge=0, le=1, description="least recorded fraction")
    min_isigi: float = Field(-5.0, description="observations with lower I/σ(I) are left out")
    exclude_ice_rings: bool = Field(False, description="leave out reflections on ice rings")


class Merging(StepParams):
    """Merging statistics."""

    nbins: int = Field(20, ge=1, description="resolution shells")
    cc_half: float | None = Field(
        0.3,
        gt=0,
        lt=1,
        description="the resolution where CC½ falls to this is reported, and used by process; None: not",
    )


class ScalingOptions(StepParams):
    """What is scaled to what, and how that is checked."""

    reference: str | None = Field(
        None, description="merged .mtz or scaled .refl file whose intensities the data are scaled to; they stay fixed"
    )
    use_free_set: bool = Field(False, description="hold reflections back from the models, and compare both sets")
    free_set_percentage: float = Field(
        10.0, gt=0, le=50, description="unique reflections held back", json_schema_extra={"unit": "%"}
    )
    free_set_offset: int = Field(0, ge=0, description="which of the possible free sets")


class DeltaCCHalfFilter(StepParams):
    """Which data sets or images are taken out."""

    mode: Literal["dataset", "image_group"] = Field("dataset", description="whole data sets, or groups of images")
    group_size: int = Field(10, ge=1, description="images of a group")
    stdcutoff: float = Field(
        4.0, description="a ΔCC½ this many standard deviations below the mean of all takes a group out"
    )
    robust: bool = Field(
        False, description="median and its deviations in place of mean and standard deviation, which bad groups widen"
    )
    zcutoff: float | None = Field(
        6.0,
        gt=0,
        description="where stdcutoff finds none: the group goes whose ΔCC½ lies furthest below what its errors let "
        "expect, if by this many standard deviations; None: not",
    )
    max_cycles: int = Field(6, ge=1, description="cycles of scaling and filtering at most")
    max_percent_removed: float = Field(
        10.0, gt=0, le=100, description="observations taken out at most", json_schema_extra={"unit": "%"}
    )
    min_completeness: float | None = Field(
        None, ge=0, le=100, description="no group goes that would leave the data less complete",
        json_schema_extra={"unit": "%"},
    )  # fmt: skip


class Filtering(StepParams):
    """Take out what harms CC½, and scale again."""

    method: Literal["none", "deltacchalf"] = Field("none", description="deltacchalf: by CC½ without each group")
    deltacchalf: DeltaCCHalfFilter = DeltaCCHalfFilter()


class Params(StepParams):
    """Parameters of ``mxdask scale``."""

    model: Literal["auto", "physical", "KB", "dose_decay", "array"] = Field(
        "auto", description="auto: physical for sweeps wider than 1°, KB for narrower ones and stills"
    )
    anomalous: bool = Field(False, description="Friedel mates are not equivalent while scaling and rejecting outliers")
    physical: PhysicalModel = PhysicalModel()
    KB: KBModel = KBModel()
    dose_decay: DoseDecayModel = DoseDecayModel()
    array: ArrayModel = ArrayModel()
    reflection_selection: ReflectionSelection = ReflectionSelection()
    outlier: OutlierRejection = OutlierRejection()
    error_model: ErrorModel = ErrorModel()
    cut_data: CutData = CutData()
    filtering: Filtering = Filtering()
    scaling_options: ScalingOptions = ScalingOptions()
    overwrite_existing_models: bool = Field(
        False, description="False: scaling goes on from the models in the .expt file, new crystals are brought to them"
    )
    merging: Merging = Merging()
    exclude_images: tuple[str, ...] | None = Field(
        None, description="images to leave out, as experiment:first:last, e.g. 0:1:20"
    )
    seed: int = Field(42, ge=0, description="seed of the half sets of CC½")
