"""Where a detector has to go so that the beam meets it at a given place."""

from __future__ import annotations

import numpy as np

from mxdask.errors import ParameterError
from mxdask.models import Beam, Panel


def shift_to_beam_centre(panel: Panel, beam: Beam, xy_mm: np.ndarray) -> np.ndarray:
    """(3,) mm in the panel's plane that bring the place ``xy_mm`` (2,) of the panel to where the beam meets it.

    Raises
    ------
    ParameterError : the beam does not meet the panel.
    """
    here, forward = panel.ray_mm(beam.s0)
    if not forward or not np.all(np.isfinite(here)):
        raise ParameterError(f"beam centre: the beam does not meet panel {panel.name!r}")
    along_fast, along_slow = here - xy_mm
    return along_fast * panel.fast_axis + along_slow * panel.slow_axis
