"""Groups derived from a space group: without screws, with an inversion; and groups as users write them."""

from __future__ import annotations

import gemmi

from mxdask.errors import ParameterError

_INVERSION = gemmi.Op("-x,-y,-z")


def parse_space_group(text: str) -> gemmi.SpaceGroup:
    """A space group from a Hermann-Mauguin symbol (blanks optional) or a number, on hexagonal axes where rhombohedral.

    Raises
    ------
    ParameterError : no such group.
    """
    try:
        if text.strip().isdigit():
            return gemmi.SpaceGroup(int(text))
        found = gemmi.find_spacegroup_by_name(text.strip().replace(" :", ":"), prefer="2H")
    except (ValueError, RuntimeError):
        found = None
    if found is None:
        raise ParameterError(f"space_group={text}: no such space group; write it as P43212, 'I 2 3' or its number")
    return found


def symmorphic(space_group: gemmi.SpaceGroup) -> gemmi.SpaceGroup:
    """The group of the same rotations and lattice without screw or glide parts, in the same setting."""
    return _from_rotations(space_group, inverted=False)


def patterson_group(space_group: gemmi.SpaceGroup) -> gemmi.SpaceGroup:
    """The symmorphic group with an inversion added: Laue group and centring."""
    return _from_rotations(space_group, inverted=True)


def patterson_symbol(space_group: gemmi.SpaceGroup) -> str:
    """Symbol of the Patterson group as DIALS prints it (``I m -3``, ``R -3 m :H``)."""
    return symbol(patterson_group(space_group))


def symbol(space_group: gemmi.SpaceGroup) -> str:
    """Hermann-Mauguin symbol with the choice of rhombohedral axes."""
    extension = space_group.ext
    return f"{space_group.hm} :{extension}" if extension in ("H", "R") else str(space_group.hm)


def _from_rotations(space_group: gemmi.SpaceGroup, *, inverted: bool) -> gemmi.SpaceGroup:
    operations = space_group.operations()
    bare = []
    for op in operations.sym_ops:
        rotation = gemmi.Op("x,y,z")
        rotation.rot = op.rot
        bare += [rotation, _INVERSION.combine(rotation)] if inverted else [rotation]
    group = gemmi.GroupOps(list({op.triplet(): op for op in bare}.values()))
    group.cen_ops = operations.cen_ops
    return gemmi.find_spacegroup_by_ops(group) or space_group
