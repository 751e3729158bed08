"""Reflections as mmCIF (dictionary mmcif_pdbx, https://mmcif.wwpdb.org)."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import gemmi
import numpy as np

from mxdask.errors import FileError
from mxdask.io.atomic import replacing

_OPENERS: dict[str | None, Callable[..., Any]] = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open, None: open}


@dataclass(frozen=True)
class Loop:
    """A table of a CIF file: category (``_diffrn_refln.``), and item → (values, printf format)."""

    category: str
    items: Mapping[str, tuple[Any, str]]


def write_mmcif(
    path: str | Path, block: str, pairs: Sequence[tuple[str, Any]], loops: Sequence[Loop], compress: str | None = None
) -> None:
    """Write one data block of pairs (full tag, value) and loops.

    Parameters
    ----------
    compress : gz, bz2, xz or None. Items of loops that may hold blanks are given as text with format ``%s``.
    """
    document = gemmi.cif.Document()
    head = document.add_new_block(block)
    for tag, value in pairs:
        head.set_pair(tag, _text(value))
    with replacing(path) as temporary, cast(IO[str], _OPENERS[compress](temporary, "wt")) as file:
        file.write(document.as_string())
        for loop in loops:
            file.write("\nloop_\n" + "".join(f"{loop.category}{name}\n" for name in loop.items))
            layout = " ".join(form for _, form in loop.items.values()) + "\n"
            columns = [_plain(values, form) for values, form in loop.items.values()]
            file.writelines(layout % row for row in zip(*columns, strict=True))


def write_merged_mmcif(path: str | Path, mtz_file: str | Path) -> None:
    """Write a merged MTZ file's structure factors and intensities for deposition.

    Raises
    ------
    FileError : gemmi cannot express the file as mmCIF.
    """
    try:
        converter = gemmi.MtzToCif()
        text = converter.write_cif_to_string(gemmi.read_mtz_file(str(mtz_file)))
    except (RuntimeError, ValueError) as error:
        raise FileError(f"{path}: {mtz_file} cannot be written as mmCIF ({error})") from error
    with replacing(path) as temporary:
        temporary.write_text(text)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}" if np.isfinite(value) else "?"
    return str(value) if isinstance(value, int) else str(gemmi.cif.quote(str(value)))


def _plain(values: Any, form: str) -> list[Any]:
    if form == "%s":
        return [gemmi.cif.quote(str(v)) for v in values]
    return list(np.asarray(values).tolist())
