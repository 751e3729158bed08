"""Parameters of find_spots; names as in DIALS' ``spotfinder`` scope."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from mxdask.params import StepParams


def _field(default: Any, description: str, unit: str = "", **limits: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"unit": unit}, **limits)


class Dispersion(StepParams):
    """Both dispersion algorithms (front.md 6.1)."""

    gain: float | None = _field(
        None, "Counts per photon, on top of the detector's own gain; None is 1", "counts/photon", gt=0
    )
    kernel_size: tuple[int, int] = _field(
        (3, 3), "Half sizes (slow, fast) of the window for local mean and variance; 1 to 20", "px"
    )
    sigma_background: float = _field(
        6.0, "A window is dispersed if its variance/mean exceeds that of Poisson counts by this many sigma", ge=0
    )
    sigma_strong: float = _field(3.0, "A strong pixel exceeds its background by this many sigma", ge=0)
    min_local: int = _field(2, "Fewest usable pixels in a window; 0 or less asks for the whole window", "px")
    global_threshold: float | None = _field(
        0.0, "A strong pixel is above this value; None finds it from the first image of each sweep", "counts"
    )
    masked_pixels_dispersed: bool = _field(
        False,
        "dispersion_extended: True counts masked pixels as dispersed, so that spots beside gaps are not eroded there "
        "(DIALS from 3.13 on); False does as DIALS 3.12",
    )


class RadialProfile(StepParams):
    """Threshold from the pixels at the same 2θ (front.md 6.1); needs the right beam centre."""

    n_iqr: float = _field(6.0, "A strong pixel exceeds the median at its 2θ by this many interquartile ranges", gt=0)
    blur: Literal["narrow", "wide"] | None = _field(None, "Smooth the image first: 3×3 (narrow) or 5×5 (wide) kernel")
    n_bins: int = _field(100, "Number of 2θ bins", ge=1)


class Threshold(StepParams):
    """How strong pixels are told from background."""

    algorithm: Literal["dispersion_extended", "dispersion", "radial_profile"] = _field(
        "dispersion_extended", "Kind of threshold"
    )
    dispersion: Dispersion = Dispersion()
    radial_profile: RadialProfile = RadialProfile()


class IceRings(StepParams):
    """Rings of hexagonal ice."""

    filter: bool = _field(False, "Mask the ice rings before thresholding")
    width: float = _field(0.002, "Width of a ring in 1/d²", "Å⁻²", gt=0)


class Untrusted(StepParams):
    """Regions masked before thresholding, on every panel unless ``panel`` is given."""

    panel: int | None = _field(None, "Panel the regions are on; None means all", ge=0)
    rectangle: tuple[tuple[int, int, int, int], ...] = _field((), "x0,x1,y0,y1, half-open; may be repeated", "px")
    circle: tuple[tuple[float, float, float], ...] = _field((), "x,y,radius; may be repeated", "px")
    polygon: tuple[tuple[float, ...], ...] = _field((), "x,y pairs of the corners; may be repeated", "px")


class SpotDensity(StepParams):
    """Reject spots in areas of the detector that are much too crowded."""

    filter: bool = _field(False, "Apply this filter")
    nbins: int = _field(50, "Bins per side of the map of positions", ge=2)
    gradient_cutoff: float = _field(0.002, "Bins are too full where their cumulative histogram is flatter", gt=0)


class Filter(StepParams):
    """Which pixels take part, and which spots are kept."""

    min_spot_size: int | None = _field(None, "Fewest strong pixels; None is 3 for pixel arrays, else 6", "px", ge=1)
    max_spot_size: int = _field(1000, "Most strong pixels", "px", ge=1)
    max_separation: float = _field(2.0, "Largest distance from peak to centroid", "px", gt=0)
    max_strong_pixel_fraction: float = _field(
        0.25, "An image with a larger fraction of strong pixels is reported as bad and left out", gt=0, le=1
    )
    border: int = _field(0, "Pixels masked at the edges of each panel", "px", ge=0)
    d_min: float | None = _field(None, "Mask pixels of higher resolution", "Å", gt=0)
    d_max: float | None = _field(None, "Mask pixels of lower resolution", "Å", gt=0)
    resolution_range: tuple[tuple[float, float], ...] = _field((), "Mask pixels within; may be repeated", "Å")
    ice_rings: IceRings = IceRings()
    untrusted: Untrusted = Untrusted()
    disable_parallax_correction: bool = _field(False, "Resolution of pixels without the parallax correction")
    spot_density: SpotDensity = SpotDensity()


class Output(StepParams):
    """What is written."""

    shoeboxes: bool = _field(True, "Keep the pixels of the spots (DIALS' integrate needs them to model the profile)")
    zarr: bool = _field(
        False,
        "Keep the images in a Zarr store per sweep as they are read: all later steps can do with the stores and "
        "converted.expt alone",
    )
    codec: Literal["zstd", "lz4"] = _field("zstd", "Of the Zarr stores: zstd for data to keep, lz4 for scratch")


class Params(StepParams):
    """Parameters of find_spots."""

    threshold: Threshold = Threshold()
    filter: Filter = Filter()
    scan_range: tuple[tuple[int, int], ...] = _field((), "First and last image number to use; may be repeated")
    exclude_images: tuple[int, ...] = _field((), "Image numbers to leave out")
    exclude_images_multiple: int | None = _field(None, "Leave out every image whose number is a multiple of this", ge=2)
    region_of_interest: tuple[int, int, int, int] | None = _field(None, "x0,x1,y0,y1: look only here", "px")
    maximum_trusted_value: float | None = _field(None, "Upper end of the trusted range for this step only", "counts")
    force_2d: bool = _field(False, "Spots do not continue on the next image")
    hot_pixel_fraction: float = _field(
        0.5, "Pixels strong on a larger fraction of a sweep's images are reported as hot", gt=0, le=1
    )
    per_image_statistics: bool = _field(False, "Print the table of images (the log file has it always)")
    write_hot_mask: bool = _field(
        False, "Add the hot pixels to every sweep's mask: hot_mask_N.pickle, and the .expt that uses them"
    )
    hot_mask_prefix: str = _field("hot_mask", "Start of the names of these masks")
    block_size: int | None = _field(
        None, "Images per task, and per shard of a Zarr store; None chooses 20 to 50", "images", ge=1
    )
    output: Output = Output()
