"""Where a space group that the user knows sits on a lattice."""

from __future__ import annotations

import gemmi

from mxdask.lattice.metric import LatticeSetting
from mxdask.lattice.space_groups import symmorphic


def setting_of(settings: list[LatticeSetting], space_group: gemmi.SpaceGroup) -> LatticeSetting | None:
    """The subgroup of a lattice that has a space group's rotations and centring and fits the cell best.

    Parameters
    ----------
    settings : all subgroups, from :func:`mxdask.lattice.metric.metric_subgroups`.
    """
    return min(settings_of(settings, space_group), key=lambda s: s.delta, default=None)


def settings_of(settings: list[LatticeSetting], space_group: gemmi.SpaceGroup) -> list[LatticeSetting]:
    """All subgroups of that type: the same group along different axes of the lattice."""
    wanted = symmorphic(space_group)
    return [s for s in settings if s.space_group.hm == wanted.hm and s.space_group.ext == wanted.ext]
