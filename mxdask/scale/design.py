"""How every observation depends on the parameters: the sparse rows of the problem."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy import linalg, sparse

from mxdask.models import Experiment
from mxdask.scale.absorption import crystal_frame_directions, harmonics
from mxdask.scale.models import ScalingModel

# How much neighbouring parameters of a sweep may differ before the data have to say so: ln S, and B/2d² at d_min.
_SCALE_STEP = 0.2
_DECAY_STEP = 0.3


@dataclass(frozen=True)
class Layout:
    """Where each experiment's parameters lie in the common vector.

    Attributes
    ----------
    models : one per experiment.
    start : (e + 1,) i8, experiment i owns start[i]:start[i + 1].
    """

    models: tuple[ScalingModel, ...]
    start: np.ndarray

    @classmethod
    def of(cls, models: Sequence[ScalingModel]) -> Layout:
        sizes = [m.n_parameters for m in models]
        return cls(tuple(models), np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))

    @property
    def n_parameters(self) -> int:
        return int(self.start[-1])

    def is_scale(self) -> np.ndarray:
        """(n_parameters,) which of them are scale parameters; these are refined as logarithms, so stay positive."""
        return self._mark(0)

    def is_decay(self) -> np.ndarray:
        """(n_parameters,) which of them are B factors."""
        return self._mark(1)

    def initial(self) -> np.ndarray:
        """(n_parameters,) no correction."""
        return np.concatenate([m.start() for m in self.models])

    def restraints(self, decay_weight: float, d_min: float) -> sparse.csr_array:
        """(n_parameters, n_parameters) R of the term xᵀRx, x = (ln S, B, C), that is added to the target.

        B and the absorption surface are held near zero; neighbouring scales and B factors near each other, so that
        a stretch of the sweep with few observations follows the rest. Any fair amount of data overrules it.
        What counts for B is its effect at the resolution limit: B/2d² of the outermost reflections is held near
        zero with ``decay_weight``.
        """
        b_unit = 2.0 * d_min**2
        blocks = []
        for model in self.models:
            n_scale, n_decay, n_absorption = model.sizes
            unit = b_unit if model.dose is None else model.dose.units(b_unit, d_min)
            steps = _neighbours(n_decay) / _DECAY_STEP**2 if model.dose is None else 0.0
            decay = (decay_weight * np.eye(n_decay) + steps) / unit**2
            surface = model.surface_weight * np.eye(n_absorption)
            along = _neighbours(n_scale) if model.array is None else model.array.steps()
            blocks.append(linalg.block_diag(along / _SCALE_STEP**2, decay, surface))
        return sparse.csr_array(sparse.block_diag(blocks, format="csr"))

    def of_experiment(self, index: int, vector: np.ndarray) -> np.ndarray:
        """One experiment's part of a vector."""
        return vector[self.start[index] : self.start[index + 1]]

    def _mark(self, component: int) -> np.ndarray:
        parts = [np.repeat([component == c for c in range(3)], m.sizes) for m in self.models]
        return np.concatenate(parts)


def _neighbours(n: int) -> np.ndarray:
    """(n, n) matrix of Σ (x_{k+1} - x_k)²."""
    steps = np.diff(np.eye(n), axis=0)
    return steps.T @ steps


@dataclass(frozen=True)
class Design:
    """Sparse design of n observations, ordered by group, then experiment.

    Attributes
    ----------
    group : (n,) i8, rising; equivalents share a number.
    experiment : (n,) i4.
    scale_first, decay_first : (n,) i4, first of a run of parameters in the common vector.
    scale_weight : (n, w) weights of the run (zero: not used); w is 3, or the size of the largest array model.
    decay_weight : (n, 3) likewise.
    half_inverse_d2 : (n,) 1/2d², Å⁻².
    absorption_first : (n,) i4, first absorption parameter; -1 for none.
    harmonics : (n, k) f8, mean harmonics of the two beams, or weights of a surface on the detector (k = 0 when no
        experiment has absorption).
    """

    group: np.ndarray
    experiment: np.ndarray
    scale_first: np.ndarray
    scale_weight: np.ndarray
    decay_first: np.ndarray
    decay_weight: np.ndarray
    half_inverse_d2: np.ndarray
    absorption_first: np.ndarray
    harmonics: np.ndarray

    def __len__(self) -> int:
        return len(self.group)

    def select(self, rows: np.ndarray) -> Design:
        """Some of the observations, in the same order."""
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def renumbered(self, experiment: np.ndarray, moved: np.ndarray) -> Design:
        """With new numbers (e,) for the experiments, whose parameters move by ``moved`` (e,) places."""
        by = moved[self.experiment].astype(np.int32)
        return replace(
            self, experiment=experiment[self.experiment].astype(np.int32), scale_first=self.scale_first + by,
            decay_first=self.decay_first + by,
            absorption_first=np.where(self.absorption_first < 0, -1, self.absorption_first + by).astype(np.int32),
        )  # fmt: skip

    @property
    def group_starts(self) -> np.ndarray:
        """(m + 1,) i8, observations of the i-th group present are [i]:[i + 1]."""
        return starts_of(self.group)


def starts_of(group: np.ndarray) -> np.ndarray:
    """(m + 1,) i8, where each of the groups present in rising numbers (n,) starts, and the end."""
    if len(group) == 0:
        return np.zeros(1, dtype=np.int64)
    change = np.flatnonzero(group[1:] != group[:-1]) + 1
    return np.concatenate([[0], change, [len(group)]]).astype(np.int64)


@dataclass(frozen=True)
class Rows:
    """The part of :class:`Design` that one experiment's map task makes: indices within its own parameters."""

    scale_first: np.ndarray
    scale_weight: np.ndarray
    decay_first: np.ndarray
    decay_weight: np.ndarray
    harmonics: np.ndarray


def experiment_rows(
    experiment: Experiment, model: ScalingModel, frame: np.ndarray, d: np.ndarray, s1: np.ndarray | None,
    xy: np.ndarray | None = None,
) -> Rows:  # fmt: skip
    """Rows for observations at absolute frames (n,), d (n,) in Å, diffracted vectors s1 (n, 3) and pixels xy (n, 2)."""
    n = len(frame)
    since_start = frame - (experiment.scan.array_range[0] if experiment.scan is not None else 0)
    if model.array is not None and xy is not None:
        none = np.zeros(n, np.int32)
        return Rows(
            none, model.array.decay_weights(since_start, d), none, np.zeros((n, 3)),
            model.array.absorption_weights(since_start, xy),
        )  # fmt: skip
    scale_first, scale_weight = model.scale.weights(since_start)
    if model.dose is not None:
        decay_first, decay_weight = np.zeros(n, np.int64), model.dose.weights(since_start, d)
    elif model.decay is not None:
        decay_first, decay_weight = model.decay.weights(since_start)
    else:
        decay_first, decay_weight = np.zeros(n, np.int64), np.zeros((n, 3))
    surface = np.zeros((n, 0))
    if model.lmax and s1 is not None:
        surface = harmonics(*crystal_frame_directions(experiment, frame, s1), model.lmax)
    first = scale_first.astype(np.int32), (decay_first + model.sizes[0]).astype(np.int32)
    return Rows(first[0], scale_weight, first[1], decay_weight, surface)


def assemble(
    layout: Layout, rows: Sequence[Rows], d: Sequence[np.ndarray], group: np.ndarray, order: np.ndarray
) -> Design:
    """The common design from the experiments' parts.

    Parameters
    ----------
    rows, d : per experiment: its part and the resolutions (Å).
    group : (n,) group of each observation, experiments one after the other.
    order : (n,) permutation that sorts by group, then experiment.
    """
    width = max((r.harmonics.shape[1] for r in rows), default=0)
    run = max((r.scale_weight.shape[1] for r in rows), default=3)
    sizes = [len(r.scale_first) for r in rows]
    experiment = np.repeat(np.arange(len(rows), dtype=np.int32), sizes)
    start = layout.start.astype(np.int32)
    absorption = np.array(
        [s + sum(m.sizes[:2]) if m.sizes[2] else -1 for s, m in zip(start, layout.models, strict=False)]
    )

    def in_order(parts: Iterable[np.ndarray]) -> np.ndarray:
        return np.concatenate(list(parts))[order]  # one column at a time: all of them at once would need twice the room

    return Design(
        group[order],
        experiment[order],
        in_order(r.scale_first + s for r, s in zip(rows, start, strict=False)),
        in_order(_widened(r.scale_weight, run) for r in rows),
        in_order(r.decay_first + s for r, s in zip(rows, start, strict=False)),
        in_order(r.decay_weight for r in rows),
        in_order(0.5 / v**2 for v in d),
        absorption.astype(np.int32)[experiment][order],
        in_order(_widened(r.harmonics, width) for r in rows),
    )


def _widened(values: np.ndarray, width: int) -> np.ndarray:
    """(n, width) with zeros in the columns that were not there."""
    return np.pad(values, ((0, 0), (0, width - values.shape[1])))
