"""Lines of a powder, and those of hexagonal ice."""

from __future__ import annotations

from collections.abc import Sequence

import gemmi
import numpy as np

ICE_CELL = (4.498, 4.498, 7.338, 90.0, 90.0, 120.0)  # Å, degrees
ICE_SPACE_GROUP = 194  # P 63/m m c


def powder_lines(cell: Sequence[float], space_group: gemmi.SpaceGroup, d_min: float) -> np.ndarray:
    """(n,) 1/d² (Å⁻²) of the lines with d ≥ d_min (Å), ascending; absent reflections have none.

    Parameters
    ----------
    cell : (6,) Å, degrees.
    """
    unit_cell = gemmi.UnitCell(*cell)
    hkl = gemmi.make_miller_array(unit_cell, space_group, d_min)
    # Reflections of one line differ by rounding.
    return np.unique(np.asarray(unit_cell.calculate_1_d2_array(hkl)).round(12)) if len(hkl) else np.zeros(0)


def ice_lines(d_min: float) -> np.ndarray:
    """(n,) 1/d² (Å⁻²) of the lines of hexagonal ice with d ≥ d_min (Å), ascending."""
    return powder_lines(ICE_CELL, gemmi.SpaceGroup(ICE_SPACE_GROUP), d_min)


def near_lines(d_star_sq: np.ndarray, lines: np.ndarray, half_width: float) -> np.ndarray:
    """(n,) whether values of 1/d² (n,) are nearer than ``half_width`` to one of the lines (ascending); all in Å⁻²."""
    if not len(lines):
        return np.zeros(len(d_star_sq), dtype=bool)
    right = np.minimum(np.searchsorted(lines, d_star_sq), len(lines) - 1)
    left = np.maximum(right - 1, 0)
    near: np.ndarray = np.minimum(np.abs(d_star_sq - lines[right]), np.abs(d_star_sq - lines[left])) < half_width
    return near
