"""Strong spots that belong to predictions: what the profile model is learnt from (back.md 2.1, 4 matching)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.geometry.predict_all import PredictedReflections
from mxdask.table import Flag, ReflectionTable


@dataclass(frozen=True)
class Reference:
    """Reference spots of one experiment.

    Attributes
    ----------
    spots : rows of the refined table.
    predicted : (n,) i8, row of the predictions each spot belongs to.
    """

    spots: ReflectionTable
    predicted: np.ndarray

    def __len__(self) -> int:
        return len(self.predicted)


def select_reference(table: ReflectionTable) -> ReflectionTable:
    """Indexed spots with h k l ≠ 0 0 0 that refinement did not find to be bad."""
    good = table.has_flags(Flag.INDEXED) & ~table.has_flags(Flag.BAD_FOR_REFINEMENT, any=True)
    return table.select(good & np.any(table["miller_index"] != 0, axis=1))


def match_reference(table: ReflectionTable, predictions: PredictedReflections) -> Reference:
    """Give each spot the nearest prediction with the same index, panel and side of the Ewald sphere.

    Spots without such a prediction are dropped; of several spots with one prediction the nearest is kept.
    """
    wanted = _keys(table["miller_index"], table["entering"], table["panel"])
    have = _keys(predictions.miller_index, predictions.entering, predictions.panel)
    order = np.argsort(have, kind="stable")
    left = np.searchsorted(have[order], wanted, "left")
    right = np.searchsorted(have[order], wanted, "right")
    observed = table["xyzcal.px"] if "xyzcal.px" in table else table["xyzobs.px.value"]
    best = np.full(len(table), -1, dtype=np.int64)
    nearest = np.full(len(table), np.inf)
    for turn in range(int((right - left).max(initial=0))):
        rows = np.flatnonzero(left + turn < right)
        candidate = order[left[rows] + turn]
        distance = np.linalg.norm(predictions.xyz_px[candidate] - observed[rows], axis=1)
        closer = distance < nearest[rows]
        best[rows[closer]], nearest[rows[closer]] = candidate[closer], distance[closer]
    by_distance = np.lexsort((nearest, best))
    first = np.ones(len(table), dtype=bool)
    first[by_distance[1:]] = best[by_distance[1:]] != best[by_distance[:-1]]
    keep = np.flatnonzero(first & (best >= 0))
    return Reference(table.select(keep), best[keep])


def _keys(h: np.ndarray, entering: np.ndarray, panel: np.ndarray) -> np.ndarray:
    """One integer per (h, k, l, entering, panel); |h| < 2¹⁵."""
    key = np.zeros(len(h), dtype=np.int64)
    for column in range(3):
        key = key * 65536 + (h[:, column].astype(np.int64) + 32768)
    return key ^ ((np.asarray(panel, dtype=np.int64) << 49) | (np.asarray(entering, dtype=np.int64) << 48))
