"""Correlation of I/σ(I) between reflections that an operator or an offset of the indices takes into each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.intensity.asu import pack
from mxdask.table import ReflectionTable


@dataclass(frozen=True, eq=False)
class Signals:
    """One I/σ(I) per index (not per unique reflection), sorted by key.

    Attributes
    ----------
    hkl : (n, 3) i8. key : (n,) packed indices, ascending. value : (n,) mean I/σ(I) of the observations.
    """

    hkl: np.ndarray
    key: np.ndarray
    value: np.ndarray

    def __len__(self) -> int:
        return len(self.key)


@dataclass(frozen=True)
class Correlation:
    """Pearson's coefficient (nan where it is not defined) and the pairs it comes from."""

    cc: float
    n: int

    @property
    def standard_error(self) -> float:
        """√((1 - cc²)/(n - 2)); nan for fewer than three pairs."""
        return float(np.sqrt((1 - self.cc**2) / (self.n - 2))) if self.n > 2 else float("nan")


def signals(hkl: np.ndarray, value: np.ndarray) -> Signals:
    """Mean value per index.

    Parameters
    ----------
    hkl : (n, 3) integers; rows with index 0 0 0 are left out. value : (n,).
    """
    indexed = np.any(hkl != 0, axis=1)
    key, first, inverse = np.unique(pack(hkl[indexed]), return_index=True, return_inverse=True)
    mean = np.bincount(inverse, value[indexed], len(key)) / np.bincount(inverse, minlength=len(key))
    return Signals(hkl[indexed][first].astype(np.int64), key, mean)


def signals_of(table: ReflectionTable, *, positive: bool = False) -> Signals:
    """I/σ(I) of summed intensities with a positive variance.

    Parameters
    ----------
    positive : leave out intensities that are not above zero.
    """
    intensity, variance = table["intensity.sum.value"], table["intensity.sum.variance"]
    good = variance > 0
    if positive:
        good &= intensity > 0
    return signals(table["miller_index"][good], intensity[good] / np.sqrt(variance[good]))


def operator_correlation(data: Signals, op: np.ndarray, offset: np.ndarray | None = None) -> Correlation:
    """Values at h + offset against values at W·(h + offset), over all indices where both were measured.

    Parameters
    ----------
    op : (3, 3) integer operator W on indices.
    offset : (3,) added to all indices first: were they counted from the wrong origin?
    """
    shifted = data.hkl if offset is None else data.hkl + np.asarray(offset)
    key = data.key if offset is None else pack(shifted)
    mate = pack(shifted @ np.rint(op).astype(np.int64).T)
    place = np.minimum(np.searchsorted(key, mate), max(len(key) - 1, 0))
    both = key[place] == mate if len(key) else np.zeros(0, dtype=bool)
    return correlate(data.value[both], data.value[place[both]])


def correlate(x: np.ndarray, y: np.ndarray) -> Correlation:
    """Pearson's correlation; nan when a side does not vary."""
    if len(x) < 2:
        return Correlation(float("nan"), len(x))
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return Correlation(float(x @ y) / norm if norm > 0 else float("nan"), len(x))
