"""The normal equations of a set of experiments at any values of their parameters."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from mxdask.modelfit.arrow import Normal
from mxdask.modelfit.cell_ties import cell_and_derivatives
from mxdask.modelfit.layout import KINDS, Layout, Piece
from mxdask.modelfit.part import Hands, OwnHands, Part, equations_of, residuals_of
from mxdask.modelfit.selection import Observations
from mxdask.modelfit.smoother import Smoothing
from mxdask.models import ExperimentList

EXPERIMENTS_PER_PART = 16


class Problem:
    """Normal equations of the free parameters as a function of their values.

    The reflections lie in parts, which ``hands`` may have put anywhere; what comes from there is one small matrix per
    experiment.
    """

    def __init__(
        self,
        experiments: ExperimentList,
        data: Sequence[Observations],
        layout: Layout,
        free: np.ndarray | None = None,
        prior_scale: float = 1.0,
        hands: Hands | None = None,
    ) -> None:
        self.experiments, self.data, self.layout = experiments, data, layout
        self.prior_scale = prior_scale
        self.free = layout.free if free is None else free
        self.hands = OwnHands() if hands is None else hands
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
        self.crystals = [p for p in layout.pieces if p.kind == "crystal"]
        self._blocks = [p.at + np.flatnonzero(self.free[p.rows]) for p in self.crystals]
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

    @cached_property
    def _parts(self) -> tuple[list[Any], list[np.ndarray]]:
        """Parts, wherever they were put, and the numbers of their parameters."""
        n = len(self.experiments)
        cuts = [range(a, min(a + EXPERIMENTS_PER_PART, n)) for a in range(0, n, EXPERIMENTS_PER_PART)]
        made = [Part.of(self.layout, self.free, self.experiments, self.data, rows) for rows in cuts]
        return self.hands.place([part for part, _ in made]), [numbers for _, numbers in made]

    @cached_property
    def _columns(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Per experiment where its columns belong: in the border, and in its crystal's block."""
        out = []
        for pieces in self.layout.of_experiment:
            local = self.layout.tie[np.concatenate([np.arange(pieces[k].at, pieces[k].rows.stop) for k in KINDS])]
            free = np.unique(local[self.free[local]])
            outer = np.searchsorted(free, self.layout.border_size)
            out.append((self._position[free[:outer]], self._position[free[outer:]]))
        return out

    def evaluate(self, values: np.ndarray) -> Normal | None:
        """Normal equations at the free parameters' values; None where a cell is impossible."""
        full = self.full(values)
        parts, numbers = self._parts
        items = [(part, full[own]) for part, own in zip(parts, numbers, strict=True)]
        found = self.hands.map(equations_of, items, "refine")
        if any(f is None for f in found):
            return None
        G = len(self.border)
        border, border_gradient = np.zeros((G, G)), np.zeros(G)
        blocks = [np.zeros((len(rows), len(rows))) for rows in self._blocks]
        gradients = [np.zeros(len(rows)) for rows in self._blocks]
        couplings = [np.zeros((G, len(rows))) for rows in self._blocks]
        sums = np.zeros((len(self.experiments), 6))
        for i, (normal, gradient, own_sums) in enumerate(itertools.chain.from_iterable(found)):
            sums[i] = own_sums
            outer, inner = self._columns[i]
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
        normal = Normal(border, border_gradient, blocks, gradients, couplings, objective, sums)
        return replace(normal, objective=objective + self._add_ties(full, normal))

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
        pairs, w = self._drift_pairs, self._drift_weight
        if not len(pairs):
            return 0.0
        change = full[pairs[:, 1]] - full[pairs[:, 0]]
        starts = np.searchsorted(pairs[:, 0], [*(p.at for p in self.crystals), self.layout.size])
        for k, (begin, end) in enumerate(itertools.pairwise(starts)):
            first, second = self._position[pairs[begin:end]].T
            block, gradient = blocks[k], gradients[k]
            # A parameter is at most once the first and once the second of a pair: no index repeats below.
            block[first, first] += w
            block[second, second] += w
            block[first, second] -= w
            block[second, first] -= w
            gradient[first] -= w * change[begin:end]
            gradient[second] += w * change[begin:end]
        return 0.5 * w * float(change @ change)

    def _add_ties(self, full: np.ndarray, normal: Normal) -> float:
        """Add the restraints on cells; returns their part of the objective."""
        total = 0.0
        for tie in self.layout.ties:
            weight, target = tie.weight * self.prior_scale, tie.target
            outer = np.zeros(0, dtype=np.int64)
            if tie.at is not None:
                common = np.arange(tie.at, tie.at + len(weight))
                target = target + full[common]
                outer = self._position[common]
            seen = outer >= 0
            for k in tie.crystals:
                piece = self.crystals[k]
                own = piece.at + np.arange(3, piece.parameters.size)
                cell, J = cell_and_derivatives(piece.parameters, full[piece.at : piece.at + piece.parameters.size])
                inner, J = self._position[own][self.free[own]], J[:, self.free[own]]
                residual = cell - target
                pull = weight * residual
                total += 0.5 * float(pull @ residual)
                normal.blocks[k][np.ix_(inner, inner)] += J.T @ (weight[:, None] * J)
                normal.gradients[k][inner] += J.T @ pull
                if tie.at is not None:
                    normal.border[outer[seen], outer[seen]] += weight[seen]
                    normal.border_gradient[outer[seen]] -= pull[seen]
                    normal.couplings[k][np.ix_(outer[seen], inner)] -= (weight[:, None] * J)[seen]
        return total

    def residuals(self, values: np.ndarray) -> list[np.ndarray]:
        """Per experiment (n, 3) calculated − observed, mm, mm, rad."""
        full = self.full(values)
        parts, numbers = self._parts
        items = [(part, full[own]) for part, own in zip(parts, numbers, strict=True)]
        return list(itertools.chain.from_iterable(self.hands.map(residuals_of, items, "refine")))

    def smoothing_of(self, piece: Piece) -> Smoothing | None:
        """How a crystal's samples combine; None for a static one."""
        return self._smoothing[piece.number]
