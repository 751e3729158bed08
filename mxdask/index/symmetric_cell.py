"""Constrain a poorly determined cell to the symmetry that its metric has within error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.stats import chi2

from mxdask.errors import MxdaskError
from mxdask.index.cycles import Solution, assign_spots
from mxdask.index.known_symmetry import TargetSymmetry
from mxdask.index.params import Indexing
from mxdask.index.refinement import Fit, fit_models
from mxdask.lattice.cells import symmetrised_metric
from mxdask.lattice.metric import LatticeSetting, metric_subgroups
from mxdask.lattice.operators import to_setting
from mxdask.models import Crystal
from mxdask.table import ReflectionTable

# Relative error of a length (and error of an angle, rad) above which a cell counts as poorly determined.
_POOR = 2e-3
_CONFIDENCE = 0.999
_PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def constrained_if_undetermined(solution: Solution, target: TargetSymmetry, params: Indexing) -> Solution:
    """Refine once more under the highest lattice symmetry the metric agrees with, if the cell needs it.

    A narrow wedge leaves one direction of reciprocal space poorly determined, and a triclinic cell then takes up
    errors of that direction; a symmetry that the metric has within its errors is much more likely than chance. The
    result is given back in P 1: the symmetry of the intensities is for later steps to find.
    """
    wish = params.refinement_protocol.metric_symmetry
    if target.is_known or wish is False or len(solution.crystals) != 1:
        return solution
    crystal = solution.crystals[0]
    covariance = metric_covariance(crystal)
    if covariance is None or not (wish or _is_poor(crystal)):
        return solution
    for setting in metric_subgroups(crystal.cell, max_delta=params.known_symmetry.max_delta, holohedries_only=True):
        if len(setting.ops) > 1 and agrees(crystal, covariance, setting):
            try:
                return _constrained(solution, setting, params)
            except MxdaskError:
                continue
    return solution


def _is_poor(crystal: Crystal) -> bool:
    esds = crystal.cell_esds()
    return esds is not None and bool(np.any(esds[:3] / crystal.cell[:3] > _POOR) or np.any(np.deg2rad(esds[3:6]) > _POOR))


def metric_elements(A: np.ndarray) -> np.ndarray:
    """(6,) a*², b*², c*², b*c* cos α*, a*c* cos β*, a*b* cos γ* (Å⁻²) of a setting matrix."""
    metric = A.T @ A
    return np.array([metric[i, j] for i, j in _PAIRS])


def metric_covariance(crystal: Crystal) -> np.ndarray | None:
    """(6, 6) covariance of :func:`metric_elements` from that of B; None if the crystal has none."""
    if crystal.B_covariance is None:
        return None
    B = crystal.B
    jacobian = np.zeros((6, 9))
    for row, (i, j) in enumerate(_PAIRS):
        derivative = np.zeros((3, 3))
        derivative[:, i] += B[:, j]
        derivative[:, j] += B[:, i]
        jacobian[row] = derivative.ravel()
    return jacobian @ crystal.B_covariance @ jacobian.T


def agrees(crystal: Crystal, covariance: np.ndarray, setting: LatticeSetting) -> bool:
    """Whether the metric differs from one with the setting's symmetry by no more than its errors (χ² test)."""
    # The operators act on indices of the minimum cell; here the crystal's own cell is needed.
    P = np.linalg.inv(setting.P_minimum_best) @ setting.P_input_best
    ops = np.linalg.inv(P) @ setting.ops @ P
    direct = symmetrised_metric(crystal.real_space @ crystal.real_space.T, ops)
    reciprocal = np.linalg.inv(direct)
    difference = metric_elements(crystal.A) - np.array([reciprocal[i, j] for i, j in _PAIRS])
    values, axes = np.linalg.eigh(covariance)
    known = values > 1e-12 * values[-1]
    misfit = float(np.sum((axes[:, known].T @ difference) ** 2 / values[known]))
    lost = 6 - _free_parameters(ops)
    return misfit < chi2.ppf(_CONFIDENCE, max(lost, 1))


def _free_parameters(ops: np.ndarray) -> int:
    """How many independent elements a metric has under a point group."""
    images = []
    for i, j in _PAIRS:
        unit = np.zeros((3, 3))
        unit[i, j] = unit[j, i] = 1.0
        images.append(symmetrised_metric(unit, ops).ravel())
    return int(np.linalg.matrix_rank(np.array(images), tol=1e-6))


def _constrained(solution: Solution, setting: LatticeSetting, params: Indexing) -> Solution:
    """Refine in the setting's symmetry, and bring crystal and indices back to the primitive cell in P 1."""
    P = setting.P_input_best
    back = np.linalg.inv(P)
    crystal = to_setting(solution.crystals[0], P, setting.space_group)
    found = solution.assignment
    moved = replace(found, hkl=np.rint(found.hkl @ P.T).astype(np.int32))
    fit = fit_models(solution.spots, [crystal], moved, params)
    primitive = _in_basis(fit, back)
    spots = solution.spots.with_geometry(primitive.sweeps)
    again = assign_spots(spots, primitive.crystals, params.hkl_tolerance, params.refinement_protocol.d_min_final or 0.0)
    if np.array_equal(again.hkl, found.hkl):
        return Solution(spots, primitive.crystals, found, primitive)
    crystal = fit.crystals[0]
    moved = replace(again, hkl=np.rint(again.hkl @ P.T).astype(np.int32))
    primitive = _in_basis(fit_models(spots, [crystal], moved, params), back)
    return Solution(spots.with_geometry(primitive.sweeps), primitive.crystals, again, primitive)


def _in_basis(fit: Fit, P: np.ndarray) -> Fit:
    """A fit of one lattice in another basis (h' = P·h) and in P 1, errors included."""
    old = fit.crystals[0]
    crystal = old.change_basis(P, " P 1")
    # A' = A·P⁻¹ and U' B' = U B P⁻¹: errors of B go the same way up to the small change of Cartesian frame.
    turn = crystal.U.T @ old.U
    if old.B_covariance is not None:
        jacobian = np.kron(turn, np.linalg.inv(P).T)
        crystal = replace(crystal, B_covariance=jacobian @ old.B_covariance @ jacobian.T)
    experiments = fit.experiments.with_experiments(e.evolve(crystal=crystal) for e in fit.experiments)
    table: ReflectionTable = fit.table.copy()
    table["miller_index"] = np.rint(table["miller_index"] @ P.T).astype(np.int32)
    return replace(fit, experiments=experiments, table=table)

