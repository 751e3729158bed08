"""Groups of one form's crystals from their scaled intensities, and what the user wants otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mxdask.clustering.decay import sweep_decay
from mxdask.clustering.groups import Groups, find_groups
from mxdask.intensity.asu import map_to_asu
from mxdask.intensity.cells import common_space_group, median_cell
from mxdask.intensity.observations import Filters, best_choice, select_observations
from mxdask.models import ExperimentList
from mxdask.multiplex.decisions import Wishes
from mxdask.table import ReflectionTable

# Matrices of more crystals than this are not kept as text.
MOST_IN_MATRIX = 1000


@dataclass(frozen=True, eq=False)
class Grouping:
    """Groups as plain data.

    Attributes
    ----------
    labels : per crystal the number of its group, the largest group 1; 0 belongs to none.
    reasons : per crystal, of those that belong to none.
    coordinates : (n, d). linkage : (n - 1, 4). similarity, similarity_sigma : (n, n), or None for very many crystals.
    """

    labels: list[int]
    reasons: list[str]
    coordinates: np.ndarray
    linkage: np.ndarray
    similarity: np.ndarray | None
    similarity_sigma: np.ndarray | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        matrices = {n: _rounded(getattr(self, n)) for n in ("similarity", "similarity_sigma")}
        return {
            "labels": self.labels, "reasons": self.reasons, "coordinates": _rounded(self.coordinates, 6),
            "linkage": self.linkage.tolist(), **matrices,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Grouping:
        """The inverse of :meth:`to_dict`."""

        def matrix(name: str) -> np.ndarray | None:
            return None if data[name] is None else np.array(data[name], dtype=float)

        n = len(data["labels"])
        return cls(
            data["labels"], data["reasons"], np.array(data["coordinates"], dtype=float).reshape(n, -1),
            np.array(data["linkage"], dtype=float).reshape(-1, 4), matrix("similarity"), matrix("similarity_sigma"),
        )  # fmt: skip


def group_crystals(experiments: ExperimentList, reflections: ReflectionTable, seeds: Sequence[int]) -> Grouping:
    """Find the groups of crystals in one setting.

    Parameters
    ----------
    reflections : scaled (integrated ones will do); ``id`` counts rows of ``experiments``.
    seeds : of each crystal, made from its data.
    """
    observations = select_observations(reflections, best_choice(reflections), Filters())
    asu = map_to_asu(observations.hkl, common_space_group(experiments))
    n = len(experiments)
    if n == 1:
        return Grouping([1], [""], np.ones((1, 1)), np.zeros((0, 4)), np.ones((1, 1)), np.zeros((1, 1)))
    cell = median_cell(experiments)
    found: Groups = find_groups(
        observations.experiment.astype(np.int32), asu.group.astype(np.int32), observations.intensity,
        np.sqrt(observations.variance), n, len(asu.unique), np.array(seeds, dtype=np.int64),
        d_star_sq=1.0 / cell.calculate_d_array(asu.unique) ** 2,
        # Scaling mends what damage did to intensities; what it took to mend them tells.
        decay=sweep_decay(reflections, n),
    )  # fmt: skip
    small = n <= MOST_IN_MATRIX
    return Grouping(
        _by_size(np.asarray(found.label)), [str(r) for r in found.reason], np.asarray(found.coordinates, dtype=float),
        np.asarray(found.linkage, dtype=float), np.asarray(found.similarity) if small else None,
        np.asarray(found.similarity_sigma) if small else None,
    )  # fmt: skip


def honour(grouping: Grouping, names: Sequence[str], wishes: Wishes) -> tuple[list[str], list[str]]:
    """Groups by name after the user's decisions, and the reasons.

    A crystal to be *kept* that belongs to none joins the group it is most like. A crystal pinned to a group the user
    saw in an earlier table joins the group of now that has most of that group's crystals; pinned to any other name, it
    forms a group of that name with all others pinned to it.
    """
    groups = [str(label) if label else "" for label in grouping.labels]
    reasons = list(grouping.reasons)
    pins = {i: wishes.pin[name] for i, name in enumerate(names) if wishes.pin and name in wishes.pin}
    for i, name in enumerate(names):
        if name in wishes.keep and not groups[i]:
            nearest = _nearest(grouping, i)
            if nearest:
                groups[i], reasons[i] = str(nearest), f"kept at the user's wish, although: {reasons[i]}"
    for i, wanted in pins.items():
        groups[i] = _group_meant(wanted, grouping, names, wishes, pins)
        reasons[i] = f"pinned to {wanted} by the user"
    return groups, reasons


def _group_meant(
    wanted: str, grouping: Grouping, names: Sequence[str], wishes: Wishes, pins: Mapping[int, str]
) -> str:  # fmt: skip
    before = (wishes.groups or {}).get(wanted, frozenset())
    now = [label for i, label in enumerate(grouping.labels) if label and names[i] in before and i not in pins]
    return str(int(np.argmax(np.bincount(now)))) if now else wanted


def _nearest(grouping: Grouping, i: int) -> int:
    """The group whose members a crystal resembles most; by coordinates where there is no matrix."""
    labels = np.array(grouping.labels)
    present = [g for g in np.unique(labels) if g]
    if not present:
        return 0
    if grouping.similarity is not None and grouping.similarity_sigma is not None:
        weight = 1.0 / np.maximum(grouping.similarity_sigma[i], 1e-3) ** 2
        alike = weight * grouping.similarity[i]
        score = [alike[labels == g].sum() / max(weight[labels == g].sum(), 1e-12) for g in present]
    else:
        centres = [grouping.coordinates[labels == g].mean(axis=0) for g in present]
        score = [-float(np.linalg.norm(grouping.coordinates[i] - c)) for c in centres]
    return int(present[int(np.argmax(score))])


def _by_size(label: np.ndarray) -> list[int]:
    """Groups renumbered from 1, the largest first (ties: the one with the first crystal); none is 0."""
    members = {g: np.flatnonzero(label == g) for g in np.unique(label) if g >= 0}
    order = sorted(members, key=lambda g: (-len(members[g]), int(members[g][0])))
    number = {g: i for i, g in enumerate(order, start=1)}
    return [number.get(int(g), 0) for g in label]


def _rounded(values: np.ndarray | None, digits: int = 4) -> list[Any] | None:
    if values is None:
        return None
    plain: list[Any] = np.where(np.isfinite(values), np.round(values, digits), 1e6).tolist()
    return plain
