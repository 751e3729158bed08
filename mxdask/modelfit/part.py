"""Some experiments of a fit with their reflections: what makes normal equations, wherever it lies (front.md 12.8).

A fit sends parameter values to its parts and gets one small matrix per experiment back; the reflections stay where
they are. It adds the matrices up in the order of the experiments, so that the result does not depend on how they are
cut into parts, nor on who works on them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from mxdask.geometry.predict import unit_axis
from mxdask.modelfit.layout import KINDS, Layout, Piece
from mxdask.modelfit.normal_kernels import accumulate
from mxdask.modelfit.selection import Observations
from mxdask.modelfit.smoother import Smoothing
from mxdask.models import ExperimentList, Goniometer

# One experiment's normal matrix, gradient, sums (see arrow.Normal).
Equations = tuple[np.ndarray, np.ndarray, np.ndarray]


class Hands(Protocol):
    """Who works on the parts of a large fit."""

    def place(self, parts: Sequence[Any]) -> list[Any]:
        """Put values where they are going to be used again and again; gives what stands for them."""
        ...

    def map(self, function: Callable[..., Any], items: Sequence[tuple[Any, ...]], name: str) -> list[Any]:
        """``function(*item)`` for every item, in order; errors are raised."""
        ...


class OwnHands:
    """Everything here, one after the other."""

    def place(self, parts: Sequence[Any]) -> list[Any]:
        return list(parts)

    def map(self, function: Callable[..., Any], items: Sequence[tuple[Any, ...]], name: str) -> list[Any]:
        return [function(*item) for item in items]


@dataclass(frozen=True)
class Part:
    """Experiments, their reflections and their share of the parameters.

    Attributes
    ----------
    of_experiment : per experiment its pieces by kind, ``at`` counting in this part's own vector.
    data, smoothing, goniometers : per experiment.
    tie, free : as in :class:`Layout`, of the part's own vector.
    """

    of_experiment: tuple[dict[str, Piece], ...]
    data: tuple[Observations, ...]
    smoothing: tuple[Smoothing | None, ...]
    goniometers: tuple[Goniometer, ...]
    tie: np.ndarray
    free: np.ndarray

    @classmethod
    def of(
        cls,
        layout: Layout,
        free: np.ndarray,
        experiments: ExperimentList,
        data: Sequence[Observations],
        rows: Sequence[int],
    ) -> tuple[Part, np.ndarray]:
        """The part of these experiments, and the numbers (n,) of its parameters in the vector of all."""
        pieces = {(p.kind, p.number): p for row in rows for p in layout.of_experiment[row].values()}
        own, numbers, at = {}, [], 0
        for piece in sorted(pieces.values(), key=lambda p: p.at):
            own[piece.kind, piece.number] = replace(piece, at=at)
            numbers.append(np.arange(piece.at, piece.at + piece.size))
            at += piece.size
        where = np.concatenate(numbers)
        goniometers = []
        for row in rows:
            goniometer = experiments[row].goniometer
            assert goniometer is not None
            goniometers.append(goniometer)
        part = cls(
            tuple({k: own[p.kind, p.number] for k, p in layout.of_experiment[row].items()} for row in rows),
            tuple(data[row] for row in rows),
            tuple(layout.smoothing[row] for row in rows),
            tuple(goniometers),
            np.searchsorted(where, layout.tie[where]),
            free[where],
        )
        return part, where

    def columns(self, i: int) -> np.ndarray:
        """Free parameters of experiment i, each once, ascending: the columns of its normal equations."""
        local = self._local(i)
        return np.unique(local[self.free[local]])

    def equations(self, values: np.ndarray) -> list[Equations] | None:
        """Normal equations of each experiment at the values of the part's parameters; None for an impossible cell."""
        states = self._states(values)
        if states is None:
            return None
        return [self._one(i, states, gradients_too=True)[:3] for i in range(len(self.data))]

    def residuals(self, values: np.ndarray) -> list[np.ndarray]:
        """Per experiment (n, 3) calculated − observed, mm, mm, rad."""
        states = self._states(values)
        assert states is not None
        return [self._one(i, states, gradients_too=False)[3] for i in range(len(self.data))]

    def _local(self, i: int) -> np.ndarray:
        """Parameter numbers (ties followed) of experiment i's beam, detector, goniometer and crystal."""
        pieces = self.of_experiment[i]
        return self.tie[np.concatenate([np.arange(pieces[k].at, pieces[k].rows.stop) for k in KINDS])]

    def _states(self, values: np.ndarray) -> dict[tuple[str, int], Any] | None:
        """Models and their derivatives at the values, by (kind, number)."""
        states: dict[tuple[str, int], Any] = {}
        for pieces, smoothing in zip(self.of_experiment, self.smoothing, strict=True):
            for piece in pieces.values():
                key = (piece.kind, piece.number)
                if key in states:
                    continue
                try:
                    states[key] = self._state(piece, values[piece.rows], smoothing)
                except np.linalg.LinAlgError:
                    return None
        return states

    def _state(self, piece: Piece, values: np.ndarray, smoothing: Smoothing | None) -> tuple[np.ndarray, np.ndarray]:
        parameters: Any = piece.parameters
        state: tuple[np.ndarray, np.ndarray]
        if piece.kind == "beam":
            state = parameters.s0_and_derivatives(values)
        elif piece.kind == "detector":
            d, derivative = parameters.d_and_derivatives(values)
            state = (np.linalg.inv(d), derivative)
        elif piece.kind == "goniometer" and np.any(self.free[piece.rows]):
            state = parameters.S_and_derivatives(values)
        elif piece.kind == "goniometer":
            state = (np.array(parameters.goniometer.setting_rotation), np.zeros((2, 3, 3)))
        else:
            state = parameters.A_and_derivatives(values[None] if smoothing is None else smoothing.at_blocks(values))
        return state

    def _one(
        self, i: int, states: dict[tuple[str, int], Any], *, gradients_too: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Run the kernel over experiment i."""
        data, pieces, goniometer = self.data[i], self.of_experiment[i], self.goniometers[i]
        (s0, d_s0), (D, d_panel), (S, d_S), (A, d_A) = (states[p.kind, p.number] for p in pieces.values())
        local, columns = self._local(i), self.columns(i)
        column = np.where(self.free[local], np.searchsorted(columns, local), -1)
        of_kind = np.split(column, np.cumsum([pieces[kind].size for kind in KINDS])[:-1])
        size = len(columns) if gradients_too else 0
        normal, gradient, sums = np.zeros((size, size)), np.zeros(size), np.zeros(6)
        residual = np.empty((len(data), 3))
        smoothing = self.smoothing[i]
        if smoothing is None:
            block, sample, weight = np.zeros(len(data), np.int64), np.zeros((1, 1), np.int64), np.ones((1, 1))
        else:
            block, sample, weight = smoothing.block_of(data.observed[:, 2]), smoothing.sample, smoothing.weight
        detector: Any = pieces["detector"].parameters
        accumulate(
            data.hkl, data.entering, data.panel, block, data.observed, data.weight,
            s0, S, unit_axis(goniometer), np.array(goniometer.fixed_rotation), A, D,
            d_s0, d_S, d_A, d_panel, detector.panel_offset, sample, weight,
            *of_kind,
            normal, gradient, sums, residual,
        )  # fmt: skip
        lower = np.tril_indices(size, -1)
        normal[lower] = normal.T[lower]
        return normal, gradient, sums, residual


def equations_of(part: Part, values: np.ndarray) -> list[Equations] | None:
    """:meth:`Part.equations` as a task."""
    return part.equations(values)


def residuals_of(part: Part, values: np.ndarray) -> list[np.ndarray]:
    """:meth:`Part.residuals` as a task."""
    return part.residuals(values)
