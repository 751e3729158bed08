"""Parameters of masks; names as in ``dials.generate_mask``."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from mxdask.lattice.powder import ICE_CELL
from mxdask.params import StepParams


def _field(default: Any, description: str, unit: str = "", **limits: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"unit": unit}, **limits)


class Region(StepParams):
    """Pixels of one panel that are not to be used; without any shape the whole panel."""

    panel: int | None = _field(
        None,
        "Panel of the shapes that follow, until the next untrusted.panel; None is panel 0. A panel without a shape is "
        "masked as a whole. The block may be repeated",
        ge=0,
    )
    circle: tuple[float, float, float] | None = _field(None, "x,y,radius", "px")
    rectangle: tuple[int, int, int, int] | None = _field(None, "x0,x1,y0,y1, half-open", "px")
    polygon: tuple[float, ...] | None = _field(None, "x1,y1,x2,y2,… of the corners; a pixel counts by its centre", "px")
    pixel: tuple[int, int] | None = _field(None, "y,x (slow, fast) of a single pixel", "px")
    reason: str = _field("", "What is there, for the picture's legend")

    @field_validator("polygon", mode="before")
    @classmethod
    def _corners(cls, value: Any) -> Any:
        """Corners as pairs are corners in a row."""
        if isinstance(value, list | tuple) and value and all(isinstance(v, list | tuple) for v in value):
            return [number for pair in value for number in pair]
        return value

    @model_validator(mode="after")
    def _shapes_make_sense(self) -> Region:
        if self.circle is not None and self.circle[2] <= 0:
            raise ValueError("the radius of a circle must be above zero")
        if self.rectangle is not None and not (
            self.rectangle[0] < self.rectangle[1] and self.rectangle[2] < self.rectangle[3]
        ):
            raise ValueError(f"rectangle {','.join(map(str, self.rectangle))}: x0,x1,y0,y1 with x0<x1 and y0<y1 needed")
        if self.polygon is not None and (len(self.polygon) % 2 or len(self.polygon) < 6):
            raise ValueError(f"a polygon needs x and y of three or more corners, not {len(self.polygon)} numbers")
        return self

    @property
    def is_whole_panel(self) -> bool:
        """Whether no shape was given: all of the panel is meant."""
        return self.circle is None and self.rectangle is None and self.polygon is None and self.pixel is None


class IceRings(StepParams):
    """Powder rings, by default those of hexagonal ice."""

    filter: bool = _field(False, "Mask the rings")
    unit_cell: tuple[float, float, float, float, float, float] = _field(ICE_CELL, "Cell of the powder", "Å, °")
    space_group: str = _field("194", "Space group of the powder: number or symbol")
    width: float = _field(0.002, "Width of a ring in 1/d²", "Å⁻²", gt=0)
    d_min: float | None = _field(None, "Rings down to this; None is the corner of the panel", "Å", gt=0)


class MaskParams(StepParams):
    """What makes a mask from a detector's geometry alone."""

    border: int = _field(0, "Pixels masked at the edges of each panel", "px", ge=0)
    d_min: float | None = _field(None, "Mask pixels of higher resolution", "Å", gt=0)
    d_max: float | None = _field(None, "Mask pixels of lower resolution", "Å", gt=0)
    resolution_range: tuple[tuple[float, float], ...] = _field((), "Mask pixels within; may be repeated", "Å")
    disable_parallax_correction: bool = _field(False, "Resolution of pixels without the parallax correction")
    ice_rings: IceRings = IceRings()
    untrusted: tuple[Region, ...] = ()

    @field_validator("resolution_range")
    @classmethod
    def _two_limits(cls, value: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        if any(min(limits) <= 0 or limits[0] == limits[1] for limits in value):
            raise ValueError("a resolution range is two different numbers above zero, in Å")
        return value

    @property
    def needs_resolution(self) -> bool:
        """Whether the mask depends on the resolution of pixels, that is on beam and geometry."""
        return bool(self.d_min or self.d_max or self.resolution_range or self.ice_rings.filter)
