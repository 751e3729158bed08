"""Scalepack's .sca files, merged and unmerged (HKL-2000 manual; formats 3I4 4F8.1 and 6I4 I6 2I2 I3 2F8.1)."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from mxdask.errors import FileError
from mxdask.io.atomic import replacing

# Original and unique indices, batch, hand, side of the spindle (not known), symmetry operation, I, σ.
_LINE = "{:4d}{:4d}{:4d}{:4d}{:4d}{:4d}{:6d}{:2d} 0{:3d}{}{}\n"


def write_sca_unmerged(
    path: str | Path,
    space_group: gemmi.SpaceGroup,
    *,
    original: np.ndarray,
    hkl: np.ndarray,
    isym: np.ndarray,
    batch: np.ndarray,
    centric: np.ndarray,
    intensity: np.ndarray,
    sigma: np.ndarray,
) -> None:
    """Write ``no merge original index``: symmetry operations, then one line per observation.

    Parameters
    ----------
    original, hkl : (n, 3) indices as measured, and in the asymmetric unit.
    isym : (n,) as in MTZ files: odd for h·R, even for Friedel mates. batch : (n,). centric : (n,) bool.
    intensity, sigma : (n,).
    """
    operations = list(space_group.operations())
    lines = [f"{len(operations):5d} {space_group.short_name()}"]
    for op in operations:
        lines.append("".join(f"{v // op.DEN:3d}" for row in op.rot for v in row))
        lines.append("".join(f"{v * 12 // op.DEN:3d}" for v in op.tran))
    hand = np.where(centric, 0, np.where(isym % 2 == 1, 1, 2))
    rows = zip(
        *original.T.tolist(), *hkl.T.tolist(), batch.tolist(), hand.tolist(), ((isym + 1) // 2).tolist(),
        _numbers(path, intensity), _numbers(path, sigma), strict=True,
    )  # fmt: skip
    with replacing(path) as temporary, open(temporary, "w") as file:
        file.write("\n".join(lines) + "\n")
        file.writelines(_LINE.format(*row) for row in rows)


def write_sca_merged(
    path: str | Path,
    space_group: gemmi.SpaceGroup,
    cell: gemmi.UnitCell,
    *,
    hkl: np.ndarray,
    plus: tuple[np.ndarray, np.ndarray],
    minus: tuple[np.ndarray, np.ndarray],
) -> None:
    """Write merged intensities, Friedel mates apart; a mate that was not seen is written as 0.0 -1.0.

    Parameters
    ----------
    hkl : (n, 3). plus, minus : intensity and sigma (n,) each, NaN where nothing was seen.
    """
    symbol = space_group.short_name().lower()
    head = "    1\n -987\n" + "".join(f"{v:10.3f}" for v in cell.parameters) + f" {symbol}\n"
    columns = []
    for intensity, sigma in (plus, minus):
        seen = np.isfinite(intensity)
        columns.append(_numbers(path, np.where(seen, intensity, 0.0)))
        columns.append(_numbers(path, np.where(seen, sigma, -1.0)))
    with replacing(path) as temporary, open(temporary, "w") as file:
        file.write(head)
        file.writelines("{:4d}{:4d}{:4d}{}{}{}{}\n".format(*row) for row in zip(*hkl.T.tolist(), *columns, strict=True))


def _numbers(path: str | Path, values: np.ndarray) -> list[str]:
    """Eight characters each, one decimal where it fits."""
    texts = [text if len(text := f"{v:8.1f}") == 8 else f"{v:8.0f}" for v in values.tolist()]
    if any(len(text) > 8 for text in texts):
        raise FileError(f"{path}: an intensity is too large for the eight characters Scalepack has; scale the data")
    return texts
