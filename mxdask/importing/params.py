"""Parameters of ``mxdask import``; names as in ``dials.import`` where the thing is the same."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, JsonValue, model_validator

from mxdask.params import StepParams

Vector = tuple[float, float, float]
Matrix = tuple[float, float, float, float, float, float, float, float, float]


def _unit(unit: str) -> dict[str, JsonValue]:
    return {"unit": unit}


class _Finite(StepParams):
    """Numbers that are no numbers are refused."""

    model_config = ConfigDict(allow_inf_nan=False)


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
    check_reference_geometry: bool = Field(
        default=True, description="Refuse a reference whose detector differs in pixels, sensor or number of panels"
    )
    split: tuple[int, ...] | None = Field(
        default=None,
        description="Cut every sweep into wedges: images per wedge, or first image, last image, images per wedge",
    )
    allow_multiple_sequences: bool = Field(default=True, description="False: more than one sweep is an error")
    beamlines: str | None = Field(
        default=None,
        description="A TOML or JSON file with goniometer axis, mask, trusted range … of detectors by serial number",
    )
    check_images: bool = Field(
        default=True,
        description="Leave out sweeps whose pixel data are missing; False imports their geometry all the same",
    )

    @model_validator(mode="after")
    def _right_split(self) -> Input:
        if self.split is not None and (len(self.split) not in (1, 3) or min(self.split) < 1):
            raise ValueError("split takes images per wedge, or first image, last image, images per wedge")
        return self


class BeamGeometry(_Finite):
    wavelength: float | None = Field(default=None, gt=0, description="Wavelength", json_schema_extra=_unit("Å"))
    direction: Vector | None = Field(default=None, description="Direction from the sample to the source")
    polarization_normal: Vector | None = Field(default=None, description="Normal of the plane of polarization")
    polarization_fraction: float | None = Field(default=None, ge=0, le=1, description="Fraction of polarized light")
    divergence: float | None = Field(default=None, ge=0, description="Divergence", json_schema_extra=_unit("deg"))
    sigma_divergence: float | None = Field(
        default=None, ge=0, description="Standard deviation of the divergence", json_schema_extra=_unit("deg")
    )
    flux: float | None = Field(default=None, ge=0, description="Photons per second")
    transmission: float | None = Field(default=None, ge=0, le=1, description="Fraction that attenuators let through")


class PanelGeometry(_Finite):
    id: int | None = Field(default=None, ge=0, description="The panel that is meant, from 0; None: all of them")
    fast_axis: Vector | None = Field(default=None, description="Fast axis of the panel")
    slow_axis: Vector | None = Field(default=None, description="Slow axis of the panel")
    origin: Vector | None = Field(
        default=None,
        description="Outer corner of pixel (0, 0) of the panel",
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
    name: str | None = Field(default=None, description="Name")
    type: str | None = Field(default=None, description="SENSOR_PAD, SENSOR_CCD, SENSOR_IMAGE_PLATE or SENSOR_UNKNOWN")
    image_size: tuple[int, int] | None = Field(
        default=None, description="Number of pixels, fast and slow", json_schema_extra=_unit("px")
    )
    parallax_correction: bool | None = Field(
        default=None, description="Whether the depth at which photons are absorbed is taken into account"
    )


class HierarchyGeometry(_Finite):
    """Frame of the whole detector: its panels move with it."""

    fast_axis: Vector | None = Field(default=None, description="Fast axis of the detector as a whole")
    slow_axis: Vector | None = Field(default=None, description="Slow axis of the detector as a whole")
    origin: Vector | None = Field(
        default=None, description="Origin of the detector as a whole", json_schema_extra=_unit("mm")
    )


class DetectorGeometry(_Finite):
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
    panel: PanelGeometry = Field(default_factory=PanelGeometry)
    hierarchy: HierarchyGeometry = Field(default_factory=HierarchyGeometry)

    @model_validator(mode="after")
    def _one_centre(self) -> DetectorGeometry:
        centres = {"fast_slow_beam_centre": (2, 3), "slow_fast_beam_centre": (2, 3), "mosflm_beam_centre": (2,)}
        given = [name for name in centres if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give only one of {', '.join(given)}")
        if given and len(getattr(self, given[0])) not in centres[given[0]]:
            raise ValueError(f"{given[0]} takes {' or '.join(map(str, centres[given[0]]))} numbers")
        return self


class GoniometerGeometry(_Finite):
    axis: Vector | None = Field(default=None, description="Rotation axis of a single-axis goniometer")
    axes: tuple[float, ...] | None = Field(
        default=None, description="Axes from crystal to base, three numbers each, all angles zero"
    )
    angles: tuple[float, ...] | None = Field(
        default=None, description="Angles of the axes", json_schema_extra=_unit("deg")
    )
    names: tuple[str, ...] | None = Field(default=None, description="Names of the axes")
    scan_axis: int | None = Field(default=None, ge=0, description="Which axis turns, from 0 at the crystal")
    fixed_rotation: Matrix | None = Field(default=None, description="Rotation between crystal and scan axis, by rows")
    setting_rotation: Matrix | None = Field(default=None, description="Rotation that carries the scan axis, by rows")
    invert_rotation_axis: bool = Field(default=False, description="Turn the rotation axis round")


class ScanGeometry(_Finite):
    oscillation: tuple[float, float] | None = Field(
        default=None,
        description="Start of the first image of each sweep, and width of an image",
        json_schema_extra=_unit("deg"),
    )
    image_range: tuple[int, int] | None = Field(
        default=None, description="Use only these images of every sweep (as image_range= itself)"
    )


class Geometry(StepParams):
    """Values that replace those of headers and reference geometry."""

    beam: BeamGeometry = Field(default_factory=BeamGeometry)
    detector: DetectorGeometry = Field(default_factory=DetectorGeometry)
    goniometer: GoniometerGeometry = Field(default_factory=GoniometerGeometry)
    scan: ScanGeometry = Field(default_factory=ScanGeometry)
    convert_sequences_to_stills: bool = Field(default=False, description="Take every image for a still")
    convert_stills_to_sequences: bool = Field(
        default=False, description="Take stills for a sweep; geometry.scan.oscillation= says how they turn"
    )

    @model_validator(mode="after")
    def _one_conversion(self) -> Geometry:
        if self.convert_sequences_to_stills and (self.convert_stills_to_sequences or self.scan.oscillation):
            raise ValueError("convert_sequences_to_stills does not go with an oscillation")
        if self.convert_stills_to_sequences and self.scan.oscillation is None:
            raise ValueError("convert_stills_to_sequences needs geometry.scan.oscillation=start,width")
        return self


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


class Format(StepParams):
    dynamic_shadowing: Literal["auto", "true", "false", "mini_kappa", "smargon", "i23_kappa", "diamond_anvil"] = Field(
        default="auto",
        description="Mask the shadow of the goniometer on every image. auto: at beamlines known to have one that "
        "throws a shadow; true: also a diamond anvil cell there; or the kind of goniometer, wherever it is",
    )


class Params(StepParams):
    input: Input = Field(default_factory=Input)
    image_range: tuple[int, int] | None = Field(
        default=None, description="Use only these images of every sweep (numbers as in the file names, both included)"
    )
    geometry: Geometry = Field(default_factory=Geometry)
    lookup: Lookup = Field(default_factory=Lookup)
    format: Format = Field(default_factory=Format)
    identifier_type: Literal["uuid"] | None = Field(
        default="uuid", description="uuid: every experiment gets a fresh identifier; None: none"
    )
