"""Holding models that have too few reflections for their parameters (front.md 12.4)."""

from __future__ import annotations

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.modelfit.layout import Layout, Piece
from mxdask.modelfit.options import FitOptions
from mxdask.modelfit.selection import Observations
from mxdask.models import ExperimentList

RESIDUALS = 3  # x, y and φ of a reflection


def reduced(
    experiments: ExperimentList, layout: Layout, data: list[Observations], options: FitOptions
) -> tuple[np.ndarray, list[str]]:
    """(size,) mask of parameters that stay free, and one line per group of parameters that had to be held.

    A group is a beam, a goniometer, a detector's rigid body, a crystal's orientation or its cell (at one sample). It
    needs so many reflections that depend on it, and at least as many residuals as it has parameters.

    Raises
    ------
    MxdaskError : something has to be held and the options forbid it.
    """
    free, notes = layout.free.copy(), []
    for title, rows, count in _groups(experiments, layout, data):
        n = int(free[rows].sum())
        if n and (count < options.min_reflections_per_parameter or RESIDUALS * count < n):
            free[rows] = False
            notes.append(f"{title}: {count} reflections for {n} parameters")
    if notes and options.auto_reduction == "fail":
        raise MxdaskError(
            f"too few reflections to refine {'; '.join(notes)}; fix these models or set auto_reduction.action=fix"
        )
    return free, notes


def _groups(experiments: ExperimentList, layout: Layout, data: list[Observations]) -> list[tuple[str, np.ndarray, int]]:
    """Title, parameter numbers and reflections of each group."""
    out = []
    users_of: dict[tuple[str, int], list[int]] = {}
    for i, own in enumerate(layout.of_experiment):
        for piece in own.values():
            users_of.setdefault((piece.kind, piece.number), []).append(i)
    for piece in layout.pieces:
        if piece.kind == "cell":  # determined by its crystals
            continue
        users = users_of[piece.kind, piece.number]
        names = list(dict.fromkeys(experiments[i].name for i in users))
        title = f"{piece.kind} of {names[0] if len(names) == 1 else f'{names[0]} and {len(names) - 1} other sweeps'}"
        rows = np.arange(piece.at, piece.at + piece.size)
        if piece.kind == "crystal":
            out += _crystal_groups(piece, title, layout, data, users)
        elif piece.kind == "detector" and len(piece.parameters.groups) > 1:
            for g, group in enumerate(piece.parameters.groups):
                count = sum(int(np.isin(data[i].panel, group.panels).sum()) for i in users)
                out.append((f"group {g + 1} of {title}", rows[6 * g : 6 * g + 6], count))
        else:
            out.append((title, rows, sum(len(data[i]) for i in users)))
    return out


def _crystal_groups(
    piece: Piece, title: str, layout: Layout, data: list[Observations], users: list[int]
) -> list[tuple[str, np.ndarray, int]]:
    groups = []
    size = piece.parameters.size
    samples = piece.size // size
    for s in range(samples):
        count = sum(_at_sample(layout, data[i], i, s) for i in users)
        at = np.arange(piece.at + s * size, piece.at + (s + 1) * size)
        name = title if samples == 1 else f"{title} at sample {s + 1}"
        groups += [(f"orientation of {name}", at[:3], count), (f"cell of {name}", at[3:], count)]
    return groups


def _at_sample(layout: Layout, data: Observations, i: int, sample: int) -> int:
    """Reflections whose model depends on a sample."""
    smoothing = layout.smoothing[i]
    if smoothing is None:
        return len(data)
    touches = np.any((smoothing.sample == sample) & (smoothing.weight > 1e-3), axis=1)
    return int(np.count_nonzero(touches[smoothing.block_of(data.observed[:, 2])]))
