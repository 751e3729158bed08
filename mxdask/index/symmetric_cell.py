"""Constrain a poorly determined cell to the symmetry that its metric has within error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.index.cycles import Solution, assign_spots
from mxdask.index.params import Indexing
from mxdask.index.refinement import Fit, fit_models
from mxdask.lattice.metric import LatticeSetting, metric_subgroups
from mxdask.lattice.operators import to_setting
from mxdask.models import Crystal
from mxdask.table import Flag, ReflectionTable

# Relative error of a length (and error of an angle, rad) below which a cell needs no help.
_WELL_DETERMINED = 3e-4
# Mean square residuals may grow by this factor under the constraint, and by more for few reflections: errors that are
# not of counting (a crystal that turns a little) make a strict test of significance refuse every true symmetry.
_GROWTH, _GROWTH_FOR_FEW, _FEW = 1.15, 1.35, 100.0
_STILL_INDEXED = 0.98  # part of the spots
_MAX_TRIED = 6
_MAX_DELTA = 1.0  # degrees: no pseudo-symmetry worse than this is considered


def constrained_if_undetermined(solution: Solution, params: Indexing, *, geometry_is_agreed: bool = False) -> Solution:
    """Refine once more under the highest lattice symmetry the metric agrees with, if the cell needs it.

    A narrow wedge leaves one direction of reciprocal space poorly determined, and a triclinic cell then takes up
    errors of that direction; a symmetry that the metric has within its errors is much more likely than chance. The
    result is given back in P 1: the symmetry of the intensities is for later steps to find.
    """
    wish = params.refinement_protocol.metric_symmetry
    if params.known_symmetry.space_group is not None or wish is False or len(solution.crystals) != 1:
        return solution
    crystal = solution.crystals[0]
    if not (wish or _is_poor(crystal)):
        return solution
    settings = metric_subgroups(crystal.cell, max_delta=_MAX_DELTA, holohedries_only=True)
    for setting in settings[:_MAX_TRIED]:
        if len(setting.ops) == 1:
            break
        try:
            constrained = _constrained(solution, setting, params, geometry_is_agreed)
        except MxdaskError:
            continue
        if _agrees(solution, constrained):
            return constrained
    return solution


def _is_poor(crystal: Crystal) -> bool:
    esds = crystal.cell_esds()
    if esds is None:
        return False
    return bool(np.any(np.append(esds[:3] / crystal.cell[:3], np.deg2rad(esds[3:6])) > _WELL_DETERMINED))


def _agrees(free: Solution, constrained: Solution) -> bool:
    """Whether the constraint costs next to nothing in residuals and in indexed spots."""
    growth = np.mean((constrained.fit.rmsd_mm / np.maximum(free.fit.rmsd_mm, 1e-9)) ** 2)
    n_used = max(1, int(np.count_nonzero(constrained.fit.table.has_flags(Flag.USED_IN_REFINEMENT))))
    limit = float(np.clip(1.0 + _FEW / n_used, _GROWTH, _GROWTH_FOR_FEW))
    return bool(growth < limit and constrained.n_indexed >= _STILL_INDEXED * free.n_indexed)


def _constrained(solution: Solution, setting: LatticeSetting, params: Indexing, geometry_is_agreed: bool) -> Solution:
    """Refine in the setting's symmetry, and bring crystal and indices back to the primitive cell in P 1."""
    P = setting.P_input_best
    back = np.linalg.inv(P)
    crystal = to_setting(solution.crystals[0], P, setting.space_group)
    found = solution.assignment
    moved = replace(found, hkl=np.rint(found.hkl @ P.T).astype(np.int32))
    fit = fit_models(solution.spots, [crystal], moved, params, geometry_is_agreed=geometry_is_agreed)
    primitive = in_basis(fit, back, " P 1")
    spots = solution.spots.with_geometry(primitive.sweeps)
    again = assign_spots(spots, primitive.crystals, params, params.refinement_protocol.d_min_final or 0.0)
    if np.array_equal(again.hkl, found.hkl):
        return Solution(spots, primitive.crystals, found, primitive)
    crystal = fit.crystals[0]
    moved = replace(again, hkl=np.rint(again.hkl @ P.T).astype(np.int32))
    fit = fit_models(spots, [crystal], moved, params, geometry_is_agreed=geometry_is_agreed)
    primitive = in_basis(fit, back, " P 1")
    return Solution(spots.with_geometry(primitive.sweeps), primitive.crystals, again, primitive)


def in_basis(fit: Fit, P: np.ndarray, space_group_hall: str) -> Fit:
    """A fit of one lattice in another basis (h' = P·h) and space group, errors included."""
    old = fit.crystals[0]
    crystal = old.change_basis(P, space_group_hall)
    # A' = A·P⁻¹ and U' B' = U B P⁻¹: errors of B go the same way up to the small change of Cartesian frame.
    turn = crystal.U.T @ old.U
    if old.B_covariance is not None:
        jacobian = np.kron(turn, np.linalg.inv(P).T)
        crystal = replace(crystal, B_covariance=jacobian @ old.B_covariance @ jacobian.T)
    experiments = fit.experiments.with_experiments(e.evolve(crystal=crystal) for e in fit.experiments)
    table: ReflectionTable = fit.table.copy()
    table["miller_index"] = np.rint(table["miller_index"] @ P.T).astype(np.int32)
    return replace(fit, experiments=experiments, table=table)
