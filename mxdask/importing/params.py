"""Parameters of ``mxdask import``; names as in ``dials.import`` where the thing is the same."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue, model_validator

from mxdask.params import StepParams

Vector = tuple[float, float, float]


def _unit(unit: str) -> dict[str, JsonValue]:
    return {"unit": unit}


class Input(StepParams):
    template: tuple[str, ...] | None = Field(
        default=None, description="File-name templates (# for each digit of the image number), in addition to files"
    )
    directory: tuple[str, ...] | None = Field(default=None, description="Folders of which all images are imported")
    reference_geometry: str | None = Field(
        default=None, description="An .expt file whose beam, detector and goniometer replace those of the headers"
    )
    use_beam_reference: bool = Field(default=True, description="Take the beam from reference_geometry")
    use_detector_reference: bool = Field(default=True, description="Take the detector from reference_geometry")
    use_gonio_reference: bool = Field(default=True, description="Take the goniometer from reference_geometry")
    check_images: bool = Field(
        default=True,
        description="Leave out sweeps whose pixel data are missing; False imports their geometry all the same",
    )


class BeamGeometry(StepParams):
    wavelength: float | None = Field(default=None, gt=0, description="Wavelength", json_schema_extra=_unit("Å"))
    direction: Vector | None = Field(default=None, description="Direction from the sample to the source")
    polarization_normal: Vector | None = Field(default=None, description="Normal of the plane of polarization")
    polarization_fraction: float | None = Field(default=None, ge=0, le=1, description="Fraction of polarized light")


class DetectorGeometry(StepParams):
    distance: float | None = Field(
        default=None, gt=0, description="Distance sample to panel along its normal", json_schema_extra=_unit("mm")
    )
    fast_slow_beam_centre: tuple[float, ...] | None = Field(
        default=None,
        description="Where the beam hits: fast, slow and, for several panels, the panel",
        json_schema_extra=_unit("px"),
    )
    slow_fast_beam_centre: tuple[float, ...] | None = Field(
        default=None, description="Where the beam hits: slow, fast[, panel]", json_schema_extra=_unit("px")
    )
    mosflm_beam_centre: tuple[float, ...] | None = Field(
        default=None,
        description="Where the beam hits in the convention of MOSFLM: slow, fast",
        json_schema_extra=_unit("mm"),
    )
    fast_axis: Vector | None = Field(default=None, description="Fast axis of a single-panel detector")
    slow_axis: Vector | None = Field(default=None, description="Slow axis of a single-panel detector")
    origin: Vector | None = Field(
        default=None,
        description="Outer corner of pixel (0, 0) of a single-panel detector",
        json_schema_extra=_unit("mm"),
    )
    pixel_size: tuple[float, float] | None = Field(
        default=None, description="Pixel size, fast and slow", json_schema_extra=_unit("mm")
    )
    thickness: float | None = Field(
        default=None, ge=0, description="Thickness of the sensor", json_schema_extra=_unit("mm")
    )
    material: str | None = Field(
        default=None, description="Sensor: Si, CdTe, GaAs or Ge; its attenuation is worked out anew"
    )
    trusted_range: tuple[float, float] | None = Field(
        default=None,
        description="Lowest and highest raw value that is a measurement, both included",
        json_schema_extra=_unit("counts"),
    )
    gain: float | None = Field(default=None, gt=0, description="Counts per photon")
    pedestal: float | None = Field(
        default=None, description="Raw value of no photon", json_schema_extra=_unit("counts")
    )

    @model_validator(mode="after")
    def _one_centre(self) -> DetectorGeometry:
        centres = {"fast_slow_beam_centre": (2, 3), "slow_fast_beam_centre": (2, 3), "mosflm_beam_centre": (2,)}
        given = [name for name in centres if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give only one of {', '.join(given)}")
        if given and len(getattr(self, given[0])) not in centres[given[0]]:
            raise ValueError(f"{given[0]} takes {' or '.join(map(str, centres[given[0]]))} numbers")
        return self


class GoniometerGeometry(StepParams):
    axis: Vector | None = Field(default=None, description="Rotation axis of a single-axis goniometer")
    axes: tuple[float, ...] | None = Field(
        default=None, description="Axes from crystal to base, three numbers each, all angles zero"
    )
    angles: tuple[float, ...] | None = Field(
        default=None, description="Angles of the axes", json_schema_extra=_unit("deg")
    )
    names: tuple[str, ...] | None = Field(default=None, description="Names of the axes")
    scan_axis: int | None = Field(default=None, ge=0, description="Which axis turns, from 0 at the crystal")
    invert_rotation_axis: bool = Field(default=False, description="Turn the rotation axis round")


class ScanGeometry(StepParams):
    oscillation: tuple[float, float] | None = Field(
        default=None,
        description="Start of the first image of each sweep, and width of an image",
        json_schema_extra=_unit("deg"),
    )


class Geometry(StepParams):
    """Values that replace those of headers and reference geometry."""

    beam: BeamGeometry = Field(default_factory=BeamGeometry)
    detector: DetectorGeometry = Field(default_factory=DetectorGeometry)
    goniometer: GoniometerGeometry = Field(default_factory=GoniometerGeometry)
    scan: ScanGeometry = Field(default_factory=ScanGeometry)


class Lookup(StepParams):
    mask: str | None = Field(
        default=None, description="Mask file of all sweeps (DIALS pickle, .npz or .npy), True = good"
    )
    gain: str | None = Field(default=None, description="Gain map")
    pedestal: str | None = Field(default=None, description="Pedestal map")
    dx: str | None = Field(default=None, description="Map of pixel offsets along fast; only together with dy")
    dy: str | None = Field(default=None, description="Map of pixel offsets along slow; only together with dx")

    @model_validator(mode="after")
    def _both_offsets(self) -> Lookup:
        if (self.dx is None) != (self.dy is None):
            raise ValueError("dx and dy maps are given together or not at all")
        return self


class Params(StepParams):
    input: Input = Field(default_factory=Input)
    image_range: tuple[int, int] | None = Field(
        default=None, description="Use only these images of every sweep (numbers as in the file names, both included)"
    )
    geometry: Geometry = Field(default_factory=Geometry)
    lookup: Lookup = Field(default_factory=Lookup)
    identifier_type: Literal["uuid"] | None = Field(
        default="uuid", description="uuid: every experiment gets a fresh identifier; None: none"
    )
