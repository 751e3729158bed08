"""The parameters of a set of experiments that share models, and their places in one vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mxdask.modelfit.beam import BeamParameters
from mxdask.modelfit.cell_ties import CellRestraint, CellTie, CommonCell, weights
from mxdask.modelfit.crystal import CrystalParameters
from mxdask.modelfit.detector import DetectorParameters
from mxdask.modelfit.goniometer import GoniometerParameters
from mxdask.modelfit.options import FitOptions, Priors
from mxdask.modelfit.smoother import Smoothing
from mxdask.models import Experiment, ExperimentList

KINDS = ("beam", "detector", "goniometer", "crystal")


@dataclass(frozen=True)
class Piece:
    """The parameters of one model and where they lie in the vector of all.

    Attributes
    ----------
    kind : one of KINDS, or ``cell`` (the common one of a group of crystals).
    number : which of its kind, in order of first use.
    parameters : the parameterisation. at : first element. size : number of parameters.
    """

    kind: str
    number: int
    parameters: Any
    at: int
    size: int

    @property
    def rows(self) -> slice:
        """Its elements of the vector."""
        return slice(self.at, self.at + self.size)


@dataclass(frozen=True)
class Layout:
    """All parameters, border (beams, detectors, goniometers) first, then crystal by crystal.

    Attributes
    ----------
    pieces : in order of the vector. of_experiment : per experiment its four pieces by kind.
    free : (size,) which parameters the fit moves. prior : (size,) 1/σ² about prior_mean.
    tie : (size,) the parameter each one is equal to: itself, or for a cell that does not vary along the scan that of
        the first sample. A tied parameter is never free itself.
    drift : pairs (m, 2) of neighbouring samples' orientation parameters, and 1/σ² of their differences.
    smoothing : per experiment how a scan-varying crystal's samples combine, or None (static).
    ties : restraints of cells; their common cells are pieces of kind ``cell``.
    """

    pieces: tuple[Piece, ...]
    of_experiment: tuple[dict[str, Piece], ...]
    free: np.ndarray
    prior: np.ndarray
    prior_mean: np.ndarray
    tie: np.ndarray
    drift: tuple[np.ndarray, float]
    smoothing: tuple[Smoothing | None, ...]
    ties: tuple[CellTie, ...]

    @property
    def size(self) -> int:
        """Number of parameters, free or not."""
        return len(self.free)

    @property
    def border_size(self) -> int:
        """Number of those that are not a crystal's."""
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
    experiments: ExperimentList,
    options: FitOptions,
    smoothing: tuple[Smoothing | None, ...] | None = None,
    reference: ExperimentList | None = None,
) -> Layout:
    """Which models there are, by identity, what the options let move, and where the priors pull.

    ``reference``: experiments whose beam and detector the priors are about, row by row; default the starting ones.
    """
    smoothing = smoothing or (None,) * len(experiments)
    found: dict[str, dict[int, tuple[Any, int, bool]]] = {kind: {} for kind in KINDS}
    for experiment, smooth in zip(experiments, smoothing, strict=True):
        for kind in KINDS:
            model = getattr(experiment, kind)
            if id(model) not in found[kind]:
                varies = smooth if kind == "crystal" else None
                samples, cell_varies = (1, False) if varies is None else (varies.n_samples, varies.cell_varies)
                found[kind][id(model)] = (_parameters(kind, experiment, options), samples, cell_varies)
    pieces: dict[tuple[str, int], Piece] = {}
    free, prior, tie, at = [], [], [], 0
    ties: list[CellTie] = []
    for kind in KINDS:
        if kind == "crystal":
            ties = _cell_ties(found["crystal"], options.cell_restraints, at)
            for number, tied in enumerate(t for t in ties if t.at is not None):
                pieces["cell", number] = Piece("cell", number, CommonCell(tied.target), at, CommonCell.size)
                free.append(tied.weight > 0)
                prior.append(np.zeros(CommonCell.size))
                tie.append(np.arange(at, at + CommonCell.size))
                at += CommonCell.size
        for number, (key, (parameters, samples, cell_varies)) in enumerate(found[kind].items()):
            pieces[kind, key] = Piece(kind, number, parameters, at, parameters.size * samples)
            moves = np.tile(~_fixed(kind, parameters, options), samples)
            same = np.arange(at, at + parameters.size * samples)
            if samples > 1 and not cell_varies:
                same.reshape(samples, -1)[:, 3:] = same[3 : parameters.size]
                moves[parameters.size :].reshape(samples - 1, -1)[:, 3:] = False
            at += parameters.size * samples
            free.append(moves)
            tie.append(same)
            prior.append(np.tile(_prior(kind, parameters, options.priors), samples))
    of_experiment = tuple({kind: pieces[kind, id(getattr(e, kind))] for kind in KINDS} for e in experiments)
    mean = np.zeros(at)
    if reference is not None and options.priors is not None:
        for own, target in zip(of_experiment, reference, strict=True):
            for kind in ("beam", "detector"):
                mean[own[kind].rows] = own[kind].parameters.values_of(getattr(target, kind))
    return Layout(
        tuple(pieces.values()), of_experiment, np.concatenate(free), np.concatenate(prior), mean, np.concatenate(tie),
        _drift(tuple(pieces.values()), options.priors), smoothing, tuple(ties),
    )  # fmt: skip


def _cell_ties(
    crystals: dict[int, tuple[Any, int, bool]], restraints: tuple[CellRestraint, ...], at: int
) -> list[CellTie]:
    """The restraints on the crystals found; common cells take places in the border from ``at`` on."""
    ties = []
    groups: dict[str, list[int]] = {}
    cells = []
    for number, (parameters, samples, cell_varies) in enumerate(crystals.values()):
        cells.append(parameters.crystal.cell)
        if samples == 1 or not cell_varies:
            groups.setdefault(parameters.crystal.space_group_hall, []).append(number)
    for restraint in restraints:
        for members in groups.values():
            weight = weights(restraint.sigmas)
            if restraint.values is not None:
                ties.append(CellTie(tuple(members), np.array(restraint.values, dtype=np.float64), weight, None))
            elif len(members) > 1:
                mean = np.mean([cells[n] for n in members], axis=0)
                ties.append(CellTie(tuple(members), mean, weight, at))
                at += CommonCell.size
    return ties


def _drift(pieces: tuple[Piece, ...], priors: Priors | None) -> tuple[np.ndarray, float]:
    """Orientation parameters of neighbouring samples, and the weight of their difference."""
    if priors is None or priors.drift is None:
        return np.zeros((0, 2), dtype=np.int64), 0.0
    pairs = [
        (first, first + piece.parameters.size)
        for piece in pieces
        if piece.kind == "crystal"
        for sample in range(piece.size // piece.parameters.size - 1)
        for first in range(piece.at + sample * piece.parameters.size, piece.at + sample * piece.parameters.size + 3)
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2), priors.drift**-2


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
