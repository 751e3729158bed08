"""Masks of bad pixels: DIALS' pickle of flex.bool (without cctbx), .npz and .npy (front.md 5.1)."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mxdask.errors import FileError
from mxdask.io.atomic import replacing
from mxdask.io.flex_pickle import FlexArray, decode_bool, join_size, load_flex


def read_mask(path: str | Path) -> tuple[np.ndarray, ...]:
    """One (slow, fast) bool array per panel, True = good.

    ``.npz`` holds ``panel_0``, ``panel_1`` … (or any arrays, in their order), ``.npy`` a single panel; anything else
    is read as the pickle that ``dials.generate_mask`` writes.

    Raises
    ------
    FileError : missing, damaged or not a mask.
    """
    path = Path(path)
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                arrays = [archive[name] for name in archive.files]
        elif path.suffix == ".npy":
            arrays = [np.load(path, allow_pickle=False)]
        else:
            arrays = _from_pickle(path.read_bytes(), path)
    except OSError as error:
        raise FileError(f"{path}: mask cannot be read ({error.strerror or error})") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(f"{path}: not a mask ({error})") from error
    if not arrays or any(a.ndim != 2 or a.dtype != bool for a in arrays):
        found = [f"{a.shape} {a.dtype}" for a in arrays]
        raise FileError(f"{path}: a mask is one (slow, fast) array of bool per panel, this holds {found}")
    return tuple(arrays)


def write_mask(path: str | Path, masks: Sequence[np.ndarray]) -> None:
    """Write masks (True = good), one per panel: ``.npz``, else the pickle that DIALS reads."""
    path = Path(path)
    with replacing(path) as temporary:
        if path.suffix == ".npz":
            arrays: dict[str, Any] = {f"panel_{i}": np.asarray(m, dtype=bool) for i, m in enumerate(masks)}
            with open(temporary, "wb") as file:
                np.savez_compressed(file, **arrays)
        else:
            temporary.write_bytes(_to_pickle(masks))


def _from_pickle(content: bytes, path: Path) -> list[np.ndarray]:
    value = load_flex(content, path)
    panels = value if isinstance(value, tuple | list) else (value,)
    if not all(isinstance(p, FlexArray) and p.kind == "bool" for p in panels):
        raise ValueError("the pickle does not hold one flex.bool per panel")
    return [decode_bool(p) for p in panels]


def _to_pickle(masks: Sequence[np.ndarray]) -> bytes:
    """Pickle opcodes (protocol 3) that build ``tuple(flex.bool, …)``: spelt out, as cctbx is not there."""
    module = b"scitbx_array_family_flex_ext\n"
    stream = [b"\x80\x03("]
    for mask in masks:
        slow, fast = mask.shape
        last = b"J" + struct.pack("<i", slow) + b"J" + struct.pack("<i", fast) + b"\x86"
        elements = join_size(mask.size, np.where(mask.ravel(), b"1", b"0").astype("S1").tobytes())
        stream += [
            b"c" + module + b"bool\n)R",
            # grid((0, 0), last, open)
            b"c" + module + b"grid\nK\x00K\x00\x86" + last + b"\x88\x87R" + last + b"b",
            # the array's state: (grid, elements)
            b"B" + struct.pack("<I", len(elements)) + elements + b"\x86b",
        ]
    return b"".join([*stream, b"t."])
