"""What the spots say of each image (``spot_counts_per_image``, front.md 7)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mxdask.geometry.mapping import wave_vectors
from mxdask.lattice.powder import ice_lines, near_lines
from mxdask.models import Experiment
from mxdask.spots.resolution import distl_method_1, distl_method_2, resolution_from_intensities
from mxdask.table import ReflectionTable

_ICE_HALF_WIDTH = 0.002  # Å⁻² in 1/d²


@dataclass(frozen=True)
class Counts:
    """Spots of one image, or of all of them.

    Attributes
    ----------
    n_spots_total, n_spots_no_ice, n_spots_4A : all, those off ice rings, those of lower resolution than 4 Å.
    total_intensity : counts, without ice. The rest: d_min (Å) by three methods and how noisy two of them are, or None.
    """

    n_spots_total: int
    n_spots_no_ice: int
    n_spots_4A: int
    total_intensity: float
    estimated_d_min: float | None = None
    d_min_distl_method_1: float | None = None
    noisiness_method_1: float | None = None
    d_min_distl_method_2: float | None = None
    noisiness_method_2: float | None = None


@dataclass(frozen=True, eq=False)
class SpotData:
    """(n,) image index z, 1/d² (Å⁻²), intensity and variance of spots, and whether they lie on ice rings."""

    z: np.ndarray
    d_star_sq: np.ndarray
    intensity: np.ndarray
    variance: np.ndarray
    ice: np.ndarray

    def select(self, rows: np.ndarray) -> SpotData:
        """Some of the spots, by mask or row numbers."""
        return SpotData(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    @classmethod
    def concat(cls, parts: Sequence[SpotData]) -> SpotData:
        """The spots of all parts, in order."""
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in cls.__dataclass_fields__))


def spot_data(experiment: Experiment, table: ReflectionTable) -> SpotData:
    """The spots of one experiment; the rotation does not matter, so stills will do."""
    assert experiment.beam is not None and experiment.detector is not None
    panel, xyz = table["panel"].astype(np.int64), table["xyzobs.px.value"]
    s1 = wave_vectors(experiment.beam, experiment.detector, panel, experiment.detector.pixel_to_mm(panel, xyz[:, :2]))
    d_star_sq = ((s1 - experiment.beam.s0) ** 2).sum(axis=1)
    d_min = 1 / np.sqrt(d_star_sq.max(initial=0.0) + _ICE_HALF_WIDTH)
    ice = near_lines(d_star_sq, ice_lines(d_min), _ICE_HALF_WIDTH)
    value, variance = table["intensity.sum.value"], table["intensity.sum.variance"]
    known = np.isfinite(xyz).all(axis=1) & (d_star_sq > 0)
    data = SpotData(np.floor(np.where(known, xyz[:, 2], 0.0)).astype(np.int64), d_star_sq, value, variance, ice)
    return data.select(known)


def count(data: SpotData, *, resolution_analysis: bool = True) -> Counts:
    """Counts of these spots; resolution only where more than ten spots lie off ice rings."""
    n_no_ice = int(np.count_nonzero(~data.ice))
    counts = (
        len(data.z), n_no_ice, int(np.count_nonzero(data.d_star_sq < 1 / 16)),
        float(data.intensity[~data.ice].sum()),
    )  # fmt: skip
    if not resolution_analysis or n_no_ice <= 10:
        return Counts(*counts)
    used = data.variance > 0
    d_star = np.sqrt(data.d_star_sq[used])
    first, second = distl_method_1(d_star) or (None, None), distl_method_2(d_star) or (None, None)
    line = resolution_from_intensities(data.d_star_sq, data.intensity, data.variance, data.ice)
    return Counts(*counts, line, *first, *second)


def counts_per_image(data: SpotData, z_range: tuple[int, int], *, resolution_analysis: bool = True) -> list[Counts]:
    """One entry per frame of ``z_range``."""
    order = np.argsort(data.z, kind="stable")
    edges = np.searchsorted(data.z[order], np.arange(z_range[0], z_range[1] + 1))
    return [
        count(data.select(order[a:b]), resolution_analysis=resolution_analysis) for a, b in itertools.pairwise(edges)
    ]
