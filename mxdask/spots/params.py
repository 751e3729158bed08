"""Parameters of find_spots; names as in DIALS' ``spotfinder`` scope."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mxdask.params import StepParams


class Dispersion(StepParams):
    """Both dispersion algorithms (front.md 6.1)."""

    gain: float | None = Field(
        None, gt=0, description="Counts per photon, on top of the detector's gain; None is 1",
        json_schema_extra={"unit": "counts/photon"},
    )  # fmt: skip
    kernel_size: tuple[int, int] = Field(
        (3, 3), description="Half sizes (slow, fast) of the window for the local mean and variance",
        json_schema_extra={"unit": "px"},
    )  # fmt: skip
    sigma_background: float = Field(
        6.0, ge=0, description="A window is dispersed if its variance/mean exceeds 1 by this many sigma"
    )
    sigma_strong: float = Field(3.0, ge=0, description="A pixel is strong if it exceeds its background by this many sigma")
    min_local: int = Field(
        2, description="Fewest usable pixels in a window; 0 or less asks for the whole window", json_schema_extra={"unit": "px"}
    )
    global_threshold: float | None = Field(
        0.0, description="Strong pixels are above this value; None finds it from the first image of each sweep",
        json_schema_extra={"unit": "counts"},
    )  # fmt: skip
    masked_pixels_dispersed: bool = Field(
        True, description="dispersion_extended: masked pixels count as dispersed, so that spots at gaps are not eroded "
        "there (DIALS from 3.13 on); False does as DIALS 3.12",
    )  # fmt: skip
