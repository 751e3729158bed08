"""The normal equations of a set of experiments at any values of their parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from mxdask.geometry.predict import unit_axis
from mxdask.modelfit.arrow import Normal
from mxdask.modelfit.layout import KINDS, Layout, Piece
from mxdask.modelfit.normal_kernels import accumulate
from mxdask.modelfit.selection import Observations
from mxdask.modelfit.smoother import Smoothing
from mxdask.models import ExperimentList


class Problem:
    """Normal equations of the free parameters as a function of their values."""

    def __init__(
        self,
        experiments: ExperimentList,
        data: list[Observations],
        layout: Layout,
        free: np.ndarray | None = None,
        prior_scale: float = 1.0,
    ) -> None:
        self.experiments, self.data, self.layout = experiments, data, layout
        self.prior_scale = prior_scale
        self.free = layout.free if free is None else free
        self._prior = layout.prior * prior_scale
        pairs, weight = layout.drift
        self._drift_pairs = pairs[np.all(self.free[pairs], axis=1)]
        self._drift_weight = weight * prior_scale
        self._smoothing = {
            pieces["crystal"].number: smoothing
            for pieces, smoothing in zip(layout.of_experiment, layout.smoothing, strict=True)
        }
        self.border = np.flatnonzero(self.free[: layout.border_size])
        self._joint_prior = np.zeros((len(self.border), len(self.border)))
        self._crystals = [p for p in layout.pieces if p.kind == "crystal"]
        self._blocks = [p.at + np.flatnonzero(self.free[p.rows]) for p in self._crystals]
        self.rows = np.concatenate([self.border, *self._blocks]).astype(np.int64)
        self._position = np.full(layout.size, -1, dtype=np.int64)
        self._position[self.border] = np.arange(len(self.border))
        for rows in self._blocks:
            self._position[rows] = np.arange(len(rows))

    def restrain(self, weight: np.ndarray) -> None:
        """Add a matrix (border, border) of weights to the priors on beams and detectors, about the same means."""
        self._joint_prior = weight[np.ix_(self.border, self.border)]

    @property
    def start(self) -> np.ndarray:
        """(free,) zeros: the starting models."""
        return np.zeros(len(self.rows))

    def full(self, values: np.ndarray) -> np.ndarray:
        """Values of all parameters, fixed ones at zero."""
        out = np.zeros(self.layout.size)
        out[self.rows] = values
        return out[self.layout.tie]

    def evaluate(self, values: np.ndarray) -> Normal | None:
        """Normal equations at the free parameters' values; None where a cell is impossible."""
        full = self.full(values)
        states = self._states(full)
        if states is None:
            return None
        G = len(self.border)
        border, border_gradient = np.zeros((G, G)), np.zeros(G)
        blocks = [np.zeros((len(rows), len(rows))) for rows in self._blocks]
        gradients = [np.zeros(len(rows)) for rows in self._blocks]
        couplings = [np.zeros((G, len(rows))) for rows in self._blocks]
        sums = np.zeros((len(self.experiments), 6))
        for i in range(len(self.experiments)):
            normal, gradient, sums[i], _ = self._one(i, states, gradients_too=True)
            free = self._free_parameters(i)
            is_border = free < self.layout.border_size
            outer, inner = self._position[free[is_border]], self._position[free[~is_border]]
            k = self.layout.of_experiment[i]["crystal"].number
            n = len(outer)
            border[np.ix_(outer, outer)] += normal[:n, :n]
            couplings[k][np.ix_(outer, inner)] += normal[:n, n:]
            blocks[k][np.ix_(inner, inner)] += normal[n:, n:]
            border_gradient[outer] += gradient[:n]
            gradients[k][inner] += gradient[n:]
        objective = 0.5 * float(sums[:, 3].sum())
        objective += self._add_priors(full, border, border_gradient)
        objective += self._add_drift(full, blocks, gradients)
        return Normal(border, border_gradient, blocks, gradients, couplings, objective, sums)

    def _add_priors(self, full: np.ndarray, border: np.ndarray, gradient: np.ndarray) -> float:
        """Add the priors on beams and detectors; returns their part of the objective."""
        weight, shift = self._prior[self.border], (full - self.layout.prior_mean)[self.border]
        border[np.diag_indices_from(border)] += weight
        border += self._joint_prior
        pull = weight * shift + self._joint_prior @ shift
        gradient += pull
        return 0.5 * float(pull @ shift)

    def _add_drift(self, full: np.ndarray, blocks: list[np.ndarray], gradients: list[np.ndarray]) -> float:
        """Add the priors on changes of orientation between samples."""
        if not len(self._drift_pairs):
            return 0.0
        change = full[self._drift_pairs[:, 1]] - full[self._drift_pairs[:, 0]]
        for k, piece in enumerate(self._crystals):
            own = (self._drift_pairs[:, 0] >= piece.at) & (self._drift_pairs[:, 0] < piece.rows.stop)
            first, second = self._position[self._drift_pairs[own]].T
            block, gradient, w = blocks[k], gradients[k], self._drift_weight
            block[first, first] += w
            block[second, second] += w
            block[first, second] -= w
            block[second, first] -= w
            gradient[first] -= w * change[own]
            gradient[second] += w * change[own]
        return 0.5 * self._drift_weight * float(change @ change)

    def residuals(self, values: np.ndarray) -> list[np.ndarray]:
        """Per experiment (n, 3) calculated − observed, mm, mm, rad."""
        states = self._states(self.full(values))
        assert states is not None
        return [self._one(i, states, gradients_too=False)[3] for i in range(len(self.experiments))]

    def _states(self, full: np.ndarray) -> dict[tuple[str, int], Any] | None:
        """Models and their derivatives at the values, by (kind, number)."""
        states: dict[tuple[str, int], Any] = {}
        for piece in self.layout.pieces:
            values, key = full[piece.rows], (piece.kind, piece.number)
            if piece.kind == "beam":
                states[key] = piece.parameters.s0_and_derivatives(values)
            elif piece.kind == "detector":
                d, derivative = piece.parameters.d_and_derivatives(values)
                states[key] = (np.linalg.inv(d), derivative)
            elif piece.kind == "goniometer" and np.any(self.free[piece.rows]):
                states[key] = piece.parameters.S_and_derivatives(values)
            elif piece.kind == "goniometer":
                states[key] = (piece.parameters.goniometer.setting_rotation.copy(), np.zeros((2, 3, 3)))
            else:
                smoothing = self.smoothing_of(piece)
                at_block = values[None] if smoothing is None else smoothing.at_blocks(values)
                try:
                    states[key] = piece.parameters.A_and_derivatives(at_block)
                except np.linalg.LinAlgError:
                    return None
        return states

    def smoothing_of(self, piece: Piece) -> Smoothing | None:
        """How a crystal's samples combine; None for a static one."""
        return self._smoothing[piece.number]

    def _local_parameters(self, i: int) -> np.ndarray:
        """Parameter numbers (ties followed) of experiment i's beam, detector, goniometer and crystal."""
        pieces = self.layout.of_experiment[i]
        return self.layout.tie[np.concatenate([np.arange(pieces[k].at, pieces[k].rows.stop) for k in KINDS])]

    def _free_parameters(self, i: int) -> np.ndarray:
        """Those the fit moves, each once, ascending: the columns of the experiment's own normal equations."""
        local = self._local_parameters(i)
        return np.unique(local[self.free[local]])

    def _one(
        self, i: int, states: dict[tuple[str, int], Any], *, gradients_too: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Run the kernel over experiment i."""
        experiment, data, pieces = self.experiments[i], self.data[i], self.layout.of_experiment[i]
        goniometer = experiment.goniometer
        assert goniometer is not None
        (s0, d_s0), (D, d_panel), (S, d_S), (A, d_A) = (states[p.kind, p.number] for p in pieces.values())
        local, columns = self._local_parameters(i), self._free_parameters(i)
        column = np.where(self.free[local], np.searchsorted(columns, local), -1)
        of_kind = np.split(column, np.cumsum([pieces[kind].size for kind in KINDS])[:-1])
        size = len(columns) if gradients_too else 0
        normal, gradient, sums = np.zeros((size, size)), np.zeros(size), np.zeros(6)
        residual = np.empty((len(data), 3))
        smoothing = self.layout.smoothing[i]
        if smoothing is None:
            block, sample, weight = np.zeros(len(data), np.int64), np.zeros((1, 1), np.int64), np.ones((1, 1))
        else:
            block, sample, weight = smoothing.block_of(data.observed[:, 2]), smoothing.sample, smoothing.weight
        accumulate(
            data.hkl, data.entering, data.panel, block, data.observed, data.weight,
            s0, S, unit_axis(goniometer), np.array(goniometer.fixed_rotation), A, D,
            d_s0, d_S, d_A, d_panel, pieces["detector"].parameters.panel_offset, sample, weight,
            *of_kind,
            normal, gradient, sums, residual,
        )  # fmt: skip
        lower = np.tril_indices(size, -1)
        normal[lower] = normal.T[lower]
        return normal, gradient, sums, residual
