"""``missing_reflections``: connected regions of reciprocal space that were not measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np
from pydantic import Field
from scipy import ndimage

from mxdask.assess.observations import ScaledObservations
from mxdask.intensity.asu import map_to_asu, pack, reciprocal_rotations
from mxdask.params import StepParams
from mxdask.text import text_table


class Params(StepParams):
    """Parameters of missing_reflections."""

    min_component_size: int = Field(0, ge=0, description="only regions of at least so many unique reflections")
    d_min: float | None = Field(None, gt=0, description="high-resolution limit", json_schema_extra={"unit": "Å"})
    d_max: float | None = Field(None, gt=0, description="low-resolution limit", json_schema_extra={"unit": "Å"})
    json_file: str | None = Field("missing_reflections.json", description="all numbers; None for none")


@dataclass(frozen=True)
class Region:
    """Reflections that lie beside each other: their number, and their range of resolution (Å)."""

    n: int
    d_max: float
    d_min: float


@dataclass(frozen=True)
class Missing:
    """Unique reflections that exist and that were observed, and regions of the others, largest first."""

    n_possible: int
    n_observed: int
    regions: tuple[Region, ...]


def missing_reflections(data: ScaledObservations, params: Params) -> Missing:
    """Regions of unique reflections that nobody measured; a reflection whose neighbours all are there is none.

    Neighbours have one index that differs by one, in the primitive cell. Friedel mates count as one reflection.
    """
    data = data.within(params.d_min, params.d_max)
    seen = map_to_asu(data.hkl, data.space_group)
    d_seen = data.cell.calculate_d_array(seen.unique)
    limit = params.d_max if params.d_max is not None else np.inf
    possible = gemmi.make_miller_array(
        data.cell, data.space_group, float(d_seen.min()) * (1 - 1e-6), 0 if np.isinf(limit) else limit, True
    )
    possible = possible[(possible != 0).any(axis=1)].astype(np.int32)
    gone = possible[~np.isin(pack(possible), pack(seen.unique[~seen.absent]))]
    n_observed = len(possible) - len(gone)
    regions = []
    for members in _regions(gone, data.space_group):
        d = data.cell.calculate_d_array(gone[members])
        if len(members) >= params.min_component_size:
            regions.append(Region(len(members), float(d.max()), float(d.min())))
    return Missing(len(possible), n_observed, tuple(sorted(regions, key=lambda r: (-r.n, -r.d_max))))


def _regions(hkl: np.ndarray, space_group: gemmi.SpaceGroup) -> list[np.ndarray]:
    """Rows of unique indices (m, 3) by region: of the whole sphere, so that no region ends at an asymmetric unit."""
    if len(hkl) == 0:
        return []
    turned = [sign * (hkl.astype(np.int64) @ R) for R in reciprocal_rotations(space_group) for sign in (1, -1)]
    sphere, row = np.concatenate(turned), np.tile(np.arange(len(hkl)), len(turned))
    to_primitive = np.array(space_group.centred_to_primitive().rot) / gemmi.Op.DEN
    places = np.rint(sphere @ to_primitive).astype(np.int64)
    places -= places.min(axis=0)
    grid = np.zeros(places.max(axis=0) + 1, dtype=bool)
    grid[tuple(places.T)] = True
    label = ndimage.label(grid)[0][tuple(places.T)]
    found: dict[bytes, np.ndarray] = {}
    order = np.argsort(label, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(label[order])) + 1):
        if len(np.unique(pack(sphere[part].astype(np.int32)))) > 1:
            members = np.unique(row[part])
            found.setdefault(members.tobytes(), members)
    return list(found.values())


def log_text(found: Missing) -> str:
    """Completeness and a table of the regions."""
    whole = f"{found.n_observed} of {found.n_possible} unique reflections were observed"
    whole += f" ({100 * found.n_observed / max(found.n_possible, 1):.1f} %)"
    if not found.regions:
        return f"{whole}\nNo connected regions of missing reflections"
    rows = [(r.n, f"{100 * r.n / found.n_possible:.1f}", f"{r.d_max:.2f}-{r.d_min:.2f}") for r in found.regions]
    header = ("# reflections", "% missing", "Resolution range (Å)")
    return f"{whole}\n{text_table(header, rows, title='Connected regions of missing reflections')}"


def as_data(found: Missing) -> dict[str, Any]:
    """Everything as plain data."""
    return {
        "n_possible": found.n_possible, "n_observed": found.n_observed,
        "regions": [{"n": r.n, "d_max": r.d_max, "d_min": r.d_min} for r in found.regions],
    }  # fmt: skip
