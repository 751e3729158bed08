"""Read cctbx's pickled flex arrays without cctbx and without running anything the file says.

A pickle may name any function to be called. Here only the handful of array classes below can be named; they are
plain records, and anything else in the file is refused.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from mxdask.errors import FileError

_FLEX_MODULES = ("scitbx_array_family_flex_ext", "cctbx_array_family_flex_ext", "dials_array_family_flex_ext")
_FLEX_TYPES = ("bool", "int", "size_t", "double", "vec2_double", "vec3_double", "mat3_double", "int6", "miller_index",
               "std_string", "shoebox", "int2")  # fmt: skip


class FlexGrid:
    """Shape of a flex array: ``origin`` and ``last`` (exclusive) indices."""

    def __init__(self, origin: tuple[int, ...] = (), last: tuple[int, ...] = (), is_open: bool = True) -> None:
        extra = 0 if is_open else 1
        self.shape = tuple(b - a + extra for a, b in zip(origin, last, strict=True))

    def __setstate__(self, focus: Any) -> None:
        """The focus (part in use) equals the shape for arrays written by DIALS."""


class FlexArray:
    """A flex array as it stands in the pickle: ``kind``, ``shape`` and the undecoded ``content``."""

    kind = ""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = ()
        self.content = b""

    def __setstate__(self, state: tuple[FlexGrid, Any]) -> None:
        grid, content = state
        self.shape = grid.shape
        self.content = content.encode("latin-1") if isinstance(content, str) else bytes(content)


class FlexTable:
    """An old DIALS reflection table: its state, undecoded."""

    def __init__(self) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state


_CLASSES: dict[tuple[str, str], type] = {
    **{(module, kind): type(kind, (FlexArray,), {"kind": kind}) for module in _FLEX_MODULES for kind in _FLEX_TYPES},
    ("scitbx_array_family_flex_ext", "grid"): FlexGrid,
    ("dials_array_family_flex_ext", "reflection_table"): FlexTable,
}


def _encode(text: str, encoding: str) -> bytes:
    """Stands in for ``_codecs.encode``, by which Python 2 style pickles spell bytes; only latin-1 is known."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r} is not allowed")
    return text.encode("latin-1")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _CLASSES:
            return _CLASSES[module, name]
        if (module, name) == ("_codecs", "encode"):
            return _encode
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is not allowed")


def load_flex(content: bytes, path: str | Path) -> Any:
    """The object in a pickle of flex arrays.

    Raises
    ------
    FileError : damaged, or holds anything but flex arrays and plain values.
    """
    try:
        return _Unpickler(io.BytesIO(content), encoding="latin-1").load()
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise FileError(f"{path}: not a pickle of flex arrays ({error})") from error


def split_size(content: bytes) -> tuple[int, bytes]:
    """Number of elements and what follows: one byte 1 + k, then k bytes of the number, little endian."""
    k = content[0] - 1
    return int.from_bytes(content[1 : 1 + k], "little"), content[1 + k :]


def join_size(n: int, content: bytes) -> bytes:
    """Inverse of :func:`split_size`."""
    size = n.to_bytes((n.bit_length() + 7) // 8, "little")
    return bytes([1 + len(size)]) + size + content


def decode_bool(array: FlexArray) -> np.ndarray:
    """Boolean array in the flex array's shape; elements are the characters 0 and 1."""
    n, content = split_size(array.content)
    values = np.frombuffer(content, dtype=np.uint8)
    if values.size != n or n != int(np.prod(array.shape)) or np.any((values != 48) & (values != 49)):
        raise ValueError(f"boolean array of {n} elements in shape {array.shape} is damaged")
    return (values == 49).reshape(array.shape)
