"""Which sweeps have one beam and detector, and which experiments must be refined together (front.md 12.1, 13.2)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from mxdask.models import Beam, Detector, ExperimentList
from mxdask.refine.params import Sharing

SHARED_KINDS = ("beam", "detector", "goniometer", "crystal")
WAVELENGTH_TOLERANCE = 1e-3  # relative


@dataclass(frozen=True)
class Geometry:
    """A beam and the detector it goes with, and the experiments that have them."""

    beam: Beam
    detector: Detector
    rows: tuple[int, ...]


def own_crystals(experiments: ExperimentList) -> ExperimentList:
    """A copy of the crystal for every further scan that shares it: crystals that vary do so along one scan."""
    seen: dict[tuple[int, int], object] = {}
    first: dict[int, int] = {}
    out = []
    for experiment in experiments:
        crystal, scan = experiment.crystal, id(experiment.scan)
        assert crystal is not None
        key = (id(crystal), scan)
        if key not in seen:
            seen[key] = crystal if first.setdefault(id(crystal), scan) == scan else replace(crystal)
        out.append(experiment.evolve(crystal=seen[key]))
    return experiments.with_experiments(out)


def own_geometry(experiments: ExperimentList) -> ExperimentList:
    """A copy of beam and detector for every sweep (lattices of one sweep keep sharing theirs)."""
    copies: dict[int, tuple[Beam, Detector]] = {}
    out = []
    for experiment in experiments:
        assert experiment.beam is not None and experiment.detector is not None
        key = id(experiment.imageset)
        if key not in copies:
            copies[key] = (replace(experiment.beam), replace(experiment.detector))
        beam, detector = copies[key]
        out.append(experiment.evolve(beam=beam, detector=detector))
    return experiments.with_experiments(out)


def connected_sets(experiments: ExperimentList) -> list[list[int]]:
    """Rows that share a beam, detector, goniometer or crystal, directly or through others; in order of first row."""
    pairs = []
    for kind in SHARED_KINDS:
        groups: dict[int, list[int]] = {}
        for row, experiment in enumerate(experiments):
            groups.setdefault(id(getattr(experiment, kind)), []).append(row)
        for rows in groups.values():
            pairs += list(itertools.pairwise(rows))
    return components(len(experiments), pairs)


def components(n: int, pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Connected components of n items joined by pairs, each ascending, in order of their first item."""
    i, j = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    _, label = connected_components(coo_matrix((np.ones(len(i)), (i, j)), shape=(n, n)), directed=False)
    groups: dict[int, list[int]] = {}
    for row, value in enumerate(label):
        groups.setdefault(int(value), []).append(row)
    return list(groups.values())


def geometries(experiments: ExperimentList) -> list[Geometry]:
    """Distinct pairs of beam and detector, in order of first use."""
    groups = experiments.groups(lambda e: (id(e.beam), id(e.detector)))
    out = []
    for rows in groups.values():
        beam, detector = experiments[rows[0]].beam, experiments[rows[0]].detector
        assert beam is not None and detector is not None
        out.append(Geometry(beam, detector, tuple(rows)))
    return out


def to_be_shared(experiments: ExperimentList, sharing: Sharing) -> list[list[Geometry]]:
    """Groups of several geometries that are taken to be one, by the policy asked for.

    ``auto`` joins geometries with the same panels, whose origins and directions agree within the tolerances, directly
    or through others; ``shared`` and ``reference`` ask for the same panels and wavelength only.
    """
    if sharing.detector not in ("auto", "shared", "reference"):
        return []
    found = geometries(experiments)
    pairs: list[tuple[int, int]] = []
    for members in _grouped(found, lambda g: _layout(g.detector)).values():
        pairs += _alike([found[m] for m in members], members, sharing)
    return [[found[i] for i in group] for group in components(len(found), pairs) if len(group) > 1]


def _grouped(found: list[Geometry], key: Callable[[Geometry], Hashable]) -> dict[Hashable, list[int]]:
    out: dict[Hashable, list[int]] = {}
    for i, geometry in enumerate(found):
        out.setdefault(key(geometry), []).append(i)
    return out


def _layout(detector: Detector) -> Hashable:
    return tuple((p.image_size, tuple(np.round(p.pixel_size, 7))) for p in detector.panels)


def _alike(found: list[Geometry], numbers: list[int], sharing: Sharing) -> list[tuple[int, int]]:
    """Pairs of geometries (of one layout) that may be the same: in wavelength, and for auto also in position."""
    d = np.array([[p.d_matrix for p in g.detector.panels] for g in found])  # (n, panels, 3, 3)
    beams = np.array([g.beam.direction for g in found])
    wavelength = np.array([g.beam.wavelength for g in found])
    distance = np.array([max(p.distance for p in g.detector.panels) for g in found])
    cosine = np.cos(np.deg2rad(sharing.angle_tolerance))
    pairs = []
    for i in range(len(found) - 1):
        rest = slice(i + 1, None)
        shift = np.linalg.norm(d[rest, :, :, 2] - d[i, :, :, 2], axis=2).max(axis=1)
        axes = np.einsum("npka,pka->npa", d[rest, :, :, :2], d[i, :, :, :2]).min(axis=(1, 2))
        near = (shift <= sharing.position_tolerance * np.minimum(distance[rest], distance[i])) & (axes >= cosine)
        near &= beams[rest] @ beams[i] >= cosine
        near |= sharing.detector != "auto"
        near &= np.abs(wavelength[rest] / wavelength[i] - 1.0) <= WAVELENGTH_TOLERANCE
        pairs += [(numbers[i], numbers[i + 1 + int(k)]) for k in np.flatnonzero(near)]
    return pairs
