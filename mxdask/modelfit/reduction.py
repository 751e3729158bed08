"""Holding models that have too few reflections for their parameters (front.md 12.4)."""

from __future__ import annotations

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.modelfit.layout import Layout
from mxdask.modelfit.options import FitOptions
from mxdask.modelfit.selection import Observations


def reduced(layout: Layout, data: list[Observations], options: FitOptions) -> tuple[np.ndarray, list[str]]:
    """(size,) mask of parameters that stay free, and one line per group of parameters that had to be held.

    A group is a beam, a goniometer, a detector's rigid body, a crystal's orientation or its cell (at one sample).

    Raises
    ------
    MxdaskError : something has to be held and the options forbid it.
    """
    free, notes = layout.free.copy(), []
    for title, rows, count in _groups(layout, data):
        n = int(free[rows].sum())
        if n and count < options.min_reflections_per_parameter * n:
            free[rows] = False
            notes.append(f"{title}: {count} reflections for {n} parameters")
    if notes and options.auto_reduction == "fail":
        raise MxdaskError(
            f"too few reflections to refine {'; '.join(notes)}; fix these models or set auto_reduction.action=fix"
        )
    return free, notes


def _groups(layout: Layout, data: list[Observations]) -> list[tuple[str, np.ndarray, int]]:
    """Title, parameter numbers and reflections of each group."""
    out = []
    for piece in layout.pieces:
        users = [i for i, own in enumerate(layout.of_experiment) if own[piece.kind] is piece]
        title = f"{piece.kind} {piece.number + 1}"
        rows = np.arange(piece.at, piece.at + piece.size)
        if piece.kind == "crystal":
            out += _crystal_groups(piece.parameters.size, title, rows, layout, data, users)
        elif piece.kind == "detector" and len(piece.parameters.groups) > 1:
            for g, group in enumerate(piece.parameters.groups):
                count = sum(int(np.isin(data[i].panel, group.panels).sum()) for i in users)
                out.append((f"{title} group {g + 1}", rows[6 * g : 6 * g + 6], count))
        else:
            out.append((title, rows, sum(len(data[i]) for i in users)))
    return out


def _crystal_groups(
    size: int, title: str, rows: np.ndarray, layout: Layout, data: list[Observations], users: list[int]
) -> list[tuple[str, np.ndarray, int]]:
    groups = []
    samples = len(rows) // size
    for s in range(samples):
        count = sum(_at_sample(layout, data[i], i, s) for i in users)
        at = rows[s * size : (s + 1) * size]
        name = title if samples == 1 else f"{title} sample {s + 1}"
        groups += [(f"orientation of {name}", at[:3], count), (f"cell of {name}", at[3:], count)]
    return groups


def _at_sample(layout: Layout, data: Observations, i: int, sample: int) -> int:
    """Reflections whose model depends on a sample."""
    smoothing = layout.smoothing[i]
    if smoothing is None:
        return len(data)
    touches = np.any((smoothing.sample == sample) & (smoothing.weight > 1e-3), axis=1)
    return int(np.count_nonzero(touches[smoothing.block_of(data.observed[:, 2])]))
