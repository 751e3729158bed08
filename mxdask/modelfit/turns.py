"""Turns of everything about the beam, which slow drifts of crystals look like.

To turn beam, detector and crystals together is to turn the spindle the other way, and that shows only in how the spots
change while the crystal rotates: a spindle off by δ looks like a crystal that turns by 2·sin(W/2)·δ while the spindle
turns by W, at right angles to it. Crystals do turn by themselves, by some hundredths of a degree: over a wedge of 5° a
drift of 0.02° looks like a spindle off by 0.23°. To a fit of crystals that do not drift this is a very precise
measurement, and no prior of some mrad can resist it; where crystals may drift, the turn serves to describe what the
shape of the smoother does not. Either way the error is one of every sweep as a whole: its many reflections do not
average it out.

An estimate t of such a turn therefore has, besides the variance 1/I that the reflections give it, the variance
σt² = σ²/Σ(2·sin(W/2))² over the sweeps, σ being a crystal's drift over its scan. Between t and a prior of variance σp²
the best value is t·σp²/(σp² + σt²), which the fit finds when the weight I·σt²/σp² is added to the prior's. So narrow
wedges leave the turns where they were set, while wide sweeps, or very many crystals, determine them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.modelfit.arrow import Arrow
from mxdask.modelfit.layout import Layout, Piece
from mxdask.modelfit.levmar import LEAST_MU
from mxdask.modelfit.options import Priors
from mxdask.modelfit.problem import Problem
from mxdask.models import ExperimentList


@dataclass(frozen=True)
class Turn:
    """A combination of border parameters that drifts of crystals look like.

    Attributes
    ----------
    rows : their numbers. vector : their coefficients. prior : σp, mrad. drift : σt, mrad.
    """

    rows: np.ndarray
    vector: np.ndarray
    prior: float
    drift: float


def common_turns(experiments: ExperimentList, layout: Layout, priors: Priors | None) -> list[Turn]:
    """Directions of beams in the plane of beam and spindle, and orientations of detectors about the beam."""
    if priors is None or priors.wander is None:
        return []
    sigma = {"beam": priors.beam, "detector": priors.tilt}
    turns = []
    for piece in layout.pieces:
        prior = sigma.get(piece.kind)
        if prior is None:
            continue
        users = [i for i, own in enumerate(layout.of_experiment) if own[piece.kind] is piece]
        drift = priors.wander / np.sqrt(sum(_leverage(experiments, i) for i in users))
        beam = layout.of_experiment[users[0]]["beam"].parameters.direction0
        turns += [Turn(*combination, prior, drift) for combination in _combinations(piece, beam)]
    return turns


def drift_weight(problem: Problem, turns: list[Turn]) -> np.ndarray:
    """(border, border) weights to add to the priors, that keep the turns where drifts could have made them.

    I is that of the starting models: what the reflections say of a turn when all other free parameters follow.
    """
    size = problem.layout.border_size
    weight = np.zeros((size, size))
    normal = problem.evaluate(problem.start) if turns else None
    if normal is None:
        return weight
    try:
        found = Arrow(normal, LEAST_MU).covariance(-1)
    except np.linalg.LinAlgError:  # nothing determines some parameter; the minimiser deals with that
        return weight
    covariance = np.zeros((size, size))
    covariance[np.ix_(problem.border, problem.border)] = found
    for turn in turns:
        free, own = np.where(problem.free[turn.rows], turn.vector, 0.0), np.ix_(turn.rows, turn.rows)
        variance = float(free @ covariance[own] @ free)
        if variance > 0.0:
            information = max(1.0 / variance - problem.prior_scale / turn.prior**2, 0.0)
            weight[own] += information * (turn.drift / turn.prior) ** 2 * np.outer(free, free)
    return weight


def _leverage(experiments: ExperimentList, i: int) -> float:
    """(2·sin(W/2))² of a sweep: what a turn of the spindle by one turns the crystal; W at most half a turn."""
    scan = experiments[i].scan
    assert scan is not None
    width = min(abs(scan.width) * scan.n_images, 180.0)
    return float(4.0 * np.sin(np.deg2rad(0.5 * width)) ** 2)


def _combinations(piece: Piece, beam: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Numbers and coefficients of a beam's Mu2, or of the turn about the beam of each rigid group of a detector."""
    if piece.kind == "beam":
        return [(np.array([piece.at + 1]), np.ones(1))]
    tilts = piece.at + np.arange(3, 6)
    return [(tilts + 6 * g, group.axes @ beam) for g, group in enumerate(piece.parameters.groups)]
