"""Read and write DIALS reflection files (.refl: msgpack, the newer HDF5, or the pickles of long ago)."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from mxdask.deferred import Deferred, pieces
from mxdask.errors import FileError
from mxdask.io.atomic import replacing
from mxdask.io.refl_columns import MAGIC, Content, FileColumn, OpenFile, content_of
from mxdask.io.refl_pickle import is_refl_pickle, read_refl_pickle
from mxdask.table import COLUMNS, ReflectionTable, Shoeboxes

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_TYPES: dict[str, tuple[str, int]] = {
    "bool": ("?", 1),
    "int": ("<i4", 1),
    "std::size_t": ("<u8", 1),
    "double": ("<f8", 1),
    "vec2<double>": ("<f8", 2),
    "vec3<double>": ("<f8", 3),
    "mat3<double>": ("<f8", 9),
    "int6": ("<i4", 6),
    "cctbx::miller::index<>": ("<i4", 3),
}
_TAGS = {(np.dtype(t).str, width): tag for tag, (t, width) in _TYPES.items()}
_BIN_LIMIT = 2**32 - 1
# Columns of files larger than this (bytes) stay there until they are asked for.
_LARGE = 32 * 1024**2
# Rows written at a time of columns that are not in memory.
_PIECE = 1 << 21


def read_refl(path: str | Path, *, defer: bool = True) -> ReflectionTable:
    """Read a .refl file of any DIALS version.

    Parameters
    ----------
    defer : columns of a large file are read when first asked for, until when the file is kept open.

    Raises
    ------
    FileError : missing, truncated, or not a reflection file.
    """
    path = Path(path)
    try:
        file = OpenFile(path)
        start = file.read(0, 256)
        if is_refl_pickle(start):
            return read_refl_pickle(path.read_bytes(), path)
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}); give an existing .refl file") from error
    try:
        if start.startswith(_HDF5_SIGNATURE):
            return _read_hdf5(path)
        return _table(file, content_of(file), defer and file.size > _LARGE)
    except (ValueError, KeyError, TypeError, struct.error, msgpack.UnpackException) as error:
        raise FileError(f"{path}: not a complete DIALS reflection file ({error}); make it again") from error


def _table(file: OpenFile, content: Content, defer: bool) -> ReflectionTable:
    n = content.n_rows
    columns: dict[str, np.ndarray | Deferred] = {}
    shoeboxes = None
    for name, entry in content.entries.items():
        if entry.tag == "Shoebox<>":
            raw = np.empty(entry.size, np.uint8)
            file.read_into(raw, entry.offset)
            shoeboxes = _decode_shoeboxes(raw.data, n)
        elif entry.tag in _TYPES:
            dtype, width = np.dtype(_TYPES[entry.tag][0]), _TYPES[entry.tag][1]
            if entry.size != n * width * dtype.itemsize:
                raise ValueError(f"column {name} is truncated")
            column = FileColumn(file, entry.offset, dtype, (n, width) if width > 1 else (n,))
            columns[name] = column if defer else column.values()
        else:
            warnings.warn(
                f"{file.path}: column {name} of type {entry.tag} is not portable and was skipped", stacklevel=3
            )
    return ReflectionTable(columns, content.identifiers, shoeboxes)


def write_refl(path: str | Path, table: ReflectionTable, *, version: int = 1) -> None:
    """Write a .refl file (msgpack) that every DIALS reads (``version=1``), under a temporary name until complete.

    Raises
    ------
    FileError : a column cannot be expressed in the format, or is larger than 4 GiB.
    """
    path = Path(path)
    if version not in (1, 2):
        raise FileError(f"{path}: .refl version {version} does not exist; use 1 (every DIALS) or 2 (newest)")
    n = len(table)
    data: dict[str, _Part] = {}
    for name in sorted(table):
        column = table.stored(name)
        width = int(np.prod(column.shape[1:], dtype=int))
        tag = "bool" if column.dtype == bool else _TAGS.get((column.dtype.newbyteorder("<").str, width))
        if tag is None:
            raise FileError(f"{path}: column {name} ({column.dtype}, {width} per row) has no type in .refl files")
        data[name] = (tag, _bounded(n * width * column.dtype.itemsize, name, path), column)
    if table.shoeboxes is not None:
        raw = np.frombuffer(_encode_shoeboxes(table.shoeboxes, version), np.uint8)
        data["shoebox"] = ("Shoebox<>", _bounded(len(raw), "shoebox", path), raw)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.writelines(_packed(version, table.identifiers, n, data))


# A column to be written: type, bytes, values.
_Part = tuple[str, int, np.ndarray | Deferred]


def _packed(version: int, identifiers: dict[int, str], n: int, data: dict[str, _Part]) -> Iterator[bytes | memoryview]:
    """The file piece by piece, the columns' memory as it is: a table of gigabytes is not copied to be written."""
    packer = msgpack.Packer(use_bin_type=True)
    yield packer.pack_array_header(3) + packer.pack(MAGIC) + packer.pack(version)
    yield packer.pack_map_header(3) + packer.pack("identifiers") + packer.pack(identifiers)
    yield packer.pack("nrows") + packer.pack(n) + packer.pack("data") + packer.pack_map_header(len(data))
    for name, (tag, size, column) in data.items():
        yield packer.pack(name) + packer.pack_array_header(2) + packer.pack(tag)
        yield packer.pack_array_header(2) + packer.pack(n) + _bin_header(size)
        for piece in pieces(column, _PIECE):
            if piece.size:
                yield np.ascontiguousarray(piece).reshape(-1).data.cast("B")


def _bin_header(size: int) -> bytes:
    """Of msgpack's bin 8, bin 16 or bin 32."""
    if size < 1 << 8:
        return struct.pack(">BB", 0xC4, size)
    return struct.pack(">BH", 0xC5, size) if size < 1 << 16 else struct.pack(">BI", 0xC6, size)


def _bounded(size: int, name: str, path: Path) -> int:
    if size > _BIN_LIMIT:
        raise FileError(f"{path}: column {name} is larger than 4 GiB; split by experiment or drop the shoeboxes")
    return size


def _decode_shoeboxes(raw: memoryview, n: int) -> Shoeboxes:
    """Per row: u4 panel, 6 × i4 bbox, marker byte; then data f4, mask (i4 if marker 1, u1 if 2), background f4."""
    buffer = raw
    panel, bbox = np.zeros(n, np.uint32), np.zeros((n, 6), np.int32)
    sizes = np.zeros(n, np.int64)
    data, mask, background = [], [], []
    at = 0
    for row in range(n):
        panel[row] = struct.unpack_from("<I", buffer, at)[0]
        bbox[row] = struct.unpack_from("<6i", buffer, at + 4)
        marker = buffer[at + 28]
        at += 29
        if marker == 0:
            continue
        x0, x1, y0, y1, z0, z1 = (int(v) for v in bbox[row])
        size = (x1 - x0) * (y1 - y0) * (z1 - z0)
        sizes[row] = size
        data.append(np.frombuffer(buffer, "<f4", size, at))
        at += 4 * size
        mask.append(np.frombuffer(buffer, "<i4" if marker == 1 else "u1", size, at).astype(np.int32))
        at += (4 if marker == 1 else 1) * size
        background.append(np.frombuffer(buffer, "<f4", size, at))
        at += 4 * size
    if at != len(raw):
        raise ValueError("shoeboxes do not end where they should")
    offset = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    pixels = [
        np.concatenate(parts) if parts else np.zeros(0, dtype)
        for parts, dtype in ((data, np.float32), (mask, np.int32), (background, np.float32))
    ]
    return Shoeboxes(panel, bbox, offset, *pixels)


def _encode_shoeboxes(boxes: Shoeboxes, version: int) -> bytes:
    marker, mask = (b"\x01", boxes.mask.astype("<i4")) if version == 1 else (b"\x02", boxes.mask.astype("u1"))
    data, background = boxes.data.astype("<f4"), boxes.background.astype("<f4")
    out = []
    for row in range(len(boxes)):
        a, b = boxes.offset[row], boxes.offset[row + 1]
        head = struct.pack("<I6i", int(boxes.panel[row]), *(int(v) for v in boxes.bbox[row]))
        if a == b:
            out += [head, b"\x00"]
        else:
            out += [head, marker, data[a:b].tobytes(), mask[a:b].tobytes(), background[a:b].tobytes()]
    return b"".join(out)


def _read_hdf5(path: Path) -> ReflectionTable:
    """The newest DIALS' HDF5 layout: /dials/<processing>/group_N, one data set per column (front.md 3)."""
    from mxdask.io.hdf5 import open_hdf5

    tables = []
    with open_hdf5(path) as file:
        try:
            stages = file["dials"]
            groups = stages[list(stages)[-1]]
        except (KeyError, IndexError) as error:
            raise FileError(f"{path}: HDF5 file without /dials/<processing>; not a reflection file") from error
        for name in sorted(groups, key=lambda s: int(s.rsplit("_", 1)[-1])):
            tables.append(_hdf5_group(groups[name]))
    return ReflectionTable.concat(tables)


def _hdf5_group(group: Any) -> ReflectionTable:
    names = [s.decode() if isinstance(s, bytes) else str(s) for s in group.attrs.get("identifiers", [])]
    ids = [int(i) for i in group.attrs.get("experiment_ids", [])]
    columns, shoeboxes = {}, None
    for name, item in group.items():
        if not hasattr(item, "shape"):
            shoeboxes = _hdf5_shoeboxes(item)
            continue
        values = item[...]
        spec = COLUMNS.get(name)
        columns[name] = values.reshape(len(values), -1) if values.ndim > 2 or (spec and spec.width > 1) else values
    return ReflectionTable(columns, dict(zip(ids, names, strict=True)), shoeboxes)


def _hdf5_shoeboxes(group: Any) -> Shoeboxes:
    bbox = group["bbox"][...].reshape(-1, 6).astype(np.int32)
    sizes = np.prod(np.diff(bbox.reshape(-1, 3, 2), axis=2)[..., 0].astype(np.int64), axis=1)
    return Shoeboxes(
        group["panel"][...].astype(np.uint32), bbox, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        group["shoebox_data"][...].astype(np.float32), group["shoebox_mask"][...].astype(np.int32),
        group["shoebox_background"][...].astype(np.float32),
    )  # fmt: skip
