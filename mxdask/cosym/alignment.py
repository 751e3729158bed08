"""From coordinates to one setting per crystal, and to the symmetry they share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.cosym.settings_group import SettingsGroup
from mxdask.intensity.symmetry_scores import GroupScore, OperatorScore, score_groups, score_operator
from mxdask.lattice.metric import LatticeSetting
from mxdask.lattice.operators import left_cosets
from mxdask.lattice.point_groups import contains

_NEIGHBOURS = 10

# Width and centre of the distribution of cosines for an operator that is present (back.md 11.2.11).
SIGMA_COSINE, TRUE_COSINE = 0.1, 1.0


def _unit(points: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(points, axis=-1, keepdims=True)
    return points / np.maximum(length, 1e-12)


def densest_point(points: np.ndarray) -> tuple[int, int]:
    """(setting, crystal) of the point with the smallest mean cosine distance to its ten nearest neighbours."""
    s, n, d = points.shape
    unit = _unit(points)
    # By symmetry every setting of a crystal has the same surroundings: setting 0 stands for all.
    cosine = np.sort(unit[0] @ unit.reshape(s * n, d).T, axis=1)[:, ::-1]
    nearest = cosine[:, 1 : 1 + _NEIGHBOURS]
    return 0, int(np.argmax(np.round(nearest.mean(axis=1), 9)))


def align(points: np.ndarray, seed: tuple[int, int]) -> np.ndarray:
    """(N,) the setting of each crystal that brings it into the cluster that holds the seed.

    Greedy: whichever crystal has a point nearest (by cosine) to the running mean joins next, with that point.

    Parameters
    ----------
    points : (s, N, d). seed : (setting, crystal).
    """
    n = points.shape[1]
    unit = _unit(points)
    chosen = np.full(n, -1, dtype=np.int64)
    chosen[seed[1]] = seed[0]
    total = unit[seed[0], seed[1]].copy()
    waiting = np.ones(n, dtype=bool)
    waiting[seed[1]] = False
    while waiting.any():
        rows = np.flatnonzero(waiting)
        cosine = unit[:, rows] @ total
        best = np.round(cosine.max(axis=0), 12)
        pick = int(np.argmax(best))
        row = int(rows[pick])
        chosen[row] = int(np.argmax(np.round(cosine[:, pick], 12)))
        total += unit[chosen[row], row]
        waiting[row] = False
    return chosen


def score_symmetry(
    points: np.ndarray, chosen: np.ndarray, group: SettingsGroup, settings: list[LatticeSetting]
) -> tuple[list[OperatorScore], list[GroupScore]]:
    """Likelihood of every operator and Laue group from the angles between images of the same crystal.

    Crystals are brought to the common setting first: where the Laue group is not normal in the lattice group, the
    operators of crystals in different settings differ.
    """
    s, n, _ = points.shape
    unit = _unit(points)
    rows = np.arange(n)
    aligned = np.array([unit[group.product[a][chosen], rows] for a in range(s)])  # image a, from the common setting
    cosine: dict[int, list[float]] = {g: [] for g in range(1, s)}
    for a in range(s):
        for b in range(a + 1, s):
            value = float(np.einsum("nd,nd->n", aligned[a], aligned[b]).mean())
            cosine[int(group.product[group.inverse[a], b])].append(value)
            cosine[int(group.product[group.inverse[b], a])].append(value)
    operators = [
        score_operator(group.ops[g], float(np.mean(values)), s * n, SIGMA_COSINE, TRUE_COSINE)
        for g, values in cosine.items()
    ]
    return operators, score_groups(settings, operators, min_pairs=1)


@dataclass(frozen=True, eq=False)
class RelativeSettings:
    """The settings crystals can be in once their Laue group is known.

    Attributes
    ----------
    ops : (c, 3, 3) one operator per class, identity first; the class of k holds all h·k, h in the Laue group.
    of_element : (s,) class of each element of the settings group.
    """

    ops: np.ndarray
    of_element: np.ndarray


def relative_settings(group: SettingsGroup, laue: np.ndarray) -> RelativeSettings:
    """Right cosets H·k of the Laue group H (n, 3, 3) in the settings group."""
    lattice = np.array([g @ c for g in group.ops for c in group.core])
    back = [np.rint(np.linalg.inv(op)).astype(np.int64) for op in left_cosets(lattice, laue)]
    identity = next(i for i, op in enumerate(back) if contains(laue, op))
    ops = [np.eye(3, dtype=np.int64), *(op for i, op in enumerate(back) if i != identity)]

    def class_of(op: np.ndarray) -> int:
        return next(i for i, k in enumerate(ops) if contains(laue, op @ np.rint(np.linalg.inv(k)).astype(np.int64)))

    return RelativeSettings(np.array(ops), np.array([class_of(op) for op in group.ops]))
