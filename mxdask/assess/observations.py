"""Scaled observations, from .expt and .refl files or from an unmerged MTZ file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import gemmi
import numpy as np

from mxdask.errors import MxdaskError
from mxdask.intensity.cells import common_space_group, median_cell
from mxdask.intensity.merging import Unmerged
from mxdask.intensity.observations import Filters, best_choice, select_observations
from mxdask.io.mtz_unmerged import UnmergedMtz
from mxdask.models import ExperimentList
from mxdask.table import ReflectionTable, match_to_experiments

# All that selecting observations looks at; the other columns of a table would only be copied along.
_NEEDED = (
    "id", "flags", "miller_index", "d", "partiality", "partial_id", "inverse_scale_factor", "lp", "qe", "dqe",
    "xyzobs.px.value", "xyzcal.px",
)  # fmt: skip


@dataclass(frozen=True)
class ScaledObservations:
    """Observations on one scale.

    Attributes
    ----------
    hkl : (n, 3) as indexed.
    intensity, variance : (n,).
    sweep : (n,) i4, row of ``names``.
    z : (n,) centroid, in images from the start of image 1.
    cell, space_group : of all.
    names : of the sweeps (or crystals).
    """

    hkl: np.ndarray
    intensity: np.ndarray
    variance: np.ndarray
    sweep: np.ndarray
    z: np.ndarray
    cell: gemmi.UnitCell
    space_group: gemmi.SpaceGroup
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.hkl)

    @property
    def image(self) -> np.ndarray:
        """(n,) number of the image that the centroid lies in."""
        return np.floor(self.z).astype(np.int64) + 1

    def select(self, rows: np.ndarray) -> ScaledObservations:
        """Observations by mask or index."""
        arrays = {k: getattr(self, k)[rows] for k in ("hkl", "intensity", "variance", "sweep", "z")}
        return replace(self, **arrays)

    def within(self, d_min: float | None, d_max: float | None) -> ScaledObservations:
        """Observations with d_min < d < d_max (Å), by the common cell.

        Raises
        ------
        MxdaskError : none is left.
        """
        if d_min is None and d_max is None:
            return self
        d = self.cell.calculate_d_array(self.hkl)
        keep = (d > (d_min or 0.0)) & (d < (d_max or np.inf))
        if not keep.any():
            low, high = (f"{limit:g}" if limit else "the end" for limit in (d_max, d_min))
            raise MxdaskError(f"no observation lies between {low} and {high} Å; change d_min or d_max")
        return self.select(keep)

    def unmerged(self) -> Unmerged:
        """Grouped by symmetry."""
        return Unmerged.of(self.hkl, self.intensity, self.variance, self.cell, self.space_group)


def from_experiments(
    experiments: ExperimentList, reflections: ReflectionTable, partiality_threshold: float = 0.4
) -> ScaledObservations:
    """Observations fit for merging: scaled, not rejected.

    Parameters
    ----------
    partiality_threshold : least recorded fraction, after joining the pieces of a reflection.

    Raises
    ------
    MxdaskError : nothing was scaled, or the crystals have not one space group.
    """
    names = [n for n in reflections if n in _NEEDED or n.startswith("intensity.")]
    table = ReflectionTable({n: reflections[n] for n in names}, reflections.identifiers)
    table = match_to_experiments(table, experiments.identifiers)
    if best_choice(table) != "scale":
        raise MxdaskError("the reflections are not scaled; run `mxdask scale` first")
    found = select_observations(table, "scale", Filters(partiality_threshold=partiality_threshold, min_isigi=None))
    if len(found) == 0:
        raise MxdaskError("no reflection is fit for merging (flags, partiality); was scaling successful?")
    return ScaledObservations(
        found.hkl, found.intensity, found.variance, found.experiment, found.xyz[:, 2],
        median_cell(experiments), common_space_group(experiments), _distinct([e.name for e in experiments]),
    )  # fmt: skip


def from_mtz(content: UnmergedMtz) -> ScaledObservations:
    """Observations of an unmerged file whose I are scaled."""
    keep = np.isfinite(content.intensity) & (content.sigma > 0)
    names = tuple(f"batch {first}…" for first in content.first_batches)
    return ScaledObservations(
        content.hkl[keep], content.intensity[keep], content.sigma[keep] ** 2, content.sweep[keep].astype(np.int32),
        content.image[keep] - 0.5, content.cell, content.space_group, names,
    )  # fmt: skip


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Names with the place in the list added where several are alike (lattices of one sweep)."""
    return tuple(n if names.count(n) == 1 else f"{n} ({i})" for i, n in enumerate(names))
