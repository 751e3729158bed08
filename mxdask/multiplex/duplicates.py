"""The same sweep given twice: its noise would count as agreement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mxdask.intensity.asu import pack
from mxdask.lattice.cells import minimum_cell
from mxdask.lattice.operators import reindex
from mxdask.models import Experiment, ExperimentList
from mxdask.table import ReflectionTable

# Lattices in the same orientation: the matrix between their bases is integral to this.
_INTEGRAL = 0.03
# Two measurements of one spot on the same images differ by what their integration differs in, well within this many
# standard deviations (median); independent ones differ by 0.67·√2 = 0.95 at the least.
_SAME_NOISE = 0.3
_LEAST_COMMON = 20


def find_duplicates(
    experiments: ExperimentList, tables: Sequence[ReflectionTable], rows: Sequence[int]
) -> dict[int, int]:
    """Row → the earlier row it repeats, among ``rows``.

    Two experiments are one if their lattices lie in one orientation, the spots they share were seen at the same
    rotation angle, and the counted intensities differ by less than independent noise would make them. So the same
    images under two names, or integrated by two programs, are found, while a second sweep of one crystal is not.
    Of a pair, the one with more reflections stays (ties: the first).
    """
    rows = list(rows)
    if len(rows) < 2:
        return {}
    bases = [_primitive(experiments[row]) for row in rows]
    matrices = np.array([A for A, _ in bases])
    inverse = np.linalg.inv(matrices)
    found: dict[int, int] = {}
    order = sorted(range(len(rows)), key=lambda i: (-len(tables[rows[i]]), i))
    for position, i in enumerate(order):
        if rows[i] in found:
            continue
        others = np.array([j for j in order[position + 1 :] if rows[j] not in found], dtype=np.int64)
        if len(others) == 0:
            break
        between = inverse[others] @ matrices[i]
        near = np.abs(between - np.rint(between)).max(axis=(1, 2)) < _INTEGRAL
        for j in others[near]:
            change = np.rint(inverse[j] @ matrices[i]) @ bases[i][1]
            if _same_spots(
                experiments[rows[i]], tables[rows[i]], change, experiments[rows[j]], tables[rows[j]], bases[j][1]
            ):
                found[rows[j]] = rows[i]
    return found


def _primitive(experiment: Experiment) -> tuple[np.ndarray, np.ndarray]:
    """A (3, 3) of the reduced primitive basis, and the change of basis to it."""
    assert experiment.crystal is not None
    crystal = experiment.crystal
    P, _ = minimum_cell(crystal.cell, crystal.space_group.centring_type())
    return crystal.A @ np.linalg.inv(P), np.asarray(P, dtype=float)


def _same_spots(
    first: Experiment, a: ReflectionTable, P: np.ndarray, second: Experiment, b: ReflectionTable, Q: np.ndarray
) -> bool:
    """Whether two tables hold the same measurements; P and Q bring their indices to one basis."""
    x, y = _spots(first, a, P), _spots(second, b, Q)
    _, i, j = np.intersect1d(x[0], y[0], return_indices=True)
    if len(i) < max(_LEAST_COMMON, 0.2 * min(len(x[0]), len(y[0]))):
        return False
    if np.median(np.abs(x[1][i] - y[1][j])) > 0.05:
        return False
    deviation = np.abs(x[2][i] - y[2][j]) / np.sqrt(x[3][i] + y[3][j])
    return bool(np.median(deviation) < _SAME_NOISE)


def _spots(experiment: Experiment, table: ReflectionTable, P: np.ndarray) -> tuple[np.ndarray, ...]:
    """Packed index (unique), rotation angle (degrees), counts and variance of the whole spots of a table."""
    hkl, integral = reindex(table["miller_index"], P)
    good = integral & (table["intensity.sum.variance"] > 0)
    keys, row = np.unique(pack(hkl[good]), return_index=True)
    row = np.flatnonzero(good)[row]
    frame = table["xyzobs.px.value"][row, 2]
    scan = experiment.scan
    angle = frame if scan is None or scan.is_still else np.rad2deg(np.asarray(scan.angle(frame)))
    return keys, angle, table["intensity.sum.value"][row], table["intensity.sum.variance"][row]
