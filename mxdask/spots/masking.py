"""Pixels left out before thresholding: borders, regions, resolution limits, ice rings (front.md 5.1, 6.1)."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np

from mxdask.models import Beam, Panel
from mxdask.spots.params import Filter, Untrusted

# Hexagonal ice: P6₃/mmc, Å and degrees.
_ICE_CELL = gemmi.UnitCell(4.498, 4.498, 7.338, 90, 90, 120)
_ICE_GROUP = gemmi.SpaceGroup("P 63/m m c")


def pixel_mask(panel: Panel, number: int, beam: Beam | None, params: Filter) -> np.ndarray:
    """(slow, fast) bool, True where the filters leave a pixel in.

    Parameters
    ----------
    number : of the panel. beam : needed only for the resolution filters.
    """
    width, height = panel.image_size
    mask = np.ones((height, width), dtype=bool)
    if params.border > 0:
        inner = np.zeros_like(mask)
        inner[params.border : height - params.border, params.border : width - params.border] = True
        mask &= inner
    if params.untrusted.panel in (None, number):
        mask &= ~untrusted_regions((height, width), params.untrusted)
    excluded = resolution_intervals(params, 0.0)
    if (excluded or params.ice_rings.filter) and beam is not None:
        d_star_sq = pixel_d_star_sq(panel, beam, parallax=not params.disable_parallax_correction)
        excluded = resolution_intervals(params, float(d_star_sq.max()))
        for low, high in excluded:
            mask &= ~((d_star_sq >= low) & (d_star_sq <= high))
    return mask


def untrusted_regions(shape: tuple[int, int], params: Untrusted) -> np.ndarray:
    """(slow, fast) bool, True inside any of the regions; a panel number alone means the whole panel."""
    height, width = shape
    inside = np.zeros(shape, dtype=bool)
    if not (params.rectangle or params.circle or params.polygon):
        inside[:] = params.panel is not None
    y, x = np.ogrid[:height, :width]
    for x0, x1, y0, y1 in params.rectangle:
        inside[max(y0, 0) : y1, max(x0, 0) : x1] = True
    for xc, yc, radius in params.circle:
        inside |= (x - xc) ** 2 + (y - yc) ** 2 < radius**2
    for corners in params.polygon:
        inside |= _inside_polygon(shape, np.asarray(corners, dtype=np.float64).reshape(-1, 2))
    return inside


def _inside_polygon(shape: tuple[int, int], corners: np.ndarray) -> np.ndarray:
    """Even-odd rule on pixel indices."""
    height, width = shape
    y, x = np.mgrid[:height, :width]
    inside = np.zeros(shape, dtype=bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        crosses = (y0 > y) != (y1 > y)
        inside ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside


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


def resolution_intervals(params: Filter, d_star_sq_max: float) -> list[tuple[float, float]]:
    """Ranges of 1/d² (Å⁻²) to mask, ice rings up to ``d_star_sq_max`` among them."""
    intervals: list[tuple[float, float]] = []
    if params.d_min is not None:
        intervals.append((np.nextafter(params.d_min**-2, np.inf), np.inf))
    if params.d_max is not None:
        intervals.append((-np.inf, np.nextafter(params.d_max**-2, -np.inf)))
    for limits in params.resolution_range:
        intervals.append((max(limits) ** -2, min(limits) ** -2))
    if params.ice_rings.filter:
        half = 0.5 * params.ice_rings.width
        intervals += [(centre - half, centre + half) for centre in ice_rings(d_star_sq_max + half)]
    return intervals


def ice_rings(d_star_sq_max: float) -> list[float]:
    """1/d² (Å⁻²) of the rings of hexagonal ice, ascending."""
    if d_star_sq_max <= 0:
        return []
    hkl = gemmi.make_miller_array(_ICE_CELL, _ICE_GROUP, d_star_sq_max**-0.5)
    return sorted({round(float(_ICE_CELL.calculate_1_d2(list(h))), 9) for h in hkl})
