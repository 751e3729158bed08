"""Masks from the geometry of a detector: borders, shapes, resolution, ice rings (front.md 5.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mxdask.errors import ParameterError
from mxdask.masks.params import MaskParams, Region
from mxdask.masks.regions import mask_border, mask_region
from mxdask.masks.resolution import Interval, limits, mask_resolution, ring_intervals
from mxdask.models import Beam, Detector, Panel


@dataclass(frozen=True)
class Layer:
    """One reason to mask pixels: ``apply(mask, number, panel)`` sets them to False in the mask of a panel."""

    reason: str
    apply: Callable[[np.ndarray, int, Panel], None]


def generate_mask(detector: Detector, beam: Beam | None, params: MaskParams) -> tuple[np.ndarray, ...]:
    """Per panel a (slow, fast) bool array, True = good.

    Parameters
    ----------
    beam : needed only where the resolution of pixels is asked for.

    Raises
    ------
    ParameterError : a panel that is not there, a shape outside its panel, unknown powder, or no beam.
    """
    todo = layers(detector, beam, params)
    return tuple(_panel_mask(panel, number, todo) for number, panel in enumerate(detector.panels))


def _panel_mask(panel: Panel, number: int, todo: Sequence[Layer]) -> np.ndarray:
    mask = np.ones(panel.image_size[::-1], dtype=bool)
    for layer in todo:
        layer.apply(mask, number, panel)
    return mask


def layers(detector: Detector, beam: Beam | None, params: MaskParams) -> list[Layer]:
    """What the parameters ask for, one reason after the other; errors as for :func:`generate_mask`."""
    for region in params.untrusted:
        if (region.panel or 0) >= len(detector):
            raise ParameterError(
                f"untrusted.panel={region.panel}: the detector has panels 0 to {len(detector) - 1} only"
            )
    out = []
    if params.border > 0:
        out.append(Layer("border", lambda mask, number, panel: mask_border(mask, params.border)))
    out += [_region_layer(region) for region in params.untrusted]
    if not params.needs_resolution:
        return out
    if beam is None:
        raise ParameterError("resolution limits and ice rings need a beam; the experiments have none")
    if fixed := limits(params):
        out.append(_resolution_layer("resolution limits", lambda panel: fixed, beam, params))
    if params.ice_rings.filter:
        parallax = not params.disable_parallax_correction
        out.append(
            _resolution_layer(
                "ice rings",
                lambda panel: ring_intervals(params.ice_rings, panel, beam, parallax=parallax),
                beam,
                params,
            )
        )
    return out


def _region_layer(region: Region) -> Layer:
    def apply(mask: np.ndarray, number: int, panel: Panel) -> None:
        if number == (region.panel or 0):
            mask_region(mask, region)

    shapes = [s for s in ("circle", "rectangle", "polygon", "pixel") if getattr(region, s) is not None]
    return Layer(region.reason or f"untrusted {', '.join(shapes) or 'panel'}", apply)


def _resolution_layer(
    reason: str, intervals: Callable[[Panel], list[Interval]], beam: Beam, params: MaskParams
) -> Layer:
    def apply(mask: np.ndarray, number: int, panel: Panel) -> None:
        mask_resolution(mask, panel, beam, intervals(panel), parallax=not params.disable_parallax_correction)

    return Layer(reason, apply)
