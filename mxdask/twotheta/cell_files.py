"""A cell with its esds as CIF, mmCIF and p4p text."""

from __future__ import annotations

from typing import Any

import gemmi

from mxdask import __version__
from mxdask.text import with_esds

NAMES = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
BLOCK = "two_theta_refine"


def cif_text(numbers: dict[str, Any]) -> str:
    """Core CIF: values with standard uncertainties in brackets.

    Parameters
    ----------
    numbers : cell, cell_esd, volume, volume_esd, n_reflections (as in the step's summary).
    """
    document, block = _block()
    block.set_pair("_audit_creation_method", gemmi.cif.quote(f"mxdask {__version__}"))
    for name, value, esd in zip(NAMES, numbers["cell"], numbers["cell_esd"], strict=True):
        block.set_pair(f"_cell_{name}", with_esds([value], [esd]))
    block.set_pair("_cell_volume", with_esds([numbers["volume"]], [numbers["volume_esd"]]))
    block.set_pair("_cell_measurement_reflns_used", str(numbers["n_reflections"]))
    return str(document.as_string())


def mmcif_text(numbers: dict[str, Any]) -> str:
    """MmCIF: values and esds in items of their own."""
    document, block = _block()
    block.set_pair("_entry.id", BLOCK)
    block.set_pair("_cell.entry_id", BLOCK)
    for name, value, esd in zip(NAMES, numbers["cell"], numbers["cell_esd"], strict=True):
        block.set_pair(f"_cell.{name}", f"{value:.5f}")
        block.set_pair(f"_cell.{name}_esd", f"{esd:.6f}")
    block.set_pair("_cell.volume", f"{numbers['volume']:.3f}")
    block.set_pair("_cell.volume_esd", f"{numbers['volume_esd']:.4f}")
    block.set_pair("_cell_measurement.entry_id", BLOCK)
    block.set_pair("_cell_measurement.reflns_used", str(numbers["n_reflections"]))
    return str(document.as_string())


def p4p_text(numbers: dict[str, Any], wavelength: float) -> str:
    """The lines of a .p4p file that SHELX and XPREP read a cell from."""

    def line(word: str, values: list[float]) -> str:
        return f"{word:<8} " + " ".join(f"{v:.4f}" for v in values)

    return "\n".join([
        f"TITLE    mxdask {__version__} two_theta_refine",
        line("CELL", [*numbers["cell"], numbers["volume"]]),
        line("CELLSD", [*numbers["cell_esd"], numbers["volume_esd"]]),
        f"SOURCE   SYNCH   {wavelength:.6f}",
        "",
    ])  # fmt: skip


def _block() -> tuple[gemmi.cif.Document, gemmi.cif.Block]:
    document = gemmi.cif.Document()
    return document, document.add_new_block(BLOCK)
