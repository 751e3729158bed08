"""All crystals' observations together, ordered by unique reflection, then crystal, then row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import gemmi
import numpy as np

from mxdask.intensity.asu import AsuMap, map_to_asu
from mxdask.intensity.observations import combine_intensities
from mxdask.scale.design import Design, Layout, assemble
from mxdask.scale.prepare import Prepared


@dataclass(frozen=True)
class Pool:
    """n observations of e crystals.

    Attributes
    ----------
    layout : where the crystals' parameters lie.
    design : how the observations depend on them; ``design.group`` joins equivalents.
    asu : unique reflections; ``asu.group`` is per observation (Friedel mates together).
    row : (n,) i4, row in the crystal's own table.
    frame, partiality, raw_sum, count_factor : (n,) as in :class:`Prepared`.
    prf, sum : (n, 2) corrected intensity and variance.
    both : (n,) bool, both kinds exist.
    known : crystal → its parameters from an earlier scaling.
    """

    layout: Layout
    design: Design
    asu: AsuMap
    row: np.ndarray
    frame: np.ndarray
    partiality: np.ndarray
    raw_sum: np.ndarray
    count_factor: np.ndarray
    prf: np.ndarray
    sum: np.ndarray
    both: np.ndarray
    known: dict[int, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.row)

    @property
    def experiment(self) -> np.ndarray:
        """(n,) crystal of each observation."""
        return self.design.experiment

    @property
    def inverse_d2(self) -> np.ndarray:
        """(n,) 1/d², Å⁻²."""
        return 2.0 * self.design.half_inverse_d2

    def without(self, crystals: set[int]) -> Pool:
        """The pool of the other crystals, numbered anew."""
        n = len(self.layout.models)
        keep = np.array([i not in crystals for i in range(n)])
        layout = Layout.of([m for m, kept in zip(self.layout.models, keep, strict=True) if kept])
        moved = np.zeros(n, dtype=np.int64)
        moved[keep] = layout.start[:-1] - self.layout.start[:-1][keep]
        number = np.cumsum(keep) - 1
        rest = self.rows(np.flatnonzero(keep[self.experiment]))
        known = {int(number[i]): own for i, own in self.known.items() if keep[i]}
        return replace(rest, layout=layout, design=rest.design.renumbered(number, moved), known=known)

    def rows(self, rows: np.ndarray) -> Pool:
        """Some observations (rising row numbers) of the same crystals."""
        whole = ("layout", "design", "asu", "known")
        per_row = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name not in whole}
        asu = replace(self.asu, group=self.asu.group[rows], plus=self.asu.plus[rows])
        return replace(self, design=self.design.select(rows), asu=asu, **per_row)

    def intensities(self, i_mid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Intensity and variance (n,) for the chosen combination, one midpoint per crystal (back.md 9.3)."""
        value, variance = self.prf.T.copy()
        for choice in np.unique(i_mid):
            rows = i_mid[self.experiment] == choice
            combined = combine_intensities(
                tuple(self.prf[rows].T), tuple(self.sum[rows].T), self.raw_sum[rows], float(choice)
            )
            value[rows], variance[rows] = combined
        return value, variance


def pool_crystals(crystals: Sequence[Prepared], space_group: gemmi.SpaceGroup, anomalous: bool) -> Pool:
    """Join crystals; with ``anomalous`` Friedel mates are groups of their own."""
    layout = Layout.of([c.model for c in crystals])
    asu = map_to_asu(np.concatenate([c.hkl for c in crystals]), space_group)
    group = 2 * asu.group + ~asu.plus if anomalous else asu.group
    order = np.argsort(group, kind="stable")  # crystals follow each other, so ties stay in their order
    design = assemble(layout, [c.design for c in crystals], [c.d for c in crystals], group, order)

    def joined(name: str) -> np.ndarray:
        return np.ascontiguousarray(np.concatenate([getattr(c, name) for c in crystals], axis=-1).T[order])

    return Pool(
        layout, design, replace(asu, group=asu.group[order], plus=asu.plus[order]), joined("row"), joined("frame"),
        joined("partiality"), joined("raw_sum"), joined("count_factor"), joined("prf"), joined("sum"), joined("both"),
        {i: c.known for i, c in enumerate(crystals) if c.known is not None},
    )  # fmt: skip
