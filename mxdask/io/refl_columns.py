"""What a .refl file (msgpack) holds and where, without reading the columns; and columns read from there when asked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from mxdask.deferred import Deferred
from mxdask.errors import FileError

MAGIC = "dials::af::reflection_table"
# Bytes of the length in msgpack's bin 8, bin 16 and bin 32.
_BIN_LENGTH = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_LONGEST = 1 << 24  # text, map or array besides the columns; more is damage
_MOST_AT_ONCE = 1 << 30  # bytes; Linux reads no more than 2 GiB in one call


@dataclass(frozen=True)
class Entry:
    """A column in the file: DIALS' name of its type, where its bytes start, and how many there are."""

    tag: str
    offset: int
    size: int


@dataclass(frozen=True)
class Content:
    """Of a file: number of rows, experiment identifiers, columns."""

    n_rows: int
    identifiers: dict[int, str]
    entries: dict[str, Entry]


class OpenFile:
    """A file held open: replacing it by another of its name changes nothing, changing it in place is an error."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb", buffering=0)
        self.size, self._changed = self._state()

    def read(self, offset: int, size: int) -> bytes:
        """Some bytes, fewer at the end of the file."""
        return os.pread(self._file.fileno(), size, offset)

    def read_into(self, array: np.ndarray, offset: int) -> None:
        """Fill a contiguous array."""
        if self._state() != (self.size, self._changed):
            raise FileError(f"{self.path}: was changed while it was in use; run the command again")
        wanted, at = array.reshape(-1).data.cast("B") if array.size else memoryview(b""), 0
        while at < len(wanted):
            n = os.preadv(self._file.fileno(), [wanted[at : at + _MOST_AT_ONCE]], offset + at)
            if n == 0:
                raise FileError(f"{self.path}: ends too early; make it again")
            at += n

    def _state(self) -> tuple[int, int]:
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns


class FileColumn(Deferred):
    """A column of numbers in an open file."""

    def __init__(self, file: OpenFile, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        super().__init__(dtype, shape)
        self._file, self._offset = file, offset
        self._row = dtype.itemsize * (shape[1] if len(shape) > 1 else 1)

    def fetch(self, first: int, last: int) -> np.ndarray:
        out = np.empty((last - first, *self.shape[1:]), self.dtype)
        self._file.read_into(out, self._offset + first * self._row)
        return out


def content_of(file: OpenFile) -> Content:
    """Walk through a file, stepping over the columns' bytes.

    Raises
    ------
    ValueError, KeyError, TypeError, msgpack.UnpackException : not a complete file of reflections.
    """
    walk = _Walk(file)
    if walk.array_header() != 3:
        raise ValueError("not made of three parts")
    magic, version = walk.value(), walk.value()
    if magic != MAGIC or version not in (1, 2):
        raise ValueError(f"starts with {magic!r}, version {version}")
    plain: dict[str, Any] = {}
    entries: dict[str, Entry] = {}
    rows: dict[str, int] = {}
    for _ in range(walk.map_header()):
        key = walk.value()
        if key != "data":
            plain[key] = walk.value()
            continue
        for _ in range(walk.map_header()):
            name = walk.value()
            entries[name], rows[name] = walk.column()
    if walk.at != file.size:
        raise ValueError("goes on after its end")
    n = int(plain["nrows"])
    for name, n_column in rows.items():
        if n_column != n:
            raise ValueError(f"column {name} has {n_column} of {n} rows")
    return Content(n, {int(k): v for k, v in plain.get("identifiers", {}).items()}, entries)


class _Walk:
    """A place in the file that moves from object to object."""

    def __init__(self, file: OpenFile) -> None:
        self._file, self.at = file, 0

    def value(self) -> Any:
        return self._next("unpack")

    def array_header(self) -> int:
        return int(self._next("read_array_header"))

    def map_header(self) -> int:
        return int(self._next("read_map_header"))

    def column(self) -> tuple[Entry, int]:
        """[tag, [rows, bytes]]: the bytes are stepped over."""
        if self.array_header() != 2:
            raise ValueError("a column is not a pair")
        tag = self.value()
        if self.array_header() != 2:
            raise ValueError(f"a column of type {tag} is not a pair")
        n_rows = int(self.value())
        head = self._file.read(self.at, 5)
        if not head or head[0] not in _BIN_LENGTH:
            raise ValueError(f"a column of type {tag} holds no bytes")
        width = _BIN_LENGTH[head[0]]
        size = int.from_bytes(head[1 : 1 + width], "big")
        offset = self.at + 1 + width
        if offset + size > self._file.size:
            raise ValueError("ends within a column")
        self.at = offset + size
        return Entry(tag, offset, size), n_rows

    def _next(self, what: str) -> Any:
        """Take the next object, or the head of the next container, with as many bytes as that needs."""
        length = 512
        while True:
            chunk = self._file.read(self.at, length)
            unpacker = msgpack.Unpacker(
                strict_map_key=False, raw=False, max_str_len=_LONGEST, max_map_len=_LONGEST, max_array_len=_LONGEST
            )
            unpacker.feed(chunk)
            try:
                found = getattr(unpacker, what)()
            except msgpack.OutOfData:
                if len(chunk) < length:
                    raise ValueError("ends too early") from None
                length *= 8
                continue
            self.at += unpacker.tell()
            return found
