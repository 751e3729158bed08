"""Reflection tables pickled by old versions of DIALS, read without DIALS and without running anything in the file."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from mxdask.errors import FileError
from mxdask.io.base256 import decode_floats, decode_integers
from mxdask.io.flex_pickle import FlexArray, FlexTable, decode_bool, load_flex, split_size
from mxdask.table import ReflectionTable

_INTEGERS = {"int": ("i4", 1), "size_t": ("u8", 1), "int6": ("i4", 6), "miller_index": ("i4", 3)}
_FLOATS = {"double": 1, "vec2_double": 2, "vec3_double": 3, "mat3_double": 9}


def is_refl_pickle(content: bytes) -> bool:
    """Whether a file's first bytes are a pickle that names a reflection table."""
    return content[:1] == b"\x80" and b"reflection_table" in content[:200]


def read_refl_pickle(content: bytes, path: str | Path) -> ReflectionTable:
    """The table in an old .refl (or .pickle) file; columns that are not numbers (shoeboxes) are skipped with a warning.

    Raises
    ------
    FileError : damaged, or holds something that is not a table.
    """
    table = load_flex(content, path)
    if not isinstance(table, FlexTable):
        raise FileError(f"{path}: the pickle does not hold a reflection table")
    try:
        _, identifiers, n_rows, _, columns = table.state
        decoded = {}
        for name, array in columns.items():
            values = _decode(array, n_rows)
            if values is None:
                warnings.warn(f"{path}: column {name} ({array.kind}) cannot be read and was skipped", stacklevel=3)
            else:
                decoded[name] = values
    except (ValueError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise FileError(f"{path}: damaged reflection table ({error})") from error
    return ReflectionTable(decoded, {int(k): str(v) for k, v in identifiers.items()})


def _decode(array: FlexArray, n_rows: int) -> np.ndarray | None:
    """(n,) or (n, width) values of a column; None for a kind that is not numbers."""
    if array.kind == "bool":
        return decode_bool(array)
    width = _FLOATS.get(array.kind) or _INTEGERS.get(array.kind, ("", 0))[1]
    if width == 0:
        return None
    n, content = split_size(array.content)
    if n != n_rows or len(content) < n * width:
        raise ValueError(f"{array.kind} column has {n} of {n_rows} rows")
    if array.kind in _FLOATS:
        out = decode_floats(content, n * width)
    else:
        out = decode_integers(content, n * width).astype(_INTEGERS[array.kind][0])
    return out.reshape(n, width) if width > 1 else out
