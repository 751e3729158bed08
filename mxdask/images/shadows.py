"""The shadow of the goniometer on the frames of a sweep (front.md 5.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mxdask.errors import FileError
from mxdask.io.hdf5 import open_hdf5
from mxdask.io.nxmx import instrument_name
from mxdask.masks.goniometers import shadow_of
from mxdask.masks.shadow import Shadow
from mxdask.models import Experiment, ImageSet

# Below every trusted range: stands for a pixel in the shadow.
_IN_SHADOW = -(2**31)


@dataclass(frozen=True, eq=False)
class SweepShadow:
    """The shadow of every frame of a sweep, taken at the scan angle at which the frame begins, as DIALS does.

    Attributes
    ----------
    start, width : degrees at the beginning of frame ``first``, and per frame.
    """

    shadow: Shadow
    first: int
    start: float
    width: float

    def angle(self, z: int) -> float:
        """Scan angle (deg) at the beginning of frame z."""
        return self.start + (z - self.first) * self.width

    def over(self, masks: Sequence[np.ndarray], z: int) -> tuple[np.ndarray, ...]:
        """Per panel the mask (True = good) AND what is not in the shadow on frame z; a mask that loses nothing is
        given back as it is.
        """
        out = []
        aperture = self.shadow.solid.is_aperture
        for mask, runs in zip(masks, self.shadow.runs(self.angle(z)), strict=True):
            if aperture:
                seen = np.zeros_like(mask)
                runs.fill(seen, True)
                mask = mask & seen
            elif runs.n_pixels:
                mask = mask.copy()
                runs.fill(mask, False)
            out.append(mask)
        return tuple(out)

    def hide(self, frames: Sequence[np.ndarray], z: int) -> tuple[np.ndarray, ...]:
        """Per panel the raw counts of frame z with the shadow set below any trusted range (i4); a panel without
        shadow is given back as it is.
        """
        out = []
        aperture = self.shadow.solid.is_aperture
        for frame, runs in zip(frames, self.shadow.runs(self.angle(z)), strict=True):
            if not aperture and runs.n_pixels == 0:
                out.append(frame)
                continue
            counts = np.clip(frame, -(2**31), 2**31 - 1).astype(np.int32)
            if aperture:
                lit, counts = counts, np.full_like(counts, _IN_SHADOW)
                for row, start, stop in zip(runs.row, runs.start, runs.stop, strict=True):
                    counts[row, start:stop] = lit[row, start:stop]
            else:
                runs.fill(counts, _IN_SHADOW)
            out.append(counts)
        return tuple(out)


def sweep_shadow(experiment: Experiment) -> SweepShadow | None:
    """The shadow that an experiment's ``dynamic_shadowing`` and its beamline ask for, or None.

    No pixel is read; of HDF5 files the instrument's name, if a goniometer of several axes makes that worth while.
    """
    imageset, scan, detector = experiment.imageset, experiment.scan, experiment.detector
    if imageset is None or scan is None or detector is None or scan.oscillation is None:
        return None
    asked = imageset.params.get("dynamic_shadowing", False)
    shadow = shadow_of(detector, experiment.goniometer, asked, lambda: _instrument(imageset))
    if shadow is None:
        return None
    return SweepShadow(shadow, scan.array_range[0], scan.oscillation_range[0], scan.width)


def _instrument(imageset: ImageSet) -> str:
    """Name of the instrument in an HDF5 master file, or ""."""
    if not imageset.template.lower().endswith((".nxs", ".h5", ".hdf5", ".nx5")):
        return ""
    try:
        with open_hdf5(imageset.template) as file:
            return instrument_name(file)
    except FileError:  # said by whoever reads the pixels
        return ""
