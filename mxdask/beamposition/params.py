"""Parameters of search_beam_position; names as in DIALS."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from mxdask.params import StepParams


def _field(default: Any, description: str, unit: str = "", **limits: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"unit": unit}, **limits)


class Default(StepParams):
    """From the spots: the reciprocal lattice must contain its origin (Sauter, Grosse-Kunstleve & Adams, 2004)."""

    max_cell: float | None = _field(None, "Longest cell axis; None estimates it from the spots", "Å", gt=0)
    image_range: tuple[tuple[int, int], ...] = _field((), "First and last image number to use; may be repeated")
    max_reflections: int = _field(10000, "Most spots of a sweep to use, the ones of lowest resolution", ge=1)
    mm_search_scope: float = _field(4.0, "Largest shift to look for", "mm", gt=0)
    wide_search_binning: float = _field(2.0, "Step of the search, unless the spots ask for a finer one", "px", gt=0)
    n_macro_cycles: int = _field(1, "Times the whole search is done, each from the result before", ge=1)
    d_min: float | None = _field(None, "Leave out spots of higher resolution", "Å", gt=0)
    stretch: float = _field(
        20.0, "Wide sweeps are looked at in stretches of this size: a wrong beam centre blurs wider ones", "°", gt=0
    )
    max_stretches: int = _field(4, "Stretches to use of a wide sweep, evenly spread", ge=1)


class Midpoint(StepParams):
    """The middle of what is brighter than several levels."""

    exclude_pixel_range_x: tuple[tuple[int, int], ...] = _field((), "Columns left out, half-open; may be repeated")
    exclude_pixel_range_y: tuple[tuple[int, int], ...] = _field((), "Rows left out, half-open; may be repeated")
    exclude_intensity_percent: float = _field(0.01, "Brightest pixels left out", "%", ge=0, lt=100)
    convolution_width: int = _field(80, "Box that smooths the profile", "px", ge=1)
    intersection_range: tuple[float, float, float] = _field(
        (0.3, 0.9, 0.01), "First level, last level, step; 0 is the lowest and 1 the highest of the profile"
    )
    intersection_min_width: int = _field(10, "Narrower runs above a level are not looked at", "px", ge=0)
    dead_pixel_range_x: tuple[tuple[int, int], ...] = _field((), "Columns a run must not touch; may be repeated")
    dead_pixel_range_y: tuple[tuple[int, int], ...] = _field((), "Rows a run must not touch; may be repeated")


class Maximum(StepParams):
    """Where the image is brightest."""

    bad_pixel_threshold: float | None = _field(None, "Brighter pixels are left out", "counts", gt=0)
    n_convolutions: int = _field(1, "Times the profile is smoothed", ge=0)
    convolution_width: int = _field(1, "Half width of the box that smooths the profile", "px", ge=0)
    bin_width: int = _field(20, "Width of the bins whose sums are compared", "px", ge=1)
    bin_step: int = _field(10, "Distance from bin to bin", "px", ge=1)


class Inversion(StepParams):
    """The point about which the image looks most like itself inverted."""

    guess_position: tuple[float, float] | None = _field(
        None, "Fast, slow position to start from; None is the centre of the header", "px"
    )
    inversion_window_width: int = _field(400, "Half width of the search about the guess", "px", ge=1)
    bad_pixel_threshold: float | None = _field(None, "Brighter pixels are left out", "counts", gt=0)


Method = Literal["default", "midpoint", "maximum", "inversion"]


class Params(StepParams):
    """Parameters of search_beam_position."""

    method: Method = _field("default", "default: from the spots; the others: from the average image")
    method_x: Method | None = _field(None, "Another projection method along the fast axis")
    method_y: Method | None = _field(None, "Another projection method along the slow axis")
    default: Default = Default()
    midpoint: Midpoint = Midpoint()
    maximum: Maximum = Maximum()
    inversion: Inversion = Inversion()
