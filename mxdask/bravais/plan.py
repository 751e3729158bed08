"""Crystals of a list, and the settings that each of their lattices could have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.bravais.params import Params
from mxdask.errors import MxdaskError
from mxdask.lattice.common_setting import cluster_cells
from mxdask.lattice.metric import LatticeSetting, metric_subgroups
from mxdask.models import Crystal, ExperimentList


@dataclass(frozen=True, eq=False)
class LatticeGroup:
    """Crystals with one lattice, and what symmetries it allows.

    Attributes
    ----------
    crystals : rows of the crystals (not of the experiments), ascending.
    to_common : (n, 3, 3) for each, h_common = P·h.
    settings : highest symmetry first, triclinic last; number of setting i is ``len(settings) - i``.
    """

    crystals: tuple[int, ...]
    to_common: np.ndarray
    settings: tuple[LatticeSetting, ...]

    def number(self, i: int) -> int:
        """Number of setting i as in the table (1 is triclinic)."""
        return len(self.settings) - i


def crystals_of(experiments: ExperimentList) -> list[tuple[Crystal, list[int]]]:
    """Distinct crystals in order of first use, and the rows of the experiments that hold each.

    Raises
    ------
    MxdaskError : there is none.
    """
    groups = experiments.groups(lambda e: None if e.crystal is None else id(e.crystal))
    found = []
    for key, rows in groups.items():
        crystal = experiments[rows[0]].crystal
        if key is not None and crystal is not None:
            found.append((crystal, rows))
    if not found:
        raise MxdaskError("no experiment has a crystal; index the data first")
    return found


def lattice_groups(crystals: list[Crystal], params: Params) -> list[LatticeGroup]:
    """Crystals grouped by lattice, the largest group first, each with its list of settings (front.md 10.1, 10.2)."""
    centrings = [c.space_group.centring_type() for c in crystals]
    clusters = cluster_cells(
        [c.cell for c in crystals],
        centrings,
        relative_length_tolerance=params.cluster.relative_length_tolerance,
        absolute_angle_tolerance=params.cluster.absolute_angle_tolerance,
    )
    groups = []
    for cluster in clusters:
        to_common, cell, centring = cluster.P, cluster.median, "P"
        if len(cluster.members) == 1:  # keep the setting a single crystal came in wherever it will do
            row = cluster.members[0]
            to_common, cell, centring = np.eye(3)[None], crystals[row].cell, centrings[row]
        settings = metric_subgroups(
            cell,
            centring,
            max_delta=params.lepage_max_delta,
            best_monoclinic_beta=params.best_monoclinic_beta,
            holohedries_only=True,
        )
        groups.append(LatticeGroup(cluster.members, to_common, tuple(settings)))
    return groups
