"""Pixels left out before thresholding: borders, regions, resolution limits, ice rings (front.md 5.1, 6.1)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mxdask.masks import MaskParams, Region, generate_mask
from mxdask.masks import params as masks
from mxdask.models import Beam, Detector, Panel
from mxdask.spots.params import Filter, Untrusted


def pixel_mask(panel: Panel, number: int, beam: Beam | None, params: Filter) -> np.ndarray:
    """(slow, fast) bool, True where the filters leave a pixel in.

    Parameters
    ----------
    number : of the panel. beam : needed only for the resolution filters.

    Raises
    ------
    ParameterError : an untrusted shape that is not on the panel.
    """
    regions = _regions(params.untrusted) if params.untrusted.panel in (None, number) else []
    wanted = MaskParams(border=params.border, untrusted=tuple(regions))
    if beam is not None:
        rings = masks.IceRings(filter=params.ice_rings.filter, width=params.ice_rings.width)
        resolution = params.model_dump(include={"d_min", "d_max", "resolution_range", "disable_parallax_correction"})
        wanted = MaskParams(**resolution, border=params.border, untrusted=tuple(regions), ice_rings=rings)
    return generate_mask(Detector((panel,)), beam, wanted)[0]


def _regions(params: Untrusted) -> list[Region]:
    """The shapes one by one; a panel number alone means the whole panel."""
    shapes = [Region(rectangle=r) for r in params.rectangle]
    shapes += [Region(circle=c) for c in params.circle]
    shapes += [Region(polygon=p) for p in params.polygon]
    return shapes or ([Region()] if params.panel is not None else [])


def pixel_d_star_sq(panel: Panel, beam: Beam, *, parallax: bool = True, at: float = 0.5) -> np.ndarray:
    """(slow, fast) 1/d² (Å⁻²) of every pixel, at its centre or, with ``at=0``, at its first corner."""
    flat = panel if parallax else replace(panel, px_mm_strategy="SimplePxMmStrategy")
    width, height = panel.image_size
    s0 = beam.s0
    wavenumber = float(np.linalg.norm(s0))
    out = np.empty((height, width))
    x = np.arange(width) + at
    for y in range(height):  # row by row: the vectors of a whole detector would take half a gigabyte
        ray = flat.lab_coord(flat.pixel_to_mm(np.column_stack([x, np.full(width, y + at)])))
        q = ray * (wavenumber / np.linalg.norm(ray, axis=1, keepdims=True)) - s0
        out[y] = np.einsum("ij,ij->i", q, q)
    return out
