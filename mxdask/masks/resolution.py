"""Masks by resolution: limits, ranges and powder rings (front.md 5.1)."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np

from mxdask.errors import ParameterError
from mxdask.lattice.powder import powder_lines
from mxdask.masks.params import IceRings, MaskParams
from mxdask.masks.resolution_kernels import mask_intervals
from mxdask.models import Beam, Panel
from mxdask.models.detector import SIMPLE

Interval = tuple[float, float]


def mask_resolution(mask: np.ndarray, panel: Panel, beam: Beam, intervals: list[Interval], *, parallax: bool) -> None:
    """Set a (slow, fast) bool mask to False where 1/d² (Å⁻²) of the pixel is in one of the closed intervals.

    Parameters
    ----------
    parallax : whether the panel's parallax correction, if it has one, counts.
    """
    if not intervals:
        return
    merged = _merge(intervals)
    corrected = parallax and panel.is_parallax_corrected
    mask_intervals(
        panel.origin, panel.fast_axis, panel.slow_axis, panel.outward, *panel.pixel_size,
        panel.thickness if corrected else 0.0, panel.mu, np.asarray(beam.s0),
        np.array([low for low, _ in merged]), np.array([high for _, high in merged]), mask.view(np.uint8),
    )  # fmt: skip


def limits(params: MaskParams) -> list[Interval]:
    """Closed intervals of 1/d² (Å⁻²) that d_min, d_max and resolution_range take out."""
    out: list[Interval] = []
    if params.d_min is not None:
        out.append((params.d_min**-2, np.inf))
    if params.d_max is not None:
        out.append((-np.inf, params.d_max**-2))
    return out + [(max(pair) ** -2, min(pair) ** -2) for pair in params.resolution_range]


def ring_intervals(params: IceRings, panel: Panel, beam: Beam, *, parallax: bool) -> list[Interval]:
    """Closed intervals of 1/d² (Å⁻²) of the rings whose centre is at least at d_min, or at the panel's corners."""
    if not params.filter:
        return []
    d_min = params.d_min or highest_resolution(panel, beam, parallax=parallax)
    half = 0.5 * params.width
    return [(centre - half, centre + half) for centre in powder_rings(params, d_min)]


def powder_rings(params: IceRings, d_min: float) -> list[float]:
    """1/d² (Å⁻²) of the rings with d ≥ d_min (Å), ascending.

    Raises
    ------
    ParameterError : unknown space group, or a cell that it does not allow.
    """
    group = gemmi.find_spacegroup_by_name(params.space_group) or (
        gemmi.find_spacegroup_by_number(int(params.space_group))
        if params.space_group.isdigit() and 1 <= int(params.space_group) <= 230
        else None
    )
    cell = gemmi.UnitCell(*params.unit_cell)
    if group is None:
        raise ParameterError(f"ice_rings.space_group={params.space_group}: unknown; give its number or symbol")
    if not cell.is_compatible_with_spacegroup(group):
        shown = ",".join(f"{v:g}" for v in params.unit_cell)
        raise ParameterError(f"ice_rings.unit_cell={shown} does not fit space group {group.hm}")
    return powder_lines(params.unit_cell, group, d_min).tolist()


def highest_resolution(panel: Panel, beam: Beam, *, parallax: bool) -> float:
    """d (Å) at the panel's corner of highest resolution."""
    flat = panel if parallax else replace(panel, px_mm_strategy=SIMPLE)
    width, height = panel.image_size
    corners = np.array([[0, 0], [0, height], [width, 0], [width, height]], dtype=float)
    ray = flat.lab_coord(flat.pixel_to_mm(corners))
    s0 = np.asarray(beam.s0)
    q = ray / np.linalg.norm(ray, axis=1, keepdims=True) * np.linalg.norm(s0) - s0
    return float(1.0 / np.linalg.norm(q, axis=1).max())


def _merge(intervals: list[Interval]) -> list[Interval]:
    """The same set as disjoint intervals, ascending."""
    out: list[Interval] = []
    for low, high in sorted(intervals):
        if out and low <= out[-1][1]:
            out[-1] = out[-1][0], max(out[-1][1], high)
        else:
            out.append((low, high))
    return out
