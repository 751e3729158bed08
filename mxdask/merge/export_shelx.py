"""Observations as SHELX's HKLF 4, with what the instruction file needs (back.md 15.2)."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.merge.export_params import ShelxParams
from mxdask.merge.exportable import Exportable

_log = logging.getLogger(__name__)
_WAVELENGTH_TOLERANCE = 1e-4


def scaled_to_format(chosen: Exportable, params: ShelxParams) -> tuple[np.ndarray, np.ndarray]:
    """Intensities and sigmas (n,), multiplied by what makes them fill the range of the format."""
    intensity, sigma = chosen.observations.intensity, np.sqrt(chosen.observations.variance)
    if not params.scale:
        return intensity, sigma
    low, high = min(float(intensity.min()), float(sigma.min())), max(float(intensity.max()), float(sigma.max()))
    factors = [params.scale_range[1] / high] if high > 0 else []
    factors += [params.scale_range[0] / low] if low < 0 else []
    factor = min(factors)
    _log.info("Intensities multiplied by %.6g for the format", factor)
    return intensity * factor, sigma * factor


def instructions(chosen: Exportable, params: ShelxParams) -> dict[str, Any]:
    """Arguments for :func:`mxdask.io.shelx.write_ins`.

    Raises
    ------
    MxdaskError : several wavelengths.
    """
    waves = [e.beam.wavelength for e in chosen.experiments if e.beam is not None]
    if max(waves) - min(waves) > _WAVELENGTH_TOLERANCE:
        raise MxdaskError(
            f"format=shelx: wavelengths from {min(waves):.4f} to {max(waves):.4f} Å cannot share one file; "
            "export each wavelength by itself"
        )
    return {
        "cell": chosen.cell.parameters, "esds": _esds(chosen), "wavelength": waves[0],
        "space_group": chosen.space_group, "composition": params.composition,
    }  # fmt: skip


def _esds(chosen: Exportable) -> list[float] | None:
    """Of the cell, where all experiments have the one that is written."""
    crystals = [e.crystal for e in chosen.experiments if e.crystal is not None]
    found = []
    for crystal in crystals:
        refined = crystal.recalculated_cell is not None
        cell = np.asarray(crystal.recalculated_cell if refined else crystal.cell, dtype=np.float64)
        if not np.allclose(cell, chosen.cell.parameters, atol=1e-4):
            return None
        esds = crystal.recalculated_cell_esd if refined else crystal.cell_esds()
        found.append(None if esds is None else [float(v) for v in np.asarray(esds)[:6]])
    return found[0] if found else None
