"""ReflectionTable: the columns of one or many experiments' reflections, and their flags."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntFlag
from typing import Any

import numpy as np

from mxdask.deferred import Deferred, Joined, Selected
from mxdask.errors import MxdaskError


class Flag(IntFlag):
    """Bits of the ``flags`` column, as in DIALS (front.md 3)."""

    PREDICTED = 1 << 0
    OBSERVED = 1 << 1
    INDEXED = 1 << 2
    USED_IN_REFINEMENT = 1 << 3
    STRONG = 1 << 5
    REFERENCE_SPOT = 1 << 6
    DONT_INTEGRATE = 1 << 7
    INTEGRATED_SUM = 1 << 8
    INTEGRATED_PRF = 1 << 9
    OVERLOADED = 1 << 10
    OVERLAPPED_BG = 1 << 11
    OVERLAPPED_FG = 1 << 12
    IN_POWDER_RING = 1 << 13
    FOREGROUND_INCLUDES_BAD_PIXELS = 1 << 14
    BACKGROUND_INCLUDES_BAD_PIXELS = 1 << 15
    USED_IN_MODELLING = 1 << 16
    CENTROID_OUTLIER = 1 << 17
    FAILED_DURING_BACKGROUND_MODELLING = 1 << 18
    FAILED_DURING_SUMMATION = 1 << 19
    FAILED_DURING_PROFILE_FITTING = 1 << 20
    BAD_REFERENCE = 1 << 21
    USER_EXCLUDED_IN_SCALING = 1 << 22
    OUTLIER_IN_SCALING = 1 << 23
    EXCLUDED_FOR_SCALING = 1 << 24
    EXCLUDED_FOR_REFINEMENT = 1 << 25
    SCALED = 1 << 26
    NOT_SUITABLE_FOR_REFINEMENT = 1 << 27

    INTEGRATED = INTEGRATED_SUM | INTEGRATED_PRF
    BAD_FOR_SCALING = USER_EXCLUDED_IN_SCALING | OUTLIER_IN_SCALING | EXCLUDED_FOR_SCALING
    BAD_FOR_REFINEMENT = CENTROID_OUTLIER | EXCLUDED_FOR_REFINEMENT | NOT_SUITABLE_FOR_REFINEMENT


@dataclass(frozen=True)
class ColumnSpec:
    """What a column is: numpy dtype, elements per row, unit, meaning, and the steps that write it."""

    dtype: str
    width: int
    unit: str
    doc: str
    by: str


# Rows that lie within this many times their number are fetched when needed; for others the whole column is.
_SPREAD = 4


def _specs(text: str) -> dict[str, ColumnSpec]:
    specs = {}
    for line in text.strip().splitlines():
        name, dtype, width, unit, by, doc = (part.strip() for part in line.split("|"))
        specs[name] = ColumnSpec(dtype, int(width), unit, doc, by)
    return specs


COLUMNS: dict[str, ColumnSpec] = _specs("""
    id                          | i4 | 1 |        | spots      | row of the experiment list; -1 if no lattice claims it
    imageset_id                 | i4 | 1 |        | index      | row of the sweep; never changes once set
    panel                       | u8 | 1 |        | spots      | detector panel
    flags                       | u8 | 1 |        | spots      | bits of Flag
    bbox                        | i4 | 6 | px     | spots      | x0, x1, y0, y1, z0, z1, half-open, z absolute
    n_signal                    | i4 | 1 |        | spots      | number of strong pixels
    xyzobs.px.value             | f8 | 3 | px,px,image | spots | observed centroid
    xyzobs.px.variance          | f8 | 3 | px²    | spots      | its variance
    xyzobs.mm.value             | f8 | 3 | mm,mm,rad | index   | observed centroid on the panel, and its angle
    xyzobs.mm.variance          | f8 | 3 | mm²,mm²,rad² | index | its variance
    rlp                         | f8 | 3 | Å⁻¹    | index      | reciprocal lattice point, goniometer datum frame
    s1                          | f8 | 3 | Å⁻¹    | index      | diffracted wave vector, laboratory frame
    miller_index                | i4 | 3 |        | index      | h k l; 0 0 0 if not indexed
    entering                    | ?  | 1 |        | index      | s1·(s0 × axis) < 0
    xyzcal.px                   | f8 | 3 | px,px,image | index | predicted position
    xyzcal.mm                   | f8 | 3 | mm,mm,rad | index   | predicted position
    partial_id                  | u8 | 1 |        | integrate  | reflections cut in pieces share it
    zeta                        | f8 | 1 |        | integrate  | Kabsch's ζ = axis·e1
    d                           | f8 | 1 | Å      | integrate  | resolution
    partiality                  | f8 | 1 |        | integrate  | fraction recorded in the box
    lp                          | f8 | 1 |        | integrate  | Lorentz-polarisation factor: I_corrected = I·lp/qe
    qe                          | f8 | 1 |        | integrate  | quantum efficiency of the sensor along the ray
    background.mean             | f8 | 1 | counts/px | integrate | mean background under the peak
    background.sum.value        | f8 | 1 | counts | integrate  | background summed over the foreground
    background.sum.variance     | f8 | 1 | counts² | integrate | its variance
    intensity.sum.value         | f8 | 1 | counts | spots, integrate | summed intensity
    intensity.sum.variance      | f8 | 1 | counts² | spots, integrate | its variance
    intensity.prf.value         | f8 | 1 | counts | integrate  | profile-fitted intensity
    intensity.prf.variance      | f8 | 1 | counts² | integrate | its variance
    profile.correlation         | f8 | 1 |        | integrate  | correlation of fitted profile and pixels
    num_pixels.valid            | i4 | 1 |        | integrate  | usable pixels of the box
    num_pixels.background       | i4 | 1 |        | integrate  | background pixels of the box
    num_pixels.background_used  | i4 | 1 |        | integrate  | those used
    num_pixels.foreground       | i4 | 1 |        | integrate  | foreground pixels of the box
    intensity.scale.value       | f8 | 1 |        | scale      | intensity before its scale factor
    intensity.scale.variance    | f8 | 1 |        | scale      | its variance
    inverse_scale_factor        | f8 | 1 |        | scale      | g; I_scaled = intensity.scale.value / g
    inverse_scale_factor_variance | f8 | 1 |      | scale      | variance of g
""")


@dataclass(frozen=True)
class Shoeboxes:
    """Pixels around reflections, flat.

    Attributes
    ----------
    panel : (n,) u4.
    bbox : (n, 6) i4.
    offset : (n + 1,) i8; row i owns elements offset[i]:offset[i + 1], in (z, y, x) order.
    data, background : (total,) f4 counts.
    mask : (total,) i4 DIALS codes: valid 1, background 2, foreground 4, strong 8, background used 16, overlapped 32.
    """

    panel: np.ndarray
    bbox: np.ndarray
    offset: np.ndarray
    data: np.ndarray
    mask: np.ndarray
    background: np.ndarray

    def __len__(self) -> int:
        return len(self.panel)

    def select(self, rows: np.ndarray) -> Shoeboxes:
        rows = np.arange(len(self))[rows]
        sizes = np.diff(self.offset)[rows]
        offset = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        index = np.repeat(self.offset[rows] - offset[:-1], sizes) + np.arange(offset[-1])
        return Shoeboxes(
            self.panel[rows], self.bbox[rows], offset, self.data[index], self.mask[index], self.background[index]
        )

    @staticmethod
    def concat(parts: list[Shoeboxes]) -> Shoeboxes:
        sizes = np.concatenate([np.diff(p.offset) for p in parts])
        offset = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        columns = {
            name: np.concatenate([getattr(p, name) for p in parts])
            for name in ("panel", "bbox", "data", "mask", "background")
        }
        return Shoeboxes(offset=offset, **columns)


class ReflectionTable:
    """Named columns of equal length.

    Parameters
    ----------
    columns : name → array of shape (n,) or (n, width). Names in :data:`COLUMNS` are cast to their dtype; others
        are kept as they are. A :class:`Deferred` column is fetched when it is asked for by name; copying, selecting
        and joining tables leave it where it is.
    identifiers : value of the ``id`` column → experiment identifier.
    shoeboxes : pixels, one per row, or None.
    """

    def __init__(
        self,
        columns: Mapping[str, np.ndarray | Deferred] | None = None,
        identifiers: Mapping[int, str] | None = None,
        shoeboxes: Shoeboxes | None = None,
    ) -> None:
        self._columns: dict[str, np.ndarray | Deferred] = {}
        self.identifiers: dict[int, str] = dict(identifiers or {})
        self.shoeboxes = shoeboxes
        for name, values in (columns or {}).items():
            self[name] = values
        if shoeboxes is not None and self._columns and len(shoeboxes) != len(self):
            raise MxdaskError(f"reflection table: {len(shoeboxes)} shoeboxes for {len(self)} rows")

    @classmethod
    def empty(cls, names: Iterable[str] = (), identifiers: Mapping[int, str] | None = None) -> ReflectionTable:
        """A table without rows that has the registered columns ``names``."""
        columns = {}
        for name in names:
            spec = COLUMNS[name]
            columns[name] = np.zeros((0,) if spec.width == 1 else (0, spec.width), dtype=spec.dtype)
        return cls(columns, identifiers)

    def __dask_tokenize__(self) -> tuple[object, ...]:
        columns = [(n, c.values() if isinstance(c, Deferred) else c) for n, c in sorted(self._columns.items())]
        return "ReflectionTable", columns, sorted(self.identifiers.items()), self.shoeboxes

    def __len__(self) -> int:
        for values in self._columns.values():
            return len(values)
        return 0

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __getitem__(self, name: str) -> np.ndarray:
        column = self.stored(name)
        if isinstance(column, Deferred):
            column = self._columns[name] = column.values()
        return column

    def __setitem__(self, name: str, values: Any) -> None:
        spec = COLUMNS.get(name)
        array: np.ndarray | Deferred
        if isinstance(values, Deferred) and _is_as_registered(values, spec):
            array = values
        else:
            values = values.values() if isinstance(values, Deferred) else values
            array = np.asarray(values, dtype=None if spec is None else spec.dtype)
            if spec is not None and spec.width > 1:
                array = array.reshape(len(array), spec.width)
        if self._columns and len(array) != len(self):
            raise MxdaskError(f"column {name!r} has {len(array)} rows, the table {len(self)}")
        self._columns[name] = array

    def __delitem__(self, name: str) -> None:
        del self._columns[name]

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """The columns themselves, name → array (not a copy); all of them are fetched."""
        return {name: self[name] for name in self._columns}

    def stored(self, name: str) -> np.ndarray | Deferred:
        """A column as it is kept: fetched or not."""
        try:
            return self._columns[name]
        except KeyError:
            raise MxdaskError(
                f"reflection table has no column {name!r} (it has {', '.join(sorted(self._columns))}); "
                "was the step that writes it run?"
            ) from None

    def only(self, names: Iterable[str]) -> ReflectionTable:
        """A table of those of the named columns that there are, without shoeboxes; the arrays are shared."""
        wanted = set(names)
        return ReflectionTable({n: c for n, c in self._columns.items() if n in wanted}, self.identifiers)

    def copy(self) -> ReflectionTable:
        """A table with its own set of columns; the arrays are shared until replaced."""
        return ReflectionTable(self._columns, self.identifiers, self.shoeboxes)

    def select(self, rows: np.ndarray) -> ReflectionTable:
        """Rows by boolean mask or index array; identifiers are kept whole."""
        rows = np.asarray(rows)
        boxes = None if self.shoeboxes is None else self.shoeboxes.select(rows)
        if any(isinstance(c, Deferred) for c in self._columns.values()):
            rows = np.arange(len(self))[rows]
            near = len(rows) == 0 or rows.max() - rows.min() < _SPREAD * len(rows)
            columns = {n: Selected(c, rows) if near and isinstance(c, Deferred) else self[n][rows]
                       for n, c in list(self._columns.items())}  # fmt: skip
        else:
            columns = {n: self[n][rows] for n in self._columns}
        return ReflectionTable(columns, self.identifiers, boxes)

    def rows(self, first: int, last: int) -> ReflectionTable:
        """Rows first:last without their shoeboxes; nothing is copied."""
        columns = {n: Selected(c, slice(first, last)) if isinstance(c, Deferred) else c[first:last]
                   for n, c in self._columns.items()}  # fmt: skip
        return ReflectionTable(columns, self.identifiers)

    def has_flags(self, flags: int, *, any: bool = False) -> np.ndarray:
        """(n,) rows with all bits of ``flags`` (or, with ``any``, at least one)."""
        bits = self["flags"] & np.uint64(flags)
        return bits != 0 if any else bits == np.uint64(flags)

    def set_flags(self, rows: np.ndarray, flags: int) -> None:
        """Set bits on rows (mask or indices); the column is copied first, so tables sharing it are safe."""
        values = self["flags"].copy()
        values[rows] |= np.uint64(flags)
        self._columns["flags"] = values

    def unset_flags(self, rows: np.ndarray, flags: int) -> None:
        """Clear bits on rows (mask or indices)."""
        values = self["flags"].copy()
        values[rows] &= ~np.uint64(flags)
        self._columns["flags"] = values

    @staticmethod
    def concat(tables: Iterable[ReflectionTable]) -> ReflectionTable:
        """Rows of all tables in order; only columns that every non-empty table has; identifiers joined.

        Raises
        ------
        MxdaskError : two tables give one ``id`` to different experiments.
        """
        tables = list(tables)
        identifiers: dict[int, str] = {}
        for table in tables:
            for key, value in table.identifiers.items():
                if identifiers.setdefault(key, value) != value:
                    raise MxdaskError(f"experiment id {key} means {identifiers[key]} in one table, {value} in another")
        parts = [t for t in tables if len(t)] or tables[:1]
        if not parts:
            return ReflectionTable({}, identifiers)
        if len(parts) == 1:
            return ReflectionTable(parts[0]._columns, identifiers, parts[0].shoeboxes)
        names = [n for n in parts[0] if all(n in p for p in parts)]
        boxes = [p.shoeboxes for p in parts if p.shoeboxes is not None]
        return ReflectionTable(
            {n: _joined([p.stored(n) for p in parts]) for n in names},
            identifiers,
            Shoeboxes.concat(boxes) if boxes and len(boxes) == len(parts) else None,
        )

    def split_by(self, name: str) -> dict[int, ReflectionTable]:
        """Tables of the rows that share a value of an integer column, keyed by it (ascending), row order kept.

        Where these lie together already, nothing is copied.
        """
        if len(self) == 0:
            return {}
        values = self[name]
        if self.shoeboxes is None and not np.any(values[1:] < values[:-1]):
            keys, starts = np.unique(values, return_index=True)
            ends = np.append(starts[1:], len(values))
            return {int(k): self.rows(int(a), int(b)) for k, a, b in zip(keys, starts, ends, strict=True)}
        order = np.argsort(values, kind="stable")
        keys, starts = np.unique(values[order], return_index=True)
        ends = np.append(starts[1:], len(order))
        return {int(k): self.select(order[a:b]) for k, a, b in zip(keys, starts, ends, strict=True)}


def _is_as_registered(column: Deferred, spec: ColumnSpec | None) -> bool:
    shape = column.shape[1:]
    return spec is None or (
        column.dtype == np.dtype(spec.dtype) and shape == (() if spec.width == 1 else (spec.width,))
    )


def _joined(parts: list[np.ndarray | Deferred]) -> np.ndarray | Deferred:
    arrays = [p for p in parts if not isinstance(p, Deferred)]
    return np.concatenate(arrays) if len(arrays) == len(parts) else Joined(parts)


def match_to_experiments(table: ReflectionTable, identifiers: list[str]) -> ReflectionTable:
    """Renumber ``id`` so that row i of the experiment list owns id i.

    Rows are matched by identifier where the table knows them; a table without identifiers is taken as it is.
    Rows of experiments that are not in the list are dropped; unindexed rows (id -1) stay.

    Raises
    ------
    MxdaskError : a table without identifiers has more experiments than the list.
    """
    if not table.identifiers:
        largest = int(np.max(table["id"], initial=-1)) if "id" in table else -1
        if largest >= len(identifiers):
            raise MxdaskError(
                f"the reflections are of {largest + 1} experiments and the .expt file has {len(identifiers)} that can "
                "be read; give the .expt file written together with them"
            )
        out = table.copy()
        present = set(np.unique(table["id"]).tolist()) if len(table) else set(range(len(identifiers)))
        out.identifiers = {i: s for i, s in enumerate(identifiers) if i in present}
        return out
    position = {s: i for i, s in enumerate(identifiers)}
    known = {old: position[s] for old, s in table.identifiers.items() if s in position}
    if "id" not in table:
        return table
    old = table["id"]
    place = np.full(max(int(old.max(initial=-1)), *known, -1) + 1, -2, dtype=np.int32)
    place[list(known)] = list(known.values())
    new = np.full(len(old), -1, dtype=np.int32)
    new[old >= 0] = place[old[old >= 0]]
    known_rows = new > -2
    out = table.copy() if known_rows.all() else table.select(known_rows)
    out["id"] = new[known_rows]
    out.identifiers = {value: identifiers[value] for value in sorted(known.values())}
    return out
