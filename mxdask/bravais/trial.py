"""One crystal refined under one lattice symmetry."""

from __future__ import annotations

from dataclasses import dataclass, replace

import gemmi
import numpy as np

from mxdask.bravais.correlation import Correlation, operator_correlation, signals_of
from mxdask.errors import MxdaskError
from mxdask.lattice.operators import point_group, reindex, to_setting
from mxdask.modelfit.options import FitOptions
from mxdask.modelfit.static import refine_static
from mxdask.models import ExperimentList
from mxdask.table import Flag, ReflectionTable

# What a trial needs of the table; the last two only for correlations.
COLUMNS = (
    "id", "panel", "miller_index", "entering", "flags", "xyzobs.mm.value", "xyzobs.mm.variance",
    "intensity.sum.value", "intensity.sum.variance",
)  # fmt: skip

# The space group of lowest symmetry with each Bravais type.
LOWEST = {
    "aP": "P 1", "mP": "P 1 2 1", "mC": "C 1 2 1", "mI": "I 1 2 1", "oP": "P 2 2 2", "oC": "C 2 2 2", "oF": "F 2 2 2",
    "oI": "I 2 2 2", "tP": "P 4", "tI": "I 4", "hP": "P 3", "hR": "R 3:H", "cP": "P 2 3", "cF": "F 2 3", "cI": "I 2 3",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Trial:
    """A crystal in one setting.

    Attributes
    ----------
    experiments : refined, the crystal in the setting and its lowest space group.
    rmsd : √(rx² + ry²), mm. n_used : reflections of the last fit.
    correlations : one per operator of the lowest space group, the identity first; () without intensities.
    """

    experiments: ExperimentList
    rmsd: float
    n_used: int
    correlations: tuple[Correlation, ...]


def lowest_space_group(bravais: str) -> gemmi.SpaceGroup:
    """The space group of lowest symmetry of a Bravais type (``tP`` → P 4)."""
    return gemmi.SpaceGroup(LOWEST[bravais])


def refine_in_setting(
    experiments: ExperimentList, reflections: ReflectionTable, P: np.ndarray, bravais: str, options: FitOptions
) -> Trial:
    """Reindex, constrain the cell, refine (front.md 10.2).

    First with the reflections that an earlier refinement used, and no rejection (so that a wrong symmetry cannot throw
    out what speaks against it), then with all.

    Parameters
    ----------
    experiments : the sweeps of one crystal, which they share.
    reflections : rows of COLUMNS, indexed, ``id`` by row of ``experiments``.
    P : (3, 3), h_setting = P·h.

    Raises
    ------
    MxdaskError : too few reflections, or a fit that the symmetry makes impossible.
    """
    crystal = experiments[0].crystal
    assert crystal is not None
    group = lowest_space_group(bravais)
    moved, integer = reindex(reflections["miller_index"], P)
    table = reflections.copy()
    table["miller_index"] = moved
    table = table.select(integer)
    constrained = to_setting(replace(crystal, B_covariance=None, A_at_scan_points=None), P, group)
    start = experiments.with_experiments([e.evolve(crystal=constrained) for e in experiments])
    try:
        first = _first_fit(start, table, options)
        final = refine_static(first, table, options)
    except (ValueError, np.linalg.LinAlgError) as error:
        raise MxdaskError(f"the cell cannot be refined as {bravais} ({error})") from error
    rmsd = float(np.hypot(*final.rmsd_mm[:2]))
    return Trial(final.experiments, rmsd, int(final.n_used.sum()), _correlations(table, group))


def _first_fit(start: ExperimentList, table: ReflectionTable, options: FitOptions) -> ExperimentList:
    used = table.has_flags(Flag.USED_IN_REFINEMENT)
    if used.any():
        return refine_static(start, table.select(used), replace(options, outlier="null")).experiments
    soft = replace(options, outlier="tukey", tukey_multiplier=2 * options.tukey_multiplier)
    return refine_static(start, table, soft).experiments


def _correlations(table: ReflectionTable, group: gemmi.SpaceGroup) -> tuple[Correlation, ...]:
    if "intensity.sum.value" not in table:
        return ()
    data = signals_of(table)
    return tuple(operator_correlation(data, W) for W in point_group(group))
