"""SHELX: reflections as HKLF 4 and the beginning of an instruction file (Sheldrick 2015, Acta Cryst. C71, 3)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import gemmi
import numpy as np

from mxdask.errors import ParameterError
from mxdask.io.atomic import replacing

_LATTICES = "PIRFABC"  # LATT 1 … 7
_FORMULA = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*)")


def write_hklf4(path: str | Path, hkl: np.ndarray, intensity: np.ndarray, sigma: np.ndarray) -> None:
    """Write (3I4, 2F8.2) lines and the line of zeros that ends them.

    Parameters
    ----------
    hkl : (n, 3). intensity, sigma : (n,) scaled so that they fit into eight characters.
    """
    rows = zip(*hkl.T.tolist(), _eight(intensity), _eight(sigma), strict=True)
    with replacing(path) as temporary, open(temporary, "w") as file:
        file.writelines(f"{h:4d}{k:4d}{el:4d}{i}{s}\n" for h, k, el, i, s in rows)
        file.write(f"{0:4d}{0:4d}{0:4d}{0:8.2f}{0:8.2f}\n")


def _eight(values: np.ndarray) -> list[str]:
    """Eight characters each, with two decimals where they fit."""
    return [text if len(text := f"{v:8.2f}") == 8 else f"{v:8.0f}" for v in values.tolist()]


def write_ins(
    path: str | Path,
    *,
    cell: Sequence[float],
    esds: Sequence[float] | None,
    wavelength: float,
    space_group: gemmi.SpaceGroup,
    composition: str,
) -> None:
    """Write TITL … HKLF 4: all that SHELXT or SHELXS needs beside the reflections.

    Parameters
    ----------
    cell, esds : a, b, c, α, β, γ (Å, °). composition : formula of the asymmetric unit.

    Raises
    ------
    ParameterError : the composition is not a formula.
    """
    elements = formula(composition)
    operations = space_group.operations()
    z = len(operations)
    name = space_group.short_name()
    lines = [f"TITL {space_group.number} in {name}", _cell_line(f"CELL {wavelength:8.5f}", cell)]
    if esds is not None:
        lines.append(_cell_line(f"ZERR {z:8.3f}", esds))
    lines.append(f"LATT {latt(space_group)}")
    lines += [f"SYMM {triplet}" for triplet in symm(space_group)]
    lines.append("SFAC " + " ".join(elements))
    lines.append("UNIT " + " ".join(f"{n * z:g}" for n in elements.values()))
    with replacing(path) as temporary:
        temporary.write_text("\n".join([*lines, "TREF", "HKLF 4", "END", ""]))


def latt(space_group: gemmi.SpaceGroup) -> int:
    """SHELX's number of the centring, negative where there is no inversion at the origin."""
    centring = space_group.hm[0]
    number = 1 if centring == "R" and space_group.ext == "R" else _LATTICES.index(centring.replace("H", "R")) + 1
    return number if _has_inversion(space_group.operations()) else -number


def symm(space_group: gemmi.SpaceGroup) -> list[str]:
    """The operations that neither the centring nor the inversion at the origin gives, without the identity."""
    operations = space_group.operations()
    inverted = _has_inversion(operations)
    told, out = {gemmi.Op("x,y,z").triplet()}, []
    if inverted:
        told.add(gemmi.Op("-x,-y,-z").triplet())
    for op in operations.sym_ops:
        if op.triplet() in told:
            continue
        told.add(op.triplet())
        if inverted:
            told.add(gemmi.Op("-x,-y,-z").combine(op).wrap().triplet())
        out.append(op.triplet().upper())
    return out


def formula(text: str) -> dict[str, float]:
    """Element → number: ``C3H7NO2S``.

    Raises
    ------
    ParameterError : something else than elements and numbers.
    """
    out: dict[str, float] = {}
    for element, number in _FORMULA.findall(text.replace(" ", "")):
        if gemmi.Element(element).atomic_number == 0:
            raise ParameterError(f"composition={text}: there is no element {element}")
        out[element] = out.get(element, 0.0) + float(number or 1)
    if not out or "".join(_FORMULA.sub("", text.replace(" ", ""))):
        raise ParameterError(f"composition={text}: not a formula; write it as C3H7NO2S")
    return out


def _has_inversion(operations: gemmi.GroupOps) -> bool:
    return any(op.triplet() == "-x,-y,-z" for op in operations.sym_ops)


def _cell_line(start: str, values: Sequence[float]) -> str:
    return start + " {:8.4f} {:8.4f} {:8.4f} {:8.3f} {:8.3f} {:8.3f}".format(*values)
