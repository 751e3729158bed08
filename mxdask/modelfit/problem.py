"""The parameters of a set of experiments that share models, and their normal equations at any values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mxdask.geometry.predict import unit_axis
from mxdask.modelfit.arrow import Normal
from mxdask.modelfit.beam import BeamParameters
from mxdask.modelfit.crystal import CrystalParameters
from mxdask.modelfit.detector import DetectorParameters
from mxdask.modelfit.goniometer import GoniometerParameters
from mxdask.modelfit.normal_kernels import accumulate
from mxdask.modelfit.options import FitOptions, Priors
from mxdask.modelfit.selection import Observations
from mxdask.modelfit.smoother import Smoothing
from mxdask.models import Experiment, ExperimentList

KINDS = ("beam", "detector", "goniometer", "crystal")


@dataclass(frozen=True)
class Piece:
    """The parameters of one model and where they lie in the vector of all.

    Attributes
    ----------
    kind : one of KINDS. number : which of its kind, in order of first use.
    parameters : the parameterisation. at : first element. size : number of parameters.
    """

    kind: str
    number: int
    parameters: Any
    at: int
    size: int

    @property
    def rows(self) -> slice:
        return slice(self.at, self.at + self.size)


@dataclass(frozen=True)
class Layout:
    """All parameters, border (beams, detectors, goniometers) first, then crystal by crystal.

    Attributes
    ----------
    pieces : in order of the vector. of_experiment : per experiment its four pieces by kind.
    free : (size,) which parameters the fit moves. prior : (size,) 1/σ² about zero.
    smoothing : per experiment how a scan-varying crystal's samples combine, or None (static).
    """

    pieces: tuple[Piece, ...]
    of_experiment: tuple[dict[str, Piece], ...]
    free: np.ndarray
    prior: np.ndarray
    smoothing: tuple[Smoothing | None, ...]

    @property
    def size(self) -> int:
        return len(self.free)

    @property
    def border_size(self) -> int:
        return sum(p.size for p in self.pieces if p.kind != "crystal")

    def names(self) -> list[str]:
        """Parameter names as in DIALS: ``Beam1Mu1``, ``Crystal2g_param_0_sample1`` …"""
        out = []
        for piece in self.pieces:
            base = list(piece.parameters.names)
            samples = piece.size // len(base)
            stem = f"{piece.kind.capitalize()}{piece.number + 1}"
            out += [f"{stem}{n}" + (f"_sample{s}" if samples > 1 else "") for s in range(samples) for n in base]
        return out


def build_layout(
    experiments: ExperimentList, options: FitOptions, smoothing: tuple[Smoothing | None, ...] | None = None
) -> Layout:
    """Which models there are, by identity, and what the options let move."""
    smoothing = smoothing or (None,) * len(experiments)
    found: dict[str, dict[int, tuple[Any, int]]] = {kind: {} for kind in KINDS}
    for experiment, smooth in zip(experiments, smoothing, strict=True):
        for kind in KINDS:
            model = getattr(experiment, kind)
            if id(model) not in found[kind]:
                samples = smooth.n_samples if kind == "crystal" and smooth is not None else 1
                found[kind][id(model)] = (_parameters(kind, experiment, options), samples)
    pieces: dict[tuple[str, int], Piece] = {}
    free, prior, at = [], [], 0
    for kind in KINDS:
        for number, (key, (parameters, samples)) in enumerate(found[kind].items()):
            pieces[kind, key] = Piece(kind, number, parameters, at, parameters.size * samples)
            at += parameters.size * samples
            free.append(np.tile(~_fixed(kind, parameters, options), samples))
            prior.append(np.tile(_prior(kind, parameters, options.priors), samples))
    of_experiment = tuple({kind: pieces[kind, id(getattr(e, kind))] for kind in KINDS} for e in experiments)
    return Layout(tuple(pieces.values()), of_experiment, np.concatenate(free), np.concatenate(prior), smoothing)


def _parameters(kind: str, experiment: Experiment, options: FitOptions) -> Any:
    beam, detector, goniometer = experiment.beam, experiment.detector, experiment.goniometer
    assert beam is not None and detector is not None and goniometer is not None and experiment.crystal is not None
    if kind == "beam":
        return BeamParameters.of(beam, goniometer.lab_axis)
    if kind == "detector":
        return DetectorParameters.of(detector, beam, options.hierarchy_level)
    if kind == "goniometer":
        return GoniometerParameters.of(goniometer, beam)
    return CrystalParameters.of(experiment.crystal)


def _fixed(kind: str, parameters: Any, options: FitOptions) -> np.ndarray:
    if kind == "beam":
        return parameters.fixed(options.beam_fix)
    if kind == "detector":
        return parameters.fixed(options.detector_fix)
    if kind == "goniometer":
        return np.full(2, options.goniometer_fix)
    mask = np.zeros(parameters.size, dtype=bool)
    mask[:3] = "all" in options.crystal_fix or "orientation" in options.crystal_fix
    mask[3:] = "all" in options.crystal_fix or "cell" in options.crystal_fix
    return mask


def _prior(kind: str, parameters: Any, priors: Priors | None) -> np.ndarray:
    """1/σ² of each parameter, 0 without a prior."""
    weight = np.zeros(parameters.size)
    if priors is None or kind not in ("beam", "detector"):
        return weight
    if kind == "beam":
        wavenumber = 1.0 / parameters.beam.wavelength
        sigma = [priors.beam, priors.beam, None if priors.wavelength is None else priors.wavelength * wavenumber]
        return np.array([0.0 if s is None else s**-2 for s in sigma])
    for g, group in enumerate(parameters.groups):
        distance = float(np.linalg.norm(group.foot))
        along = None if priors.distance is None else priors.distance * distance
        sigma = [along, priors.shift, priors.shift, priors.tilt, priors.tilt, priors.tilt]
        weight[6 * g : 6 * g + 6] = [0.0 if s is None else s**-2 for s in sigma]
    return weight


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
        self.free = layout.free if free is None else free
        self._prior = layout.prior * prior_scale
        self._border = np.flatnonzero(self.free[: layout.border_size])
        self._crystals = [p for p in layout.pieces if p.kind == "crystal"]
        self._blocks = [p.at + np.flatnonzero(self.free[p.rows]) for p in self._crystals]
        self.rows = np.concatenate([self._border, *self._blocks]).astype(np.int64)
        self._position = np.full(layout.size, -1, dtype=np.int64)
        self._position[self._border] = np.arange(len(self._border))
        for rows in self._blocks:
            self._position[rows] = np.arange(len(rows))

    @property
    def start(self) -> np.ndarray:
        """(free,) zeros: the starting models."""
        return np.zeros(len(self.rows))

    def full(self, values: np.ndarray) -> np.ndarray:
        """Values of all parameters, fixed ones at zero."""
        out = np.zeros(self.layout.size)
        out[self.rows] = values
        return out

    def evaluate(self, values: np.ndarray) -> Normal | None:
        """Normal equations at the free parameters' values; None where a cell is impossible."""
        full = self.full(values)
        states = self._states(full)
        if states is None:
            return None
        G = len(self._border)
        border, border_gradient = np.zeros((G, G)), np.zeros(G)
        blocks = [np.zeros((len(rows), len(rows))) for rows in self._blocks]
        gradients = [np.zeros(len(rows)) for rows in self._blocks]
        couplings = [np.zeros((G, len(rows))) for rows in self._blocks]
        sums = np.zeros((len(self.experiments), 6))
        for i in range(len(self.experiments)):
            normal, gradient, sums[i], _ = self._one(i, states, gradients_too=True)
            local = self._local_columns(i)
            free = local[self.free[local]]
            is_border = free < self.layout.border_size
            outer, inner = self._position[free[is_border]], self._position[free[~is_border]]
            k = self.layout.of_experiment[i]["crystal"].number
            n = len(outer)
            border[np.ix_(outer, outer)] += normal[:n, :n]
            couplings[k][np.ix_(outer, inner)] += normal[:n, n:]
            blocks[k][np.ix_(inner, inner)] += normal[n:, n:]
            border_gradient[outer] += gradient[:n]
            gradients[k][inner] += gradient[n:]
        prior = self._prior[self._border]
        border[np.diag_indices(G)] += prior
        border_gradient += prior * full[self._border]
        objective = 0.5 * float(sums[:, 3].sum() + prior @ full[self._border] ** 2)
        return Normal(border, border_gradient, blocks, gradients, couplings, objective, sums)

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
            elif piece.kind == "goniometer":
                states[key] = piece.parameters.S_and_derivatives(values)
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
        for pieces, smoothing in zip(self.layout.of_experiment, self.layout.smoothing, strict=True):
            if pieces["crystal"] is piece:
                return smoothing
        return None

    def _local_columns(self, i: int) -> np.ndarray:
        """Full parameter numbers of experiment i's beam, detector, goniometer and crystal."""
        return np.concatenate(
            [np.arange(p.at, p.at + p.size) for p in (self.layout.of_experiment[i][kind] for kind in KINDS)]
        )

    def _one(
        self, i: int, states: dict[tuple[str, int], Any], *, gradients_too: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Run the kernel over experiment i."""
        experiment, data, pieces = self.experiments[i], self.data[i], self.layout.of_experiment[i]
        goniometer = experiment.goniometer
        assert goniometer is not None
        (s0, d_s0), (D, d_panel), (S, d_S), (A, d_A) = (states[p.kind, p.number] for p in pieces.values())
        local = self.free[self._local_columns(i)]
        column = np.where(local, np.cumsum(local) - 1, -1)
        starts = np.cumsum([0, *(pieces[kind].size for kind in KINDS)])
        size = int(local.sum()) if gradients_too else 0
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
            column, starts[0], starts[1], starts[2], starts[3], d_A.shape[1],
            normal, gradient, sums, residual,
        )  # fmt: skip
        lower = np.tril_indices(size, -1)
        normal[lower] = normal.T[lower]
        return normal, gradient, sums, residual
