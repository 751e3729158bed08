"""Columns whose values are fetched when they are first asked for: a step needs a few of the many that a file holds."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


class Deferred(ABC):
    """Stands for an array of shape (n,) or (n, width) that is not in memory.

    Other processes receive it as the array itself.
    """

    def __init__(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self.dtype, self.shape = dtype, shape
        self._last: weakref.ref[np.ndarray] | None = None

    def __len__(self) -> int:
        return self.shape[0]

    @abstractmethod
    def fetch(self, first: int, last: int) -> np.ndarray:
        """Rows first:last as an array of their own."""

    def values(self) -> np.ndarray:
        """All rows, read-only; the same array as long as somebody has it."""
        found = None if self._last is None else self._last()
        if found is None:
            found = self.fetch(0, len(self))
            found.flags.writeable = False
            self._last = weakref.ref(found)
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return np.asarray, (self.values(),)


class Selected(Deferred):
    """Some rows of another column, by slice (step 1) or index array."""

    def __init__(self, source: Deferred, rows: slice | np.ndarray) -> None:
        if isinstance(rows, slice):
            first, last, _ = rows.indices(len(source))
            n = max(last - first, 0)
            rows = slice(first, first + n)
        else:
            n = len(rows)
        super().__init__(source.dtype, (n, *source.shape[1:]))
        self._source, self._rows = source, rows

    def fetch(self, first: int, last: int) -> np.ndarray:
        if isinstance(self._rows, slice):
            return self._source.fetch(self._rows.start + first, self._rows.start + last)
        rows = self._rows[first:last]
        if len(rows) == 0:
            return np.zeros((0, *self.shape[1:]), self.dtype)
        low = int(rows.min())
        return self._source.fetch(low, int(rows.max()) + 1)[rows - low]


class Joined(Deferred):
    """Columns one after the other; some of them may be in memory."""

    def __init__(self, parts: Sequence[Deferred | np.ndarray]) -> None:
        shape = (sum(len(p) for p in parts), *parts[0].shape[1:])
        super().__init__(np.result_type(*(p.dtype for p in parts)), shape)
        self._parts = parts
        self._ends = np.cumsum([len(p) for p in parts])

    def fetch(self, first: int, last: int) -> np.ndarray:
        out = np.empty((last - first, *self.shape[1:]), self.dtype)
        for part, end in zip(self._parts, self._ends.tolist(), strict=True):
            start = end - len(part)
            low, high = max(first, start), min(last, end)
            if low < high:
                out[low - first : high - first] = _rows(part, low - start, high - start)
        return out


def pieces(column: Deferred | np.ndarray, n_rows: int) -> Iterator[np.ndarray]:
    """The rows of a column in order, so many at a time: it is never in memory as a whole unless it is there already."""
    for first in range(0, len(column), n_rows):
        yield _rows(column, first, min(first + n_rows, len(column)))


def _rows(column: Deferred | np.ndarray, first: int, last: int) -> np.ndarray:
    return column.fetch(first, last) if isinstance(column, Deferred) else column[first:last]
