"""Parameters of the small programs around spots; names as in DIALS."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from mxdask.params import StepParams


def _field(default: Any, description: str, unit: str = "", **limits: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"unit": unit}, **limits)


class CountsParams(StepParams):
    """Parameters of spot_counts_per_image."""

    resolution_analysis: bool = _field(True, "Estimate the resolution of every image")
    id: int | None = _field(None, "Look at this experiment only", ge=0)
    output: str | None = _field("spot_counts.json", "Where the numbers go; None: nowhere")
    plot: str | None = _field(None, "An html page with the numbers over the images")


class BlanksParams(StepParams):
    """Parameters of detect_blanks."""

    phi_step: float = _field(2.0, "Width of the bins of rotation", "°", gt=0)
    counts_fractional_loss: float = _field(0.1, "Blank: at most this fraction of the fullest bin's spots", ge=0, le=1)
    misigma_fractional_loss: float = _field(0.1, "Blank: at most this fraction of the best bin's mean I/σ", ge=0, le=1)
    output: str = _field("blanks.json", "Where the numbers go")


class GainParams(StepParams):
    """Parameters of estimate_gain."""

    kernel_size: tuple[int, int] = _field((10, 10), "Half sizes (slow, fast) of the window of background", "px")
    max_images: int = _field(1, "Images to look at, evenly spread over each sweep", ge=1)


class HotParams(StepParams):
    """Parameters of find_hot_pixels."""

    mask: str = _field("hot_pixels.pickle", "Mask to write, False at the hot pixels; numbered if there are several")


class BadParams(StepParams):
    """Parameters of find_bad_pixels."""

    images: tuple[int, ...] = _field((), "Image numbers to look at; none: all of image_range")
    image_range: tuple[int, int] | None = _field(None, "First and last image number to look at; None: all")
    fraction: float = _field(0.5, "Bad: strong on at least this fraction of the images", gt=0, le=1)
    mask: str | None = _field("pixels.mask", "Mask to write, False at the bad pixels; numbered if there are several")


class AverageParams(StepParams):
    """Parameters of image_average."""

    image_range: tuple[int, int] | None = _field(None, "First and last image number; None: all")
    block_size: int = _field(20, "Fewest images per task", "images", ge=1)
